import type { AddressInfo, Server } from 'node:net';
import { TcpStream } from './tcp_stream.js';

/** Connections that wait for toxcore. Source: MAX_INCOMING_CONNECTIONS, toxcore/TCP_server.h. */
const MAX_WAITING = 256;

/** Connections one relay has at once: a bound for memory; toxcore has none of its own. */
const MAX_CONNECTIONS = 4096;

/** A listening TCP socket as toxcore uses it. */
export class TcpListener {
  readonly port: number;
  readonly #server: Server;
  readonly #waiting: TcpStream[] = [];

  /** @param server listening, without a listener of 'connection' */
  constructor(server: Server, onMove: () => void) {
    // A TCP server's address is never a pipe's name.
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', (socket) => {
      if (this.#waiting.length >= MAX_WAITING) {
        socket.destroy();
        return;
      }
      this.#waiting.push(new TcpStream(socket, onMove));
      onMove();
    });
    server.on('error', () => {}); // a failed accept (too many files open): the next may go well
  }

  accept(): TcpStream | undefined {
    return this.#waiting.shift();
  }

  close(): void {
    this.#server.close();
    for (const stream of this.#waiting.splice(0)) stream.close();
  }
}
