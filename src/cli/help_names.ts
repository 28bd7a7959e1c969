// What stands below the options of each `--help` of program_names.ts. Every example is parsed by a test.

export const ADD = `
Examples:
  $ tox-wasm-tunnel add home TICKET
  $ tox-wasm-tunnel add home -                 (asks standard input: it is neither shown nor kept by the shell)
  $ tox-wasm-tunnel add home --ticket-file FILE
  $ tox-wasm-tunnel add home TICKET --replace

Then home stands for the ticket: connect home 22, ping home, doctor home, ssh home; in short, tox-wasm-tunnel home 22.`;

export const REMOVE = `
Examples:
  $ tox-wasm-tunnel remove home`;

export const LIST = `
Examples:
  $ tox-wasm-tunnel list                       name, what it is, public key: no secrets
  $ tox-wasm-tunnel list --json`;
