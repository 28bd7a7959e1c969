import type { Server, ServerOpts, Socket } from 'node:net';
import { errnoOf } from '../core/errors.js';
import type { IpAddress } from '../core/ip.js';

/** Makes a server that does not listen yet. */
export type CreateServer = (options: ServerOpts) => Server;

/** Starts connecting. The socket emits `connect` or `error`. */
export type Connect = (address: IpAddress, port: number) => Socket;

/**
 * A paused socket that holds this many bytes reads no further block of 64 KiB. Newer versions of Node have a higher
 * default.
 */
export const HELD_BYTES = 16 * 1024;

/** Idle time, in milliseconds, after which the kernel probes whether the other end is still there. */
const KEEP_ALIVE_MS = 60_000;

/**
 * Options of every TCP connection that a forward accepts or dials. They allow half-close and turn Nagle's
 * delay off.
 */
export const TCP_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_MS,
  highWaterMark: HELD_BYTES,
} as const;

/**
 * Closes a TCP connection so that its other end sees a reset, never a clean end. UNIX sockets and named
 * pipes have no resets, so their other end sees a clean end. Does nothing to a closed socket.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const isEnding = socket.writableEnded && !socket.writableFinished;
  // libuv refuses to reset while it sends a FIN (EINVAL), and the handle would leak.
  if (isEnding) socket.once('finish', () => resetNow(socket));
  else resetNow(socket);
}

/** Resets a connection that has just been accepted and that nobody will use. */
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
