import type { Socket } from 'node:net';

const PIECE_BYTES = 1024;
const INTERVAL_MS = 250;

/** Reads 4 KiB a second from a paused socket, until it closes. */
export function readSlowly(socket: Socket): void {
  const timer = setInterval(() => socket.read(PIECE_BYTES), INTERVAL_MS);
  socket.once('close', () => clearInterval(timer));
}
