import type { TimerHandle, Timers } from '../core/clock.js';

/** Calls back once when nothing was touched for a while. A touch costs no timer. */
export class IdleTimer {
  readonly #timers: Timers;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #touchedMs: number;
  #timer: TimerHandle | undefined;

  /** Runs from now on. */
  constructor(timers: Timers, idleMs: number, onIdle: () => void) {
    this.#timers = timers;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#touchedMs = timers.nowMs();
    this.#wait(idleMs);
  }

  /** When it was touched last, on the timers' clock. */
  get touchedMs(): number {
    return this.#touchedMs;
  }

  touch(): void {
    this.#touchedMs = this.#timers.nowMs();
  }

  stop(): void {
    if (this.#timer !== undefined) this.#timers.clear(this.#timer);
    this.#timer = undefined;
  }

  #wait(delayMs: number): void {
    this.#timer = this.#timers.set(() => {
      this.#timer = undefined;
      const leftMs = this.#touchedMs + this.#idleMs - this.#timers.nowMs();
      if (leftMs > 0) this.#wait(leftMs);
      else this.#onIdle();
    }, delayMs);
  }
}
