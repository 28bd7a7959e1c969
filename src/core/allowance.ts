/** So many at once, and so many a second after that: a token bucket, without a timer. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #atMs: number;
  #refused = 0;

  /** @param burst Infinity for no bound */
  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /** True for one that may pass. */
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

  /** Milliseconds until {@link take} lets one pass, 0 for now. Takes nothing. */
  waitMs(nowMs: number): number {
    if (this.#burst === Number.POSITIVE_INFINITY) return 0;
    this.#refill(nowMs);
    return this.#left >= 1 ? 0 : ((1 - this.#left) / this.#perSecond) * 1000;
  }

  /** How many were refused since this was last asked. */
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
