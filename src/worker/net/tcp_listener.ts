import type { AddressInfo, Server } from 'node:net';
import type { DescriptorShare } from '../../core/descriptors.js';
import { TcpStream } from './tcp_stream.js';

/** Connections that wait for toxcore. Source: MAX_INCOMING_CONNECTIONS, toxcore/TCP_server.h. */
const MAX_WAITING = 256;

/** A listening TCP socket as toxcore uses it. */
export class TcpListener {
  readonly port: number;
  readonly #server: Server;
  readonly #waiting: TcpStream[] = [];

  /**
   * @param server listening, without a listener of 'connection'
   * @param descriptors what its connections may use
   */
  constructor(server: Server, onMove: () => void, descriptors: DescriptorShare) {
    // A TCP server's address is never a pipe's name.
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    server.on('connection', (socket) => {
      if (this.#waiting.length >= MAX_WAITING || !descriptors.accept(socket)) {
        socket.destroy();
        return;
      }
      this.#waiting.push(new TcpStream(socket, onMove));
      onMove();
    });
    // A failed accept: the next may go well.
    server.on('error', (error) => descriptors.note(error));
  }

  accept(): TcpStream | undefined {
    return this.#waiting.shift();
  }

  close(): void {
    this.#server.close();
    for (const stream of this.#waiting.splice(0)) stream.close();
  }
}
