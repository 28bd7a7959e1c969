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
