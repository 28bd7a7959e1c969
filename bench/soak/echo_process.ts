// The target of bench/soak.ts, in a separate process: prints `port N`, and echoes what it receives.
import { createServer } from 'node:net';
import { listenOnLoopback } from '../../test/support/loopback.js';

/** Backlog of the listening socket: all connections come at once. */
const LISTEN_BACKLOG = 4_096;

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
});
process.stdout.write(`port ${await listenOnLoopback(server, LISTEN_BACKLOG)}\n`);
