/** Monotonic time, handed in so that tests run on a clock of their own. */
export interface Clock {
  /** Milliseconds since some fixed point; never goes back. */
  nowMs(): number;
}

/** A running timer; {@link Timers.set} gives it and {@link Timers.clear} takes it. */
export type TimerHandle = unknown;

/** Timers on the same time as a {@link Clock}. */
export interface Timers extends Clock {
  /** Calls `callback` once, `delayMs` from now. It must not keep the process alive. */
  set(callback: () => void, delayMs: number): TimerHandle;
  clear(handle: TimerHandle): void;
}

/** The machine's own clock and timers. */
export const systemTimers: Timers = {
  nowMs: () => performance.now(),
  set: (callback, delayMs) => {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return timer;
  },
  clear: (handle) => {
    // Only ever handed back what `set` gave.
    clearTimeout(handle as NodeJS.Timeout);
  },
};

/** Rounded to a tenth: milliseconds as people and programs are told them. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
