import type { Datagram } from './datagram_queue.js';

/** Number of groups that sources are hashed into. Outsiders cannot predict the hash. */
export const SOURCE_GROUPS = 32;

interface Waiting {
  readonly datagram: Datagram;
  next: Waiting | undefined;
}

/** The datagrams of one group of sources, oldest first. */
interface Group {
  first: Waiting | undefined;
  last: Waiting | undefined;
  count: number;
}

/**
 * Datagrams of many sources, which take turns. When it is full, the oldest datagram of the largest group is
 * dropped, so a flood from one source does not affect others, and what is left is fresh.
 */
export class FairQueue {
  readonly #maxDatagrams: number;
  readonly #groups: readonly Group[] = Array.from({ length: SOURCE_GROUPS }, () => ({
    first: undefined,
    last: undefined,
    count: 0,
  }));
  #count = 0;
  #dropped = 0;
  #turn = 0;

  /** @param maxDatagrams at least 1 */
  constructor(maxDatagrams: number) {
    this.#maxDatagrams = maxDatagrams;
  }

  get count(): number {
    return this.#count;
  }

  /** Datagrams dropped for lack of room so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param source a number below {@link SOURCE_GROUPS} */
  push(datagram: Datagram, source: number): void {
    const group = this.#groups[source]!;
    const waiting: Waiting = { datagram, next: undefined };
    if (group.last === undefined) group.first = waiting;
    else group.last.next = waiting;
    group.last = waiting;
    group.count++;
    if (++this.#count <= this.#maxDatagrams) return;
    let longest = group;
    for (const other of this.#groups) if (other.count > longest.count) longest = other;
    this.#take(longest);
    this.#dropped++;
  }

  /** Returns the oldest datagram of the next group. */
  shift(): Datagram | undefined {
    if (this.#count === 0) return undefined;
    do this.#turn = (this.#turn + 1) % SOURCE_GROUPS;
    while (this.#groups[this.#turn]!.count === 0);
    return this.#take(this.#groups[this.#turn]!);
  }

  clear(): void {
    while (this.shift() !== undefined);
  }

  #take(group: Group): Datagram | undefined {
    const { first } = group;
    if (first === undefined) return undefined;
    group.first = first.next;
    if (group.first === undefined) group.last = undefined;
    group.count--;
    this.#count--;
    return first.datagram;
  }
}
