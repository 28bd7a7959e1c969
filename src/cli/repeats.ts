import type { TimerHandle, Timers } from '../core/clock.js';

/** How long equal lines are counted before their number is shown, in milliseconds. */
const WINDOW_MS = 10_000;
/** Different lines that are counted at once; of further ones only the number is shown. */
const MAX_LINES = 64;

interface Repeated {
  count: number;
  timer: TimerHandle;
}

/** Sums up lines that may come thousands of times: shows the first of equal ones at once, then how many more came. */
export class Repeats {
  readonly #timers: Timers;
  readonly #show: (line: string) => void;
  /** Lines that were shown lately. */
  readonly #lines = new Map<string, Repeated>();
  /** Lines that were not even counted one by one. */
  #others: Repeated | undefined;

  constructor(timers: Timers, show: (line: string) => void) {
    this.#timers = timers;
    this.#show = show;
  }

  add(line: string): void {
    const known = this.#lines.get(line);
    if (known !== undefined) {
      known.count++;
    } else if (this.#lines.size < MAX_LINES) {
      this.#show(line);
      this.#lines.set(
        line,
        this.#newWindow(() => this.#endWindow(line)),
      );
    } else {
      this.#others ??= this.#newWindow(() => this.#endOthers());
      this.#others.count++;
    }
  }

  /** Shows the numbers that wait for the end of their window. */
  flush(): void {
    for (const line of [...this.#lines.keys()]) this.#endWindow(line);
    this.#endOthers();
    for (const { timer } of this.#lines.values()) this.#timers.clear(timer);
    this.#lines.clear();
  }

  #newWindow(end: () => void): Repeated {
    return { count: 0, timer: this.#timers.set(end, WINDOW_MS) };
  }

  #endWindow(line: string): void {
    const repeated = this.#lines.get(line);
    if (repeated === undefined) return;
    this.#timers.clear(repeated.timer);
    this.#lines.delete(line);
    if (repeated.count === 0) return;
    this.#show(`… and ${more(repeated.count)}: ${line}`);
    // A line that keeps coming is shown as a number from then on.
    this.#lines.set(
      line,
      this.#newWindow(() => this.#endWindow(line)),
    );
  }

  #endOthers(): void {
    if (this.#others === undefined) return;
    const { count, timer } = this.#others;
    this.#timers.clear(timer);
    this.#others = undefined;
    this.#show(`… and ${more(count)} of other lines like these`);
  }
}

function more(count: number): string {
  return `${count.toLocaleString('en')} more in the last ${WINDOW_MS / 1000} s`;
}
