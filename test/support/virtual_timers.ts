import type { TimerHandle, Timers } from '../../src/core/clock.js';

/** Time that only the test advances. */
export class VirtualTimers implements Timers {
  #nowMs = 0;
  readonly #due = new Map<object, { readonly atMs: number; readonly callback: () => void }>();

  /** Timers that are still set. */
  get running(): number {
    return this.#due.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  set(callback: () => void, delayMs: number): TimerHandle {
    const handle = {};
    this.#due.set(handle, { atMs: this.#nowMs + delayMs, callback });
    return handle;
  }

  clear(handle: TimerHandle): void {
    if (typeof handle === 'object' && handle !== null) this.#due.delete(handle);
  }

  /** Lets `ms` pass and calls the timers that fall due, in order and each at its time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#due].sort(([, a], [, b]) => a.atMs - b.atMs);
      if (next === undefined || next[1].atMs > endMs) break;
      this.#due.delete(next[0]);
      this.#nowMs = next[1].atMs;
      next[1].callback();
    }
    this.#nowMs = endMs;
  }
}
