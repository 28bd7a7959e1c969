import { EXIT_BY_SIGNAL } from './exit_codes.js';
import type { CliIo, EndSignal } from './io.js';

/**
 * From the start of a command to its end. The first SIGINT or SIGTERM asks it to end politely,
 * a second one ends the process at once.
 */
export class Lifetime {
  readonly #end = new AbortController();
  readonly #over: Promise<undefined>;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly #forgetSignals: Array<() => void> = [];
  #endedBy: EndSignal | undefined;
  #divert: ((signal: EndSignal) => void) | undefined;

  /** @param hangUp whether SIGHUP, which by itself kills at once, is a polite end as well */
  constructor(io: CliIo, hangUp = false) {
    this.#over = new Promise((resolve, reject) => {
      this.#resolve = () => resolve(undefined);
      this.#reject = reject;
    });
    // A failure before anybody waits is found by whoever waits later.
    this.#over.catch(() => {});
    for (const signal of ['SIGINT', 'SIGTERM', ...(hangUp ? ['SIGHUP' as const] : [])] as const) {
      const forget = io.onSignal(signal, () => {
        if (this.#divert !== undefined) this.#divert(signal);
        else if (this.#end.signal.aborted) io.exit(EXIT_BY_SIGNAL[signal]);
        else {
          this.#endedBy = signal;
          this.stop();
        }
      });
      this.#forgetSignals.push(forget);
    }
  }

  /** The signal that has ended it; undefined while it lasts, and when something else did. */
  get endedBy(): EndSignal | undefined {
    return this.#endedBy;
  }

  /** Has signals go to `taker` instead, until the answer is called. */
  divert(taker: (signal: EndSignal) => void): () => void {
    this.#divert = taker;
    return () => {
      this.#divert = undefined;
    };
  }

  /** Aborted when the end has come, for what is still starting. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends it in peace. */
  stop(): void {
    this.#resolve();
    this.#end.abort();
  }

  /** Ends it with an error, which {@link over} throws. */
  fail(error: unknown): void {
    this.#reject(error);
    this.#end.abort();
  }

  /** Waits for the end; throws what it failed of. */
  over(): Promise<undefined> {
    return this.#over;
  }

  /**
   * Waits for `work`, or for the end when that comes first: then the answer is undefined, and
   * what the work gives later goes to `late`.
   */
  async orOver<T>(work: Promise<T>, late: (value: T) => void = () => {}): Promise<T | undefined> {
    const over = () => 'over' as const;
    const finished = work.then(
      (value) => ({ value }),
      (error: unknown) => {
        // What was told to stop may fail of that.
        if (!this.#end.signal.aborted) throw error;
        return over();
      },
    );
    const first = await Promise.race([finished, this.#over.then(over, over)]);
    if (first !== 'over') return first.value;
    finished.then(
      (done) => {
        if (done !== 'over') late(done.value);
      },
      () => {},
    );
    return this.#over;
  }

  /** Forgets the signals. */
  dispose(): void {
    for (const forget of this.#forgetSignals) forget();
  }
}
