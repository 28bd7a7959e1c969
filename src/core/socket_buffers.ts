import type { Socket } from 'node:dgram';

/**
 * Returns how many bytes wait in Node because the system's send buffer is full; undefined where this cannot be known:
 * Deno has no such method.
 */
export function unsentBytes(socket: Partial<Pick<Socket, 'getSendQueueSize'>>): number | undefined {
  return socket.getSendQueueSize?.();
}

/** Below this, the system's own default is just as good. */
const LEAST_BYTES = 256 * 1024;

/**
 * Asks the system for larger buffers of a bound UDP socket, so that a burst fits. The usual default of Linux holds some
 * 270 small datagrams. What the system refuses is halved and requested again; most systems give less without an error.
 */
export function askForBuffers(
  socket: Pick<Socket, 'setRecvBufferSize' | 'setSendBufferSize'>,
  wantedBytes: number,
): void {
  ask(wantedBytes, (bytes) => socket.setRecvBufferSize(bytes));
  ask(wantedBytes, (bytes) => socket.setSendBufferSize(bytes));
}

function ask(wantedBytes: number, set: (bytes: number) => void): void {
  for (let bytes = wantedBytes; bytes >= LEAST_BYTES; bytes /= 2) {
    try {
      set(bytes);
      return;
    } catch {
      // This system does not allow that many: try half.
    }
  }
}
