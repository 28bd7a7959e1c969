import type { Socket } from 'node:dgram';
import type { Timers } from '../../core/clock.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import { IdleTimer } from '../idle_timer.js';
import { hasRoom } from '../udp_socket.js';

export interface UdpPipeOptions {
  readonly timers: Timers;
  /** Idle time after which the pipe ends, in milliseconds. */
  readonly idleMs: number;
  /** Called once, when the socket is closed. */
  readonly onOver: (outcome: 'idle' | 'reset') => void;
}

/** Joins a socket to a UDP target with the stream that requested it, until both directions are idle. */
export class UdpPipe implements StreamHandlers {
  readonly #socket: Socket;
  readonly #options: UdpPipeOptions;
  readonly #idle: IdleTimer;
  #stream: Pick<MuxStream, 'sendDatagram' | 'reset'> | undefined;
  #over = false;
  /** Datagrams sent to the target. */
  sent = 0;
  /** Datagrams received from the target. */
  received = 0;
  /** Datagrams for the target that were dropped because the socket had no room. */
  dropped = 0;

  constructor(socket: Socket, options: UdpPipeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#idle = new IdleTimer(options.timers, options.idleMs, () => {
      this.#stream?.reset('cancelled');
      this.#end('idle');
    });
  }

  /** Sets the stream that carries the target's datagrams. */
  attach(stream: Pick<MuxStream, 'sendDatagram' | 'reset'>): void {
    this.#stream = stream;
    this.#socket.on('message', (datagram) => {
      if (this.#over) return;
      this.received++;
      this.#idle.touch();
      stream.sendDatagram(datagram);
    });
  }

  onDatagram(datagram: Uint8Array): void {
    if (this.#over) return;
    this.#idle.touch();
    if (hasRoom(this.#socket)) {
      this.sent++;
      this.#socket.send(datagram);
    } else {
      this.dropped++;
    }
  }

  onReset(): void {
    this.#end('reset');
  }

  /** Closes the socket. Resetting the stream is the caller's job. */
  abort(): void {
    this.#end('reset');
  }

  #end(outcome: 'idle' | 'reset'): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle.stop();
    this.#socket.close();
    this.#options.onOver(outcome);
  }
}
