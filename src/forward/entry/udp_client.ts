import type { Timers } from '../../core/clock.js';
import { MAX_STREAM_DATAGRAM_BYTES } from '../../core/limits.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';
import { IdleTimer } from '../idle_timer.js';

/** Datagrams of one client that wait for a session with the peer, and their bytes; of more the oldest go. */
const MAX_EARLY = 64;
const MAX_EARLY_BYTES = MAX_STREAM_DATAGRAM_BYTES;
/** After a refusal, how long the client's datagrams are dropped before the far end is asked again. */
const REFUSED_MS = 5_000;

export interface UdpClientOptions {
  readonly timers: Timers;
  readonly idleMs: number;
  /** Sends a datagram to the client. */
  readonly deliver: (datagram: Uint8Array) => void;
  readonly onRefused: (reason: Reason, text: string) => void;
  /** Called once: it was silent for long, or its stream is no more. */
  readonly onOver: () => void;
}

/** One client of a UDP forward, known by its address and port, and its stream. */
export class UdpClient implements StreamHandlers {
  readonly address: HostPort;
  readonly #options: UdpClientOptions;
  #idle: IdleTimer;
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #stream: MuxStream | undefined;
  #refused = false;
  #over = false;

  constructor(address: HostPort, options: UdpClientOptions) {
    this.address = address;
    this.#options = options;
    this.#idle = new IdleTimer(options.timers, options.idleMs, () => this.end());
  }

  /** When something passed last, on the timers' clock. */
  get touchedMs(): number {
    return this.#idle.touchedMs;
  }

  /** A datagram from the client. */
  send(datagram: Uint8Array): void {
    if (this.#refused || this.#over) return;
    this.#idle.touch();
    if (this.#stream !== undefined) {
      this.#stream.sendDatagram(datagram);
      return;
    }
    this.#early.push(datagram);
    this.#earlyBytes += datagram.length;
    while (this.#early.length > MAX_EARLY || this.#earlyBytes > MAX_EARLY_BYTES)
      this.#earlyBytes -= this.#early.shift()?.length ?? 0;
  }

  /** The far end was asked. */
  attach(stream: MuxStream): void {
    this.#stream = stream;
    for (const datagram of this.#early) stream.sendDatagram(datagram);
    this.#forgetEarly();
  }

  onDatagram(datagram: Uint8Array): void {
    if (this.#over) return;
    this.#idle.touch();
    this.#options.deliver(datagram);
  }

  /** It stays for a while, so that a client that goes on sending does not ask the far end with each datagram. */
  onRefused(reason: Reason, text: string): void {
    if (this.#over || this.#refused) return;
    this.#refused = true;
    this.#forgetEarly();
    this.#idle.stop();
    this.#idle = new IdleTimer(this.#options.timers, REFUSED_MS, () => this.end());
    this.#options.onRefused(reason, text);
  }

  onReset(): void {
    this.end();
  }

  /** Gives its stream up. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#forgetEarly();
    this.#idle.stop();
    this.#stream?.reset('cancelled');
    this.#options.onOver();
  }

  #forgetEarly(): void {
    this.#early = [];
    this.#earlyBytes = 0;
  }
}
