/**
 * Virtual time in ms: runs scheduled callbacks in order of their time, and of scheduling within one moment.
 */
export class SimClock {
  nowMs = 0;
  #planned: Array<{ atMs: number; order: number; run: () => void }> = [];
  #order = 0;

  at(atMs: number, run: () => void): void {
    const heap = this.#planned;
    const event = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(event, heap[up]!)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = event;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  /** When the next callback is due; Infinity when there is none. */
  get nextAtMs(): number {
    return this.#planned[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Runs the next callback, at its time. */
  step(): void {
    const event = this.#take();
    this.nowMs = event.atMs;
    event.run();
  }

  /** Runs until `untilMs`, until nothing is scheduled, or until `done` returns true. */
  run(untilMs: number, done: () => boolean = () => false): void {
    while (this.#planned.length > 0 && this.#planned[0]!.atMs <= untilMs && !done()) {
      this.step();
    }
    if (!done()) this.nowMs = untilMs;
  }

  #take(): { atMs: number; order: number; run: () => void } {
    const heap = this.#planned;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down++;
      if (!before(heap[down]!, last)) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: { atMs: number; order: number }, b: { atMs: number; order: number }): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A repeatable source of numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
