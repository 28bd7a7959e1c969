import type { ByteRate } from '../../core/allowance.js';
import type { Clock } from '../../core/clock.js';

/** All rates that bytes in one direction of a session must keep. */
export class Pace {
  readonly #rates: readonly ByteRate[];
  readonly #clock: Clock;

  constructor(rates: readonly ByteRate[], clock: Clock) {
    this.#rates = rates;
    this.#clock = clock;
  }

  get isOpen(): boolean {
    return this.#rates.length === 0 || this.waitMs() === 0;
  }

  spend(bytes: number): void {
    if (this.#rates.length === 0) return;
    const nowMs = this.#clock.nowMs();
    for (const rate of this.#rates) rate.spend(bytes, nowMs, this);
  }

  /** Milliseconds until {@link isOpen}. */
  waitMs(): number {
    if (this.#rates.length === 0) return 0;
    const nowMs = this.#clock.nowMs();
    return Math.max(...this.#rates.map((rate) => rate.waitMs(nowMs, this)));
  }
}
