// Runs the server of `bench/streams.ts --stuck` in a separate process: prints `port N` and serves. It reads nothing from
// a connection, and sends as much as it can after a connection's first byte.
import { createServer } from 'node:net';
import { listenOnLoopback } from '../../test/support/loopback.js';

const SENT = new Uint8Array(8 * 1024 * 1024);
const BACKLOG = 4096;

const server = createServer({ pauseOnConnect: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('readable', () => {
    if (socket.read(1)?.toString() === 'd') socket.write(SENT);
  });
});
process.stdout.write(`port ${await listenOnLoopback(server, BACKLOG)}\n`);
