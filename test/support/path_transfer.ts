/**
 * Transfers bytes in both directions through a tunnel whose two ends are UNIX sockets, which unlike ports are
 * reachable from every network namespace.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { patternDigest, patternPieces } from './pattern.js';
import { readDigest, room } from './socket_bytes.js';

/** What one side of a transfer received, and what it should have received. */
export interface Carried {
  readonly got: string;
  readonly wanted: string;
}

/** The far end of transfers: a server on a path. */
export class PathTarget {
  readonly path: string;
  readonly #server: Server;
  readonly #waiting: Socket[] = [];

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.path = path;
    server.on('connection', (socket) => {
      socket.pause().on('error', () => {});
      this.#waiting.push(socket);
      server.emit('waiting');
    });
  }

  static async start(path: string): Promise<PathTarget> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    server.listen(path);
    await once(server, 'listening');
    return new PathTarget(server, path);
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /**
   * Sends `bytes` in each direction at once over a new connection to `path`. When a quarter has arrived at
   * the near end, calls `meanwhile`, and sends the second halves once that is done.
   */
  async carry(path: string, bytes: number, meanwhile?: () => Promise<void> | void): Promise<Carried[]> {
    const near = connect({ path, allowHalfOpen: true });
    if (this.#waiting.length === 0) await once(this.#server, 'waiting');
    const far = this.#waiting.shift();
    if (far === undefined) throw new Error('only one connection at a time');
    let came = 0;
    const happened = new Promise<void>((resolve, reject) => {
      near.on('data', (chunk: Buffer) => {
        came += chunk.length;
        if (came < bytes / 4) return;
        came = Number.NEGATIVE_INFINITY;
        Promise.resolve(meanwhile?.()).then(resolve, reject);
      });
    });
    const digests = [readDigest(near), readDigest(far)] as const;
    const [atNear, atFar] = await Promise.all([
      ...digests,
      send(near, 'up', bytes, happened),
      send(far, 'down', bytes, happened),
    ]);
    return [
      { got: atNear.sha256, wanted: patternDigest('down', bytes) },
      { got: atFar.sha256, wanted: patternDigest('up', bytes) },
    ];
  }
}

async function send(socket: Socket, seed: string, bytes: number, half: Promise<void>): Promise<void> {
  let sent = 0;
  for (const piece of patternPieces(seed, bytes)) {
    if (sent < bytes / 2 && sent + piece.length >= bytes / 2) await half;
    sent += piece.length;
    if (!socket.write(piece)) await room(socket);
  }
  socket.end();
}
