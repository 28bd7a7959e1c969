import { MessageChannel } from 'node:worker_threads';

/** Monotonic time. Code gets it as an argument, so that tests can use their own clock. */
export interface Clock {
  /** Milliseconds since an arbitrary fixed point; never goes back. */
  nowMs(): number;
}

/** A pending timer, from {@link Timers.set} and for {@link Timers.clear}. */
export type TimerHandle = unknown;

/** Timers on the same time as a {@link Clock}. */
export interface Timers extends Clock {
  /** Calls `callback` once, `delayMs` from now. The timer does not keep the process alive. */
  set(callback: () => void, delayMs: number): TimerHandle;
  clear(handle: TimerHandle): void;
}

/** The clock and timers of this machine. */
export const systemTimers: Timers = {
  nowMs: () => performance.now(),
  set: (callback, delayMs) => {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return timer;
  },
  clear: (handle) => {
    // Callers pass only handles from `set`.
    clearTimeout(handle as NodeJS.Timeout);
  },
};

/** Keeps the process running, which {@link systemTimers} do not. Returns a function that undoes this. */
export function keepProcess(): () => void {
  const { port1 } = new MessageChannel();
  port1.ref();
  return () => port1.close();
}

/** Rounds milliseconds to a tenth, for people and for events. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

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

  /** Calls `callback` each `intervalMs`, the first time after one, until {@link clear} or {@link set}. */
  every(intervalMs: number, callback: () => void): void {
    this.set(intervalMs, () => {
      this.every(intervalMs, callback);
      callback();
    });
  }

  /** Cancels the pending call. Does nothing when there is none. */
  clear(): void {
    if (this.#handle === undefined) return;
    this.#timers.clear(this.#handle);
    this.#handle = undefined;
  }
}
