import type { Actions } from '../../src/cli/program.js';

/** Returns command line actions that all do the same, however many commands exist. */
export function everyAction(action: () => Promise<void>): Actions {
  // Each action ignores its parameters and returns nothing.
  return new Proxy({} as Actions, { get: () => action });
}
