import type { Actions } from '../../src/cli/program.js';

/** Actions of a command line that all do the same, however many commands there are. */
export function everyAction(action: () => Promise<void>): Actions {
  // Each action may be called with fewer parameters than it is given, and answers nothing.
  return new Proxy({} as Actions, { get: () => action });
}
