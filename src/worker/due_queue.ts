/** Something that waits for a point in time. Only its queue changes these fields. */
export interface Waiting {
  /** When it is due, in milliseconds; Infinity: not by itself. */
  dueMs: number;
  /** Its place in the queue; -1: it is not in the queue. */
  place: number;
}

/**
 * Entries by the time at which each is due: a binary heap in which each entry knows its place, so that its time
 * can change. Finding the entries that are due takes no time for the others.
 */
export class DueQueue<Entry extends Waiting> {
  readonly #heap: Entry[] = [];

  /** When the first one is due; Infinity when none is by itself. */
  get nextMs(): number {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  /** Sets when an entry is due, whether it is in the queue or not. */
  set(entry: Entry, dueMs: number): void {
    if (dueMs === Number.POSITIVE_INFINITY) {
      this.delete(entry);
      entry.dueMs = dueMs;
      return;
    }
    const beforeMs = entry.dueMs;
    entry.dueMs = dueMs;
    if (entry.place < 0) this.#up(entry, this.#heap.length);
    else if (dueMs < beforeMs) this.#up(entry, entry.place);
    else this.#down(entry, entry.place);
  }

  /** Takes out the first entry that is due at this time. */
  take(nowMs: number): Entry | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.dueMs > nowMs) return undefined;
    this.delete(first);
    return first;
  }

  delete(entry: Entry): void {
    const { place } = entry;
    if (place < 0) return;
    entry.place = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    // The last one takes the place, and may belong above or below it.
    this.#up(last, place);
    this.#down(last, last.place);
  }

  #up(entry: Entry, from: number): void {
    let place = from;
    while (place > 0) {
      const above = this.#heap[(place - 1) >> 1]!;
      if (above.dueMs <= entry.dueMs) break;
      this.#put(above, place);
      place = (place - 1) >> 1;
    }
    this.#put(entry, place);
  }

  #down(entry: Entry, from: number): void {
    let place = from;
    for (;;) {
      let below = this.#heap[2 * place + 1];
      const right = this.#heap[2 * place + 2];
      if (below !== undefined && right !== undefined && right.dueMs < below.dueMs) below = right;
      if (below === undefined || below.dueMs >= entry.dueMs) break;
      const next = below.place;
      this.#put(below, place);
      place = next;
    }
    this.#put(entry, place);
  }

  #put(entry: Entry, place: number): void {
    this.#heap[place] = entry;
    entry.place = place;
  }
}
