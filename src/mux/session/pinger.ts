import { TunnelError } from '../../core/errors.js';
import { readU32, writeU64 } from '../wire/codec.js';
import { TOKEN_BYTES } from '../wire/frame.js';

/** Gets the round trip in milliseconds; undefined when the session closed before the answer came. */
export type PingCallback = (roundTripMs: number | undefined) => void;

/** Callers that may wait for one answer. */
const MAX_WAITERS = 1024;
/** Share of a new sample in the smoothed round trip. Source: RFC 9002, section 5.3. */
const SAMPLE_SHARE = 1 / 8;

/** Our PINGs, one unanswered at a time, and the round trip they measure. */
export class Pinger {
  readonly #token = new Uint8Array(TOKEN_BYTES);
  #count = 0;
  #wanted = false;
  #sentMs: number | undefined;
  /** The path was away meanwhile: the answer says nothing about the round trip. */
  #spoiled = false;
  #waiting: PingCallback[] = [];
  /** An answer that those who wait have not been told. */
  #answerMs: number | undefined;
  #smoothedMs: number | undefined;
  #sampledMs: number | undefined;

  /** Undefined until the first answer. */
  get smoothedMs(): number | undefined {
    return this.#smoothedMs;
  }

  /** A PING is to be sent. */
  get isDue(): boolean {
    return this.#wanted;
  }

  /** Asks for a PING, unless one is unanswered. @returns true when one is to be sent */
  want(): boolean {
    this.#wanted = this.#sentMs === undefined;
    return this.#wanted;
  }

  /** True when the round trip was not measured within `ageMs`. */
  isStale(nowMs: number, ageMs: number): boolean {
    return this.#sampledMs === undefined || nowMs - this.#sampledMs > ageMs;
  }

  /** @throws {TunnelError} ERR_LIMIT when too many wait already */
  wait(callback: PingCallback): void {
    if (this.#waiting.length >= MAX_WAITERS) {
      throw new TunnelError('ERR_LIMIT', `${MAX_WAITERS} pings wait for an answer; wait for one of them`);
    }
    this.#waiting.push(callback);
  }

  /** Notes that the PING goes out now. @returns its token; good until the next one */
  sent(nowMs: number): Uint8Array {
    this.#count++;
    writeU64(this.#token, 0, this.#count);
    this.#wanted = false;
    this.#spoiled = false;
    this.#sentMs = nowMs;
    return this.#token;
  }

  /** The token of a PONG stands at `frame[at]`. Another than the last one's is ignored. */
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

  /** Tells those who wait, if the answer has come. */
  settle(): void {
    if (this.#answerMs === undefined) return;
    const roundTripMs = this.#answerMs;
    this.#answerMs = undefined;
    this.#tell(roundTripMs);
  }

  /** The path is away: what is unanswered measures an outage. */
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
  /** Silence after which to ask whether the peer is there, in milliseconds. */
  readonly keepAliveMs: number;
  /** Silence after which the peer counts as dead, in milliseconds; longer than `keepAliveMs`. */
  readonly deadlineMs: number;
}

/** How long the peer has been silent, and what that asks for. Stands still while frozen. */
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

  /** The peer has all of its time again. */
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

  /** Milliseconds until {@link check} says something else, 0 or more; Infinity while frozen. */
  nextMs(nowMs: number): number {
    if (this.#frozen) return Number.POSITIVE_INFINITY;
    const silentMs = nowMs - this.#heardMs;
    const { keepAliveMs, deadlineMs } = this.#options;
    return Math.max(0, (silentMs < keepAliveMs ? keepAliveMs : deadlineMs) - silentMs);
  }
}
