/** What the servers of the benchmarks share: a request at the beginning, and writing with regard for room. */
import type { Server, Socket } from 'node:net';

/** Serves each connection that begins with a request. It crosses in one piece, or it is none of ours. */
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

/** After `write` gave false: resolves when there is room, or when the socket is closed. */
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
