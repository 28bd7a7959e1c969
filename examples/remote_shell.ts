// A shell on another machine, without sshd, without a port and without an account.
//
//   npx tsx examples/remote_shell.ts           on the machine to be reached: prints a ticket, which is a secret
//   npx tsx examples/remote_shell.ts TICKET    on the other one
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream';
import { connect, listen, parseTicket } from 'tox-wasm-tunnel';
import { network } from './network.js';

// A name that leads to this program and to no port. Half-open: what is typed may end before what is answered.
const SHELL = { host: 'shell', port: 1, allowHalfOpen: true };
const ticket = process.argv[2];

if (ticket === undefined) {
  // Anyone who has the ticket reaches the shell, and nothing else on this machine.
  const listener = await listen({ ...network, offer: [SHELL] });
  listener.on('stream', (stream) => {
    const shell = spawn('sh', ['-c', 'exec sh 2>&1'], { stdio: ['pipe', 'pipe', 'inherit'] });
    // Not a pipeline: a shell that ends before it has read all its input must not cut off its output.
    stream.on('error', () => shell.kill()).pipe(shell.stdin.on('error', () => {}));
    pipeline(shell.stdout, stream, () => shell.kill());
  });
  console.log(listener.ticket);
} else {
  await using tunnel = await connect({ ...network, remote: parseTicket(ticket) });
  const shell = tunnel.dial({ host: SHELL.host, port: SHELL.port });
  process.stdin.pipe(shell).pipe(process.stdout);
  await once(shell, 'close');
  process.stdin.destroy();
}
