import type { TimerHandle, Timers } from './clock.js';

/** One timer that can be set again and again. At most one call is pending at any time. */
export class Timer {
  readonly #timers: Timers;
  #handle: TimerHandle | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** True from {@link set} until the callback runs or {@link clear}. */
  get isSet(): boolean {
    return this.#handle !== undefined;
  }

  /** Calls `callback` once, `delayMs` from now. Replaces the pending call, if any. */
  set(delayMs: number, callback: () => void): void {
    this.clear();
    this.#handle = this.#timers.set(() => {
      this.#handle = undefined;
      callback();
    }, delayMs);
  }

  /** Cancels the pending call. Does nothing when there is none. */
  clear(): void {
    if (this.#handle === undefined) return;
    this.#timers.clear(this.#handle);
    this.#handle = undefined;
  }
}
