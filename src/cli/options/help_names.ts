// What stands below the options of each `--help` of program_names.ts. Every example is parsed by a test.

export const ADD = `
Examples:
  $ tox-wasm-tunnel add home TICKET
  $ tox-wasm-tunnel add home -                 (from standard input: no shell keeps it)
  $ tox-wasm-tunnel add home --ticket-file FILE
  $ tox-wasm-tunnel add home TICKET --replace

Then home stands for the ticket: connect home 22, ping home, doctor home, ssh home; in short,
tox-wasm-tunnel home 22.`;

export const REMOVE = `
Examples:
  $ tox-wasm-tunnel remove home`;

export const LIST = `
Examples:
  $ tox-wasm-tunnel list                       name, what it is, public key: no secrets
  $ tox-wasm-tunnel list --json`;

export const SSH = `
Examples:
  $ tox-wasm-tunnel ssh home
  $ tox-wasm-tunnel ssh joe@home uptime
  $ tox-wasm-tunnel ssh home -p 2222 -L 8080:localhost:80
  $ tox-wasm-tunnel ssh --no-udp home          (options of the tunnel stand before the name)

All that stands after the name is for ssh. Ends with the exit code of ssh.`;

export const SSH_CONFIG = `
Examples:
  $ tox-wasm-tunnel ssh-config home >> ~/.ssh/config
  $ tox-wasm-tunnel ssh-config joe@home

After that: ssh home, scp FILE home:, rsync, git clone home:repository.`;

export const SERVICE = `
Examples:
  $ tox-wasm-tunnel service install --print
  $ tox-wasm-tunnel service install --user -- listen --expose 22
  $ tox-wasm-tunnel service install --system -- connect --ticket-file FILE -L 2222:localhost:22
  $ tox-wasm-tunnel service install --name db -- connect home -L 5432:localhost:5432

Writes the unit, starts nothing, and says what to run next.`;

export const COMPLETION = `
Examples:
  $ tox-wasm-tunnel completion bash > ~/.local/share/bash-completion/completions/tox-wasm-tunnel
  $ tox-wasm-tunnel completion zsh > ~/.zfunc/_tox-wasm-tunnel          (a folder of your fpath)
  $ tox-wasm-tunnel completion fish > ~/.config/fish/completions/tox-wasm-tunnel.fish`;
