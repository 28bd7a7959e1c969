import type { TimerHandle, Timers } from '../../core/clock.js';

/** Waits, but not for ever, and not beyond a command's end. */
export class Waiter {
  readonly #timers: Timers;
  readonly #signal: AbortSignal;

  constructor(timers: Timers, signal: AbortSignal) {
    this.#timers = timers;
    this.#signal = signal;
  }

  /** Undefined when `work` takes longer, or the signal is aborted. @param ms undefined: however long it takes */
  within<T>(ms: number | undefined, work: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const timer: TimerHandle | undefined =
        ms === undefined ? undefined : this.#timers.set(() => settle(() => resolve(undefined)), ms);
      const settle = (how: () => void): void => {
        if (timer !== undefined) this.#timers.clear(timer);
        this.#signal.removeEventListener('abort', stop);
        how();
      };
      const stop = (): void => settle(() => resolve(undefined));
      this.#signal.addEventListener('abort', stop);
      if (this.#signal.aborted) stop();
      else
        work.then(
          (value) => settle(() => resolve(value)),
          (error: unknown) => settle(() => reject(error)),
        );
    });
  }

  /** The command ends. */
  get isOver(): boolean {
    return this.#signal.aborted;
  }

  /** Lets the time pass, or the signal be aborted. */
  async pause(ms: number): Promise<void> {
    await this.within(ms, new Promise<never>(() => {}));
  }
}
