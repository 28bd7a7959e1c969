import type { Socket } from 'node:dgram';
import type { Timers } from '../../core/clock.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import { IdleTimer } from '../idle_timer.js';
import { hasRoom } from '../udp_socket.js';

export interface UdpPipeOptions {
  readonly timers: Timers;
  /** Milliseconds of silence after which it ends. */
  readonly idleMs: number;
  /** Called once: the socket is closed. */
  readonly onOver: (outcome: 'idle' | 'reset') => void;
}

/** A socket to a target, joined to the stream that asked for it: datagrams both ways, until both are silent. */
export class UdpPipe implements StreamHandlers {
  readonly #socket: Socket;
  readonly #options: UdpPipeOptions;
  readonly #idle: IdleTimer;
  #stream: Pick<MuxStream, 'sendDatagram' | 'reset'> | undefined;
  #over = false;
  /** Datagrams that went to the target and came from it, and those for which its socket had no room. */
  sent = 0;
  received = 0;
  dropped = 0;

  constructor(socket: Socket, options: UdpPipeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#idle = new IdleTimer(options.timers, options.idleMs, () => {
      this.#stream?.reset('cancelled');
      this.#end('idle');
    });
  }

  /** Datagrams of the target go to `stream` from now on. */
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

  /** Ends it; the stream is the caller's to reset. */
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
