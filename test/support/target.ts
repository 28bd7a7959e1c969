import { createServer, type Server, type Socket } from 'node:net';
import { listenOnLoopback } from './loopback.js';

/**
 * A TCP server whose connections a test takes over or passes to a handler. They are paused at first, so that
 * no byte is missed, and half-open ones stay open.
 */
export class Target {
  readonly port: number;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #untaken: Socket[] = [];
  readonly #takers: ((socket: Socket) => void)[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(handler?: (socket: Socket) => void): Promise<Target> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    const target = new Target(server, await listenOnLoopback(server));
    server.on('connection', (socket) => {
      target.sockets.add(socket);
      socket.on('close', () => target.sockets.delete(socket)).on('error', () => {});
      if (handler === undefined) target.#arrived(socket);
      else handler(socket);
    });
    return target;
  }

  /** Echoes what it receives, and ends when the client has ended. */
  static async echo(): Promise<Target> {
    return await Target.start((socket) => socket.pipe(socket));
  }

  /** Returns the next connection that has not been taken. */
  async connection(): Promise<Socket> {
    const waiting = this.#untaken.shift();
    return waiting ?? (await new Promise((resolve) => this.#takers.push(resolve)));
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #arrived(socket: Socket): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#untaken.push(socket);
    else taker(socket);
  }
}
