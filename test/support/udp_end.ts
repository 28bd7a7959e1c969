import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** A UDP socket on a free port of 127.0.0.1, and the datagrams that arrived there. */
export class UdpEnd {
  readonly port: number;
  readonly received: { readonly datagram: Buffer; readonly from: RemoteInfo }[] = [];
  /** Answers each datagram, when set. */
  answer: ((datagram: Buffer) => Uint8Array | undefined) | undefined;
  readonly #socket: Socket;
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.port = socket.address().port;
    socket.on('message', (datagram, from) => {
      this.received.push({ datagram, from });
      const answer = this.answer?.(datagram);
      if (answer !== undefined) this.send(answer, from.port);
      for (const waiting of this.#waiting.splice(0)) waiting();
    });
  }

  /** @param port any free one by default */
  static async start(port = 0): Promise<UdpEnd> {
    const socket = createSocket('udp4');
    socket.bind({ address: '127.0.0.1', port });
    await once(socket, 'listening');
    return new UdpEnd(socket);
  }

  /** The datagrams that arrived, as text. */
  get texts(): string[] {
    return this.received.map(({ datagram }) => datagram.toString());
  }

  /** Sends to a port of 127.0.0.1. */
  send(datagram: Uint8Array | string, port: number): void {
    this.#socket.send(datagram, port, '127.0.0.1');
  }

  /** Resolves once this many datagrams have arrived in total. */
  async came(count: number): Promise<void> {
    while (this.received.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  stop(): void {
    this.#socket.close();
  }
}
