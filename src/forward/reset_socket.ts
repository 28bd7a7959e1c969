import type { Socket } from 'node:net';

/**
 * Closes a TCP connection so that its other end sees a reset, never a clean end.
 * Does nothing to one that is closed.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const ending = socket.writableEnded && !socket.writableFinished;
  // While a FIN is on its way libuv refuses to reset (EINVAL), and the handle would leak.
  if (ending) socket.once('finish', () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
