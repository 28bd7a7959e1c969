import { TunnelError } from '../../core/errors.js';
import { readU32, writeU64 } from '../wire/codec.js';
import { TOKEN_BYTES } from '../wire/frame.js';

/** Receives the round trip in milliseconds; undefined when the session closed before the answer arrived. */
export type PingCallback = (roundTripMs: number | undefined) => void;

/** Maximum number of callers waiting for one answer. */
const MAX_WAITERS = 1024;
/** Share of a new sample in the smoothed round trip. Source: RFC 9002, section 5.3. */
const SAMPLE_SHARE = 1 / 8;

/** Our PINGs, at most one unanswered, and the round trip that they measure. */
export class Pinger {
  readonly #token = new Uint8Array(TOKEN_BYTES);
  #count = 0;
  #wanted = false;
  #sentMs: number | undefined;
  /** The path was lost during the wait, so the answer does not measure the round trip. */
  #spoiled = false;
  #waiting: PingCallback[] = [];
  /** An answer that the callbacks have not received yet. */
  #answerMs: number | undefined;
  #smoothedMs: number | undefined;
  #sampledMs: number | undefined;

  /** Undefined until the first answer. */
  get smoothedMs(): number | undefined {
    return this.#smoothedMs;
  }

  /** True when a PING must be sent. */
  get isDue(): boolean {
    return this.#wanted;
  }

  /** Requests a PING, unless one is unanswered. @returns true when one must be sent */
  want(): boolean {
    this.#wanted = this.#sentMs === undefined;
    return this.#wanted;
  }

  /** True when the last measurement is older than `ageMs`. */
  isStale(nowMs: number, ageMs: number): boolean {
    return this.#sampledMs === undefined || nowMs - this.#sampledMs > ageMs;
  }

  /** @throws {TunnelError} ERR_LIMIT when too many callbacks wait already */
  wait(callback: PingCallback): void {
    if (this.#waiting.length >= MAX_WAITERS) {
      throw new TunnelError('ERR_LIMIT', `${MAX_WAITERS} pings wait for an answer; wait for one of them`);
    }
    this.#waiting.push(callback);
  }

  /** Records that the PING leaves now. @returns its token, valid until the next PING */
  sent(nowMs: number): Uint8Array {
    this.#count++;
    writeU64(this.#token, 0, this.#count);
    this.#wanted = false;
    this.#spoiled = false;
    this.#sentMs = nowMs;
    return this.#token;
  }

  /** Takes a PONG whose token is at `frame[at]`. Ignores any token but the last PING's. */
  answered(frame: Uint8Array, at: number, nowMs: number): void {
    if (this.#sentMs === undefined) return;
    if (readU32(frame, at) !== readU32(this.#token, 0)) return;
    if (readU32(frame, at + 4) !== readU32(this.#token, 4)) return;
    const roundTripMs = nowMs - this.#sentMs;
    this.#sentMs = undefined;
    if (!this.#spoiled) {
      const before = this.#smoothedMs ?? roundTripMs;
      this.#smoothedMs = before + (roundTripMs - before) * SAMPLE_SHARE;
      this.#sampledMs = nowMs;
    }
    this.#answerMs = roundTripMs;
  }

  /** Calls the callbacks if the answer has arrived. */
  settle(): void {
    if (this.#answerMs === undefined) return;
    const roundTripMs = this.#answerMs;
    this.#answerMs = undefined;
    this.#tell(roundTripMs);
  }

  /**
   * Keeps an unanswered PING out of the average. Called when the path is lost, because the PING would measure
   * the outage.
   */
  spoil(): void {
    this.#spoiled = true;
  }

  /** No answer will come. */
  close(): void {
    this.#wanted = false;
    this.#sentMs = undefined;
    this.settle();
    this.#tell(undefined);
  }

  #tell(roundTripMs: number | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback(roundTripMs);
  }
}

export interface KeepAliveOptions {
  /** Silence after which to send a PING, in milliseconds. */
  readonly keepAliveMs: number;
  /** Silence after which the peer counts as dead, in milliseconds; longer than `keepAliveMs`. */
  readonly deadlineMs: number;
}

/** Measures how long the peer has been silent, and decides what to do. Its clock stops while frozen. */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #heardMs: number;
  #frozen = false;

  constructor(options: KeepAliveOptions, nowMs: number) {
    this.#options = options;
    this.#heardMs = nowMs;
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  freeze(): void {
    this.#frozen = true;
  }

  /** The peer gets its full time again. */
  thaw(nowMs: number): void {
    this.#frozen = false;
    this.#heardMs = nowMs;
  }

  check(nowMs: number): 'alive' | 'idle' | 'dead' {
    if (this.#frozen) return 'alive';
    const silentMs = nowMs - this.#heardMs;
    if (silentMs >= this.#options.deadlineMs) return 'dead';
    return silentMs >= this.#options.keepAliveMs ? 'idle' : 'alive';
  }

  /** Milliseconds until the result of {@link check} changes, 0 or more; Infinity while frozen. */
  nextMs(nowMs: number): number {
    if (this.#frozen) return Number.POSITIVE_INFINITY;
    const silentMs = nowMs - this.#heardMs;
    const { keepAliveMs, deadlineMs } = this.#options;
    return Math.max(0, (silentMs < keepAliveMs ? keepAliveMs : deadlineMs) - silentMs);
  }
}
