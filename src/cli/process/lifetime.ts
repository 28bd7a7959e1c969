import { type EndSignal, EXIT_BY_SIGNAL } from './exit_codes.js';
import type { CliIo } from './io.js';

/** What SIGHUP does: it stops the command gracefully, or calls the function, and the command continues. */
export type OnHangUp = 'end' | (() => void);

/**
 * The time from the start of a command to its end. The first SIGINT, SIGTERM or, with `end`, SIGHUP stops the
 * command gracefully. A second SIGINT or SIGTERM ends the process at once.
 */
export class Lifetime {
  readonly #end = new AbortController();
  readonly #over: Promise<undefined>;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly #forgetSignals: Array<() => void> = [];
  #endedBy: EndSignal | undefined;
  #divert: ((signal: EndSignal) => void) | undefined;

  constructor(io: Pick<CliIo, 'onSignal' | 'exit'>, onHangUp: OnHangUp) {
    this.#over = new Promise((resolve, reject) => {
      this.#resolve = () => resolve(undefined);
      this.#reject = reject;
    });
    // over() reports a failure that happens before anything waits.
    this.#over.catch(() => {});
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const forget = io.onSignal(signal, () => {
        if (this.#divert !== undefined) this.#divert(signal);
        else if (signal === 'SIGHUP' && onHangUp !== 'end') onHangUp();
        // A terminal that closes sends SIGHUP twice: through the system, and through its shell.
        else if (signal === 'SIGHUP' && this.#end.signal.aborted) return;
        else if (this.#end.signal.aborted) io.exit(EXIT_BY_SIGNAL[signal]);
        else {
          this.#endedBy = signal;
          this.stop();
        }
      });
      this.#forgetSignals.push(forget);
    }
  }

  /** The signal that ended the command; undefined while it runs, and when something else ended it. */
  get endedBy(): EndSignal | undefined {
    return this.#endedBy;
  }

  /** Passes signals to `taker` instead. Returns a function that restores the default. */
  divert(taker: (signal: EndSignal) => void): () => void {
    this.#divert = taker;
    return () => {
      this.#divert = undefined;
    };
  }

  /** Aborted at the end. It cancels whatever is still starting. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends the command without an error. */
  stop(): void {
    this.#resolve();
    this.#end.abort();
  }

  /** Ends the command with an error, which {@link over} throws. */
  fail(error: unknown): void {
    this.#reject(error);
    this.#end.abort();
  }

  /** Waits for the end. Throws the error passed to {@link fail}. */
  over(): Promise<undefined> {
    return this.#over;
  }

  /**
   * Waits for `work` or for the end, whichever comes first. At the end it returns undefined, and `late` gets
   * the result of the work when it arrives.
   */
  async orOver<T>(work: Promise<T>, late: (value: T) => void = () => {}): Promise<T | undefined> {
    const over = () => 'over' as const;
    const finished = work.then(
      (value) => ({ value }),
      (error: unknown) => {
        // Work that is cancelled may fail because of that.
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

  /** Stops listening for signals. */
  dispose(): void {
    for (const forget of this.#forgetSignals) forget();
  }
}
