/** Lets so much pass a second, and after a pause twice as much at once (a token bucket). No timer. */
export class Rate {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  #atMs: number;

  /** @param perSecond Infinity for no bound */
  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = 2 * perSecond;
    this.#left = this.#most;
    this.#atMs = nowMs;
  }

  /** True when one more may pass now; it is counted. */
  take(nowMs: number): boolean {
    if (this.#most === Number.POSITIVE_INFINITY) return true;
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
