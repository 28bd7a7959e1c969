/** Parts that the servers of the benchmarks share: a request at the start, and writing with backpressure. */
import type { Server, Socket } from 'node:net';

/**
 * Serves each connection that starts with a request. The request arrives in one piece; any other connection
 * is not ours.
 */
export function onRequest(
  server: Server,
  requestBytes: number,
  serve: (socket: Socket, request: Buffer) => void,
): void {
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.once('readable', () => {
      const request: unknown = socket.read(requestBytes);
      if (request instanceof Buffer && request.length === requestBytes) serve(socket, request);
      else socket.destroy();
    });
  });
}

/** Resolves when there is room after `write` returned false, or when the socket closes. */
export async function roomOrEnd(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.on('drain', settle).on('close', settle);
  });
}
