/** A token bucket without a timer: limits events to a burst, then to a rate. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #atMs: number;
  #refused = 0;

  /** @param burst events at once; Infinity for no limit */
  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /** Takes a token. @returns false when there is none, so the event must not pass */
  take(nowMs: number): boolean {
    if (this.#burst === Number.POSITIVE_INFINITY) return true;
    this.#refill(nowMs);
    if (this.#left < 1) {
      this.#refused++;
      return false;
    }
    this.#left--;
    return true;
  }

  /** Milliseconds until {@link take} succeeds; 0 if it would succeed now. Takes no token. */
  waitMs(nowMs: number): number {
    if (this.#burst === Number.POSITIVE_INFINITY) return 0;
    this.#refill(nowMs);
    return this.#left >= 1 ? 0 : ((1 - this.#left) / this.#perSecond) * 1000;
  }

  /** Returns how many events were refused since the last call. */
  takeRefused(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }

  #refill(nowMs: number): void {
    this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
  }
}

/** Bytes that may pass at once after a pause: this part of a second's worth, but enough for a few frames. */
const BURST_SECONDS = 1 / 8;
const LEAST_BURST_BYTES = 16 * 1024;
/** A wait lasts until this many milliseconds' worth may pass, so that timers do not run for each frame. */
const STEP_MS = 10;
/** A holder that has not asked for this long, in milliseconds, loses its place in line. */
const STALE_MS = 50;

/**
 * A token bucket of bytes, without a timer. What is spent may exceed what is left by one piece; then nothing passes
 * until time has made up for it. Several holders may share one: those that had to wait take turns.
 */
export class ByteRate {
  readonly #perSecond: number;
  readonly #burstBytes: number;
  #leftBytes: number;
  #atMs: number;
  /** Holders that had to wait, the next one first, and when each last asked. */
  readonly #line = new Map<object, number>();
  /** What the first in the line has spent in its turn. */
  #turnBytes = 0;

  constructor(bytesPerSecond: number, nowMs: number) {
    this.#perSecond = bytesPerSecond;
    this.#burstBytes = Math.max(LEAST_BURST_BYTES, bytesPerSecond * BURST_SECONDS);
    this.#leftBytes = this.#burstBytes;
    this.#atMs = nowMs;
  }

  /** @param holder whoever asked in {@link waitMs} */
  spend(bytes: number, nowMs: number, holder: object): void {
    this.#refill(nowMs);
    this.#leftBytes -= bytes;
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
    this.#refill(nowMs);
    if (this.#line.has(holder)) this.#line.set(holder, nowMs);
    for (const [first, askedMs] of this.#line) {
      if (nowMs - askedMs <= STALE_MS) break;
      this.#line.delete(first);
      this.#turnBytes = 0;
    }
    const [first = holder] = this.#line.keys();
    if (this.#leftBytes > 0 && first === holder) return 0;
    this.#line.set(holder, nowMs);
    return Math.max(0, (-this.#leftBytes / this.#perSecond) * 1000) + STEP_MS;
  }

  #refill(nowMs: number): void {
    const filled = ((nowMs - this.#atMs) / 1000) * this.#perSecond;
    this.#leftBytes = Math.min(this.#burstBytes, this.#leftBytes + filled);
    this.#atMs = nowMs;
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
