/**
 * Something that flows in at a rate, up to a maximum, without a timer. More may be spent than is left; then nothing is
 * left until time has made up for it.
 */
export class Bucket {
  readonly #most: number;
  readonly #perSecond: number;
  #left: number;
  #atMs: number;

  /** Starts full. @param most Infinity: it never becomes empty */
  constructor(most: number, perSecond: number, nowMs: number) {
    this.#most = most;
    this.#perSecond = perSecond;
    this.#left = most;
    this.#atMs = nowMs;
  }

  /** What is left; negative when too much was spent. */
  left(nowMs: number): number {
    if (this.#most === Number.POSITIVE_INFINITY) return this.#most;
    this.#left = Math.min(this.#most, this.#left + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    return this.#left;
  }

  spend(amount: number, nowMs: number): void {
    this.#left = this.left(nowMs) - amount;
  }

  /** Milliseconds until this much is left; 0 if it is left now. */
  waitMs(wanted: number, nowMs: number): number {
    const left = this.left(nowMs);
    return left >= wanted ? 0 : ((wanted - left) / this.#perSecond) * 1000;
  }
}

/** Limits events to a burst, then to a rate. */
export class Allowance {
  readonly #bucket: Bucket;
  #refused = 0;

  /** @param burst events at once; Infinity for no limit */
  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#bucket = new Bucket(burst, perSecond, nowMs);
  }

  /** Takes a token. @returns false when there is none, so the event must not pass */
  take(nowMs: number): boolean {
    if (this.#bucket.left(nowMs) < 1) {
      this.#refused++;
      return false;
    }
    this.#bucket.spend(1, nowMs);
    return true;
  }

  /** Milliseconds until {@link take} succeeds; 0 if it would succeed now. Takes no token. */
  waitMs(nowMs: number): number {
    return this.#bucket.waitMs(1, nowMs);
  }

  /** Returns how many events were refused since the last call. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }
}

/** Bytes that may pass at once after a pause: this part of a second's worth, but enough for a few frames. */
const BURST_SECONDS = 1 / 8;
const LEAST_BURST_BYTES = 16 * 1024;
/** A wait lasts until this many milliseconds' worth may pass, so that there is no timer for each frame. */
const STEP_MS = 10;
/** A holder that has not asked for this long, in milliseconds, loses its place in line. */
const STALE_MS = 50;

/**
 * Limits bytes to a rate. What is spent may exceed what is left by one piece. Several holders may share one: those that
 * had to wait take turns.
 */
export class ByteRate {
  readonly #perSecond: number;
  readonly #bucket: Bucket;
  /** Holders that had to wait, the next one first, and when each last asked. */
  readonly #line = new Map<object, number>();
  /** What the first in line has spent in its turn. */
  #turnBytes = 0;

  constructor(bytesPerSecond: number, nowMs: number) {
    this.#perSecond = bytesPerSecond;
    const burstBytes = Math.max(LEAST_BURST_BYTES, bytesPerSecond * BURST_SECONDS);
    this.#bucket = new Bucket(burstBytes, bytesPerSecond, nowMs);
  }

  /** @param holder whoever asked in {@link waitMs} */
  spend(bytes: number, nowMs: number, holder: object): void {
    this.#bucket.spend(bytes, nowMs);
    const [first] = this.#line.keys();
    if (first !== holder) return;
    this.#turnBytes += bytes;
    if (this.#turnBytes < (this.#perSecond * STEP_MS) / 1000) return;
    this.#turnBytes = 0;
    this.#line.delete(holder);
    this.#line.set(holder, nowMs);
  }

  /** Milliseconds until more of this holder may pass; 0 when it may pass now. */
  waitMs(nowMs: number, holder: object): number {
    if (this.#line.has(holder)) this.#line.set(holder, nowMs);
    for (const [first, askedMs] of this.#line) {
      if (nowMs - askedMs <= STALE_MS) break;
      this.#line.delete(first);
      this.#turnBytes = 0;
    }
    const [first = holder] = this.#line.keys();
    if (this.#bucket.left(nowMs) > 0 && first === holder) return 0;
    this.#line.set(holder, nowMs);
    return this.#bucket.waitMs(0, nowMs) + STEP_MS;
  }
}

/** The rates of both directions of a session. */
export interface ByteRates {
  readonly sent: ByteRate;
  readonly received: ByteRate;
}

/** Makes the same rate for each direction. */
export function byteRates(bytesPerSecond: number, nowMs: number): ByteRates {
  return { sent: new ByteRate(bytesPerSecond, nowMs), received: new ByteRate(bytesPerSecond, nowMs) };
}
