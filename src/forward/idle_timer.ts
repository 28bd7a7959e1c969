import { Timer, type Timers } from '../core/clock.js';

/**
 * Calls back once, after `idleMs` milliseconds without a touch. A touch is cheap, because it sets no timer.
 */
export class IdleTimer {
  readonly #timers: Timers;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  readonly #timer: Timer;
  #touchedMs: number;

  /** Starts at once. */
  constructor(timers: Timers, idleMs: number, onIdle: () => void) {
    this.#timers = timers;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#timer = new Timer(timers);
    this.#touchedMs = timers.nowMs();
    this.#wait(idleMs);
  }

  /** The time of the last touch, on the clock of the timers. */
  get touchedMs(): number {
    return this.#touchedMs;
  }

  touch(): void {
    this.#touchedMs = this.#timers.nowMs();
  }

  stop(): void {
    this.#timer.clear();
  }

  #wait(delayMs: number): void {
    this.#timer.set(delayMs, () => {
      const leftMs = this.#touchedMs + this.#idleMs - this.#timers.nowMs();
      if (leftMs > 0) this.#wait(leftMs);
      else this.#onIdle();
    });
  }
}
