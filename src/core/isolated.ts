/**
 * Turns what an event listener throws into an uncaught exception, as for a socket. Thrown into the caller, it would
 * harm what else the caller has to do.
 */
export function isolated(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
