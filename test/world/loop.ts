import { SimClock } from '../support/sim_clock.js';

/**
 * The event loop of a simulated world: one clock for all machines. Before time moves on, promises, ticks and
 * immediates of the main threads are carried out, so that they take no virtual time.
 */
export class Loop {
  readonly clock = new SimClock();
  /** Events so far. */
  events = 0;
  /** Code ran that may have left promises or ticks behind. */
  #isUnsettled = false;

  get nowMs(): number {
    return this.clock.nowMs;
  }

  unsettle(): void {
    this.#isUnsettled = true;
  }

  /** Runs until `untilMs`, or until `done`. @returns whether `done` became true */
  async run(untilMs: number, done: () => boolean = () => false): Promise<boolean> {
    const { clock } = this;
    for (;;) {
      if (this.#isUnsettled) await this.settle();
      if (done()) return true;
      const nextMs = clock.nextAtMs;
      if (nextMs > untilMs) {
        clock.nowMs = Math.max(clock.nowMs, untilMs);
        return false;
      }
      // Everything of one moment, then what it left behind.
      while (clock.nextAtMs === nextMs) {
        clock.step();
        this.events++;
      }
    }
  }

  async settle(): Promise<void> {
    this.#isUnsettled = false;
    // An immediate may set another one.
    for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setImmediate(resolve));
  }
}
