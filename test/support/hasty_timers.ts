import type { Timers } from '../../src/core/clock.js';

/** Timers for code that waits for one thing at a time: each timer is due at once, and the clock jumps to it. */
export function hastyTimers(): Timers {
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    set: (callback, delayMs) =>
      setImmediate(() => {
        nowMs += delayMs;
        callback();
      }),
    // Callers pass only handles from `set`.
    clear: (handle) => clearImmediate(handle as NodeJS.Immediate),
  };
}
