// The target of the memory case of bench/soak.ts: prints `port N`. It reads a little of each connection at a time, and
// sends as much as it can after a first byte `d`. After a first byte `e` it echoes.
import { createServer, type Socket } from 'node:net';
import { listenOnLoopback } from '../../test/support/loopback.js';
import { readSlowly } from './slow_reader.js';

const LISTEN_BACKLOG = 4_096;
const SENT = new Uint8Array(8 * 1024 * 1024);

const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('readable', () => {
    const first: unknown = socket.read(1);
    serve(socket, String(first));
  });
});

function serve(socket: Socket, first: string): void {
  if (first === 'e') {
    socket.write(first);
    socket.pipe(socket);
    return;
  }
  if (first === 'd') socket.write(SENT);
  readSlowly(socket);
}

process.stdout.write(`port ${await listenOnLoopback(server, LISTEN_BACKLOG)}\n`);
