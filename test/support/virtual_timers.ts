import type { TimerHandle, Timers } from '../../src/core/clock.js';
import { SimClock } from './sim_clock.js';

interface Pending {
  readonly callback: () => void;
}

/** Time that only the test advances. */
export class VirtualTimers implements Timers {
  readonly #clock = new SimClock();
  readonly #pending = new Set<Pending>();

  /** Timers that are still set. */
  get running(): number {
    return this.#pending.size;
  }

  /** When the next timer is due, even a cleared one; Infinity when there is none. */
  get nextAtMs(): number {
    return this.#clock.nextAtMs;
  }

  nowMs(): number {
    return this.#clock.nowMs;
  }

  set(callback: () => void, delayMs: number): TimerHandle {
    // Its own object for each timer: the callback may be set twice.
    const pending = { callback };
    this.#pending.add(pending);
    // A timer that is cleared stays planned until its time, and then does nothing.
    this.#clock.after(delayMs, () => {
      if (this.#pending.delete(pending)) callback();
    });
    return pending;
  }

  clear(handle: TimerHandle): void {
    this.#pending.delete(handle as Pending);
  }

  /** Lets `ms` pass and calls the timers that fall due, in order and each at its time. */
  advance(ms: number): void {
    this.#clock.run(this.#clock.nowMs + ms);
  }
}
