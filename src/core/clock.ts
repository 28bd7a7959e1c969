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

/** Rounds milliseconds to a tenth, for people and for events. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
