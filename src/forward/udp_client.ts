import type { Timers } from '../core/clock.js';
import { MAX_STREAM_DATAGRAM_BYTES } from '../core/limits.js';
import type { MuxStream, StreamHandlers } from '../mux/stream/stream_api.js';
import type { Reason } from '../mux/wire/reasons.js';
import type { HostPort } from '../rules/endpoint.js';
import { IdleTimer } from './idle_timer.js';

/**
 * Bounds for one client's datagrams waiting for a session with the peer. Beyond them, the oldest are
 * dropped.
 */
const MAX_EARLY = 64;
const MAX_EARLY_BYTES = MAX_STREAM_DATAGRAM_BYTES;
/** How long a refused client's datagrams are dropped before the peer is asked again, in milliseconds. */
const REFUSED_MS = 5_000;

export interface UdpClientOptions {
  readonly timers: Timers;
  readonly idleMs: number;
  /** Sends a datagram to the client. */
  readonly deliver: (datagram: Uint8Array) => void;
  readonly onRefused: (reason: Reason, text: string) => void;
  /** Called once, when the client has been idle for too long or its stream is gone. */
  readonly onOver: () => void;
}

/** One client of a UDP forward, identified by its address and port, and its stream. */
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

  /** The time of the last datagram in either direction, on the clock of the timers. */
  get touchedMs(): number {
    return this.#idle.touchedMs;
  }

  /** Takes a datagram from the client. */
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

  /** Sets the stream, once it was requested from the peer. Sends the datagrams that have waited. */
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

  /** Keeps the client for a while, so that each further datagram does not ask the peer again. */
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

  /** Forgets the client and resets its stream. */
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
