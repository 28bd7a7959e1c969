import type { Socket } from 'node:net';
import { errnoOf } from '../core/errors.js';

/**
 * Closes a TCP connection so that its other end sees a reset, never a clean end. UNIX sockets and named
 * pipes have no resets: they are closed, and their other end sees an end. Does nothing to one that is closed.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const ending = socket.writableEnded && !socket.writableFinished;
  // While a FIN is on its way libuv refuses to reset (EINVAL), and the handle would leak.
  if (ending) socket.once('finish', () => resetNow(socket));
  else resetNow(socket);
}

/** {@link resetSocket} for a connection that nobody will use. */
export function turnAway(socket: Socket): void {
  socket.on('error', () => {});
  resetSocket(socket);
}

function resetNow(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch (error) {
    if (errnoOf(error) !== 'ERR_INVALID_HANDLE_TYPE') throw error;
    socket.destroy();
  }
}
