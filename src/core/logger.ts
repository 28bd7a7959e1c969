import type { TimerHandle, Timers } from './clock.js';

/** From the rarest to the most frequent. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Where a library says what it does. It never writes anywhere by itself. */
export interface Logger {
  /** The most frequent level that it wants; what only deeper ones would show is not even found out. Default info. */
  readonly level?: LogLevel;
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Says nothing: the default. */
export const silentLogger: Logger = { log: () => {} };

/** Distinct lines that are counted one by one; further ones are counted together. */
const MAX_LINES = 64;

interface Repeated {
  readonly line: string;
  count: number;
  timer: TimerHandle;
}

/** Limits lines that may repeat thousands of times: shows the first at once, then only the number of further ones. */
export class Repeats {
  readonly #timers: Timers;
  readonly #windowMs: number;
  readonly #show: (line: string, kind: string) => void;
  /** Lines that were shown lately, by kind. */
  readonly #recent = new Map<string, Repeated>();
  /** Further distinct lines, counted together. */
  #others: Repeated | undefined;

  /**
   * @param windowMs how long repeated lines are counted before their number is shown
   * @param show shows a line; `kind` is that of {@link add}
   */
  constructor(timers: Timers, windowMs: number, show: (line: string, kind: string) => void) {
    this.#timers = timers;
    this.#windowMs = windowMs;
    this.#show = show;
  }

  /** @param kind lines of the same kind count as repeated */
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

  /** Shows the pending numbers, and starts afresh. */
  flush(): void {
    for (const [kind, repeated] of this.#recent) {
      this.#timers.clear(repeated.timer);
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
    return { line, count: 0, timer: this.#timers.set(end, this.#windowMs) };
  }

  #endWindow(kind: string): void {
    const repeated = this.#recent.get(kind);
    if (repeated === undefined) return;
    this.#recent.delete(kind);
    this.#showCount(kind, repeated);
    // A line that keeps repeating is shown only as a number from now on.
    if (repeated.count > 0) this.#count(repeated.line, kind);
  }

  #showCount(kind: string, { line, count }: Repeated): void {
    if (count > 0) this.#show(`… and ${shown(count)} more ${this.#span()}: ${line}`, kind);
  }

  #endOthers(): void {
    if (this.#others === undefined) return;
    const { count, timer } = this.#others;
    this.#timers.clear(timer);
    this.#others = undefined;
    this.#show(`… ${shown(count)} other lines ${this.#span()}`, '');
  }

  #span(): string {
    return `in the last ${this.#windowMs / 1000} s`;
  }
}

const shown = (count: number): string => count.toLocaleString('en');
