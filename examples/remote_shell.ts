// A shell on another machine, without sshd, a port or an account.
//
//   npx tsx examples/remote_shell.ts           on the machine with the shell: prints a ticket, which is a secret
//   npx tsx examples/remote_shell.ts TICKET    on the other machine
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream';
import { connect, listen } from 'tox-wasm-tunnel';
import { network } from './network.js';

// This name leads to the program and not to a port. Half-open: the input may end before the output does.
const SHELL = { host: 'shell', port: 1, allowHalfOpen: true };
const ticket = process.argv[2];

if (ticket === undefined) {
  // Ticket holders reach the shell, and nothing else on this machine.
  const listener = await listen({ ...network, offer: [SHELL] });
  listener.on('stream', (stream) => {
    const shell = spawn('sh', ['-c', 'exec sh 2>&1'], { stdio: ['pipe', 'pipe', 'inherit'] });
    // Not `pipeline`: a shell that exits before it has read all its input must not lose its output.
    stream.on('error', () => shell.kill()).pipe(shell.stdin.on('error', () => {}));
    pipeline(shell.stdout, stream, () => shell.kill());
  });
  console.log(listener.ticket);
} else {
  await using tunnel = await connect({ ...network, remote: ticket });
  const shell = tunnel.dial({ host: SHELL.host, port: SHELL.port });
  process.stdin.pipe(shell).pipe(process.stdout);
  await once(shell, 'close');
  process.stdin.destroy();
}
