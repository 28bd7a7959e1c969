import { Timer, type Timers } from './clock.js';

/** Log levels, from the rarest to the most frequent. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Receives the library's log lines. Without a logger the library writes nothing anywhere. */
export interface Logger {
  /** The most frequent level that it wants. The library does not even collect what only deeper levels show. Default info. */
  readonly level?: LogLevel;
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/**
 * Discards everything; the default.
 *
 * @example
 * ```ts
 * const listener = await listen({ logger: process.env.QUIET ? silentLogger : logger });
 * ```
 */
export const silentLogger: Logger = { log: () => {} };

/** Distinct lines that are counted individually; further ones are counted together. */
const MAX_LINES = 64;

interface Repeated {
  readonly line: string;
  count: number;
  readonly timer: Timer;
}

/**
 * Limits lines that may repeat thousands of times: shows the first at once, then only how many more followed.
 */
export class Repeats {
  readonly #timers: Timers;
  readonly #windowMs: number;
  readonly #show: (line: string, kind: string) => void;
  /** Recently shown lines, by kind. */
  readonly #recent = new Map<string, Repeated>();
  /** Further distinct lines, counted together. */
  #others: Repeated | undefined;

  /**
   * @param windowMs how long it counts repeated lines before it shows the count
   * @param show shows a line; `kind` is the one given to {@link add}
   */
  constructor(timers: Timers, windowMs: number, show: (line: string, kind: string) => void) {
    this.#timers = timers;
    this.#windowMs = windowMs;
    this.#show = show;
  }

  /** Shows or counts a line. @param kind lines of the same kind count as repeated; default: equal lines */
  add(line: string, kind = line): void {
    const known = this.#recent.get(kind);
    if (known !== undefined) {
      known.count++;
    } else if (this.#recent.size < MAX_LINES) {
      this.#show(line, kind);
      this.#count(line, kind);
    } else {
      this.#others ??= this.#newWindow(line, () => this.#endOthers());
      this.#others.count++;
    }
  }

  /** Shows the pending counts and forgets all lines. */
  flush(): void {
    for (const [kind, repeated] of this.#recent) {
      repeated.timer.clear();
      this.#showCount(kind, repeated);
    }
    this.#recent.clear();
    this.#endOthers();
  }

  #count(line: string, kind: string): void {
    this.#recent.set(
      kind,
      this.#newWindow(line, () => this.#endWindow(kind)),
    );
  }

  #newWindow(line: string, end: () => void): Repeated {
    const timer = new Timer(this.#timers);
    timer.set(this.#windowMs, end);
    return { line, count: 0, timer };
  }

  #endWindow(kind: string): void {
    const repeated = this.#recent.get(kind);
    if (repeated === undefined) return;
    this.#recent.delete(kind);
    this.#showCount(kind, repeated);
    // From now on, a line that keeps repeating is shown only as a count.
    if (repeated.count > 0) this.#count(repeated.line, kind);
  }

  #showCount(kind: string, { line, count }: Repeated): void {
    if (count > 0) this.#show(`… and ${shown(count)} more ${this.#span()}: ${line}`, kind);
  }

  #endOthers(): void {
    if (this.#others === undefined) return;
    const { count, timer } = this.#others;
    timer.clear();
    this.#others = undefined;
    this.#show(`… ${shown(count)} other lines ${this.#span()}`, '');
  }

  #span(): string {
    return `in the last ${this.#windowMs / 1000} s`;
  }
}

const shown = (count: number): string => count.toLocaleString('en');
