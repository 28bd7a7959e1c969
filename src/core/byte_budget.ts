export interface ByteBudgetOptions {
  /** What is taken here is taken there too. */
  readonly parent?: ByteBudget;
  /** Largest ratio of what this budget holds to what stays free in the parent. Default: no such limit. */
  readonly ratioToFree?: number;
}

/** Memory in bytes that several holders share. It counts exactly what they take and give back. */
export class ByteBudget {
  readonly #mostBytes: number;
  readonly #parent: ByteBudget | undefined;
  readonly #ratioToFree: number;
  #usedBytes = 0;

  /** @param mostBytes Infinity: only the parent limits it */
  constructor(mostBytes: number, options: ByteBudgetOptions = {}) {
    this.#mostBytes = mostBytes;
    this.#parent = options.parent;
    this.#ratioToFree = options.ratioToFree ?? Number.POSITIVE_INFINITY;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How many bytes {@link take} would give now. */
  get leftBytes(): number {
    const own = this.#mostBytes - this.#usedBytes;
    if (this.#parent === undefined) return own;
    const free = this.#parent.leftBytes;
    const ratio = this.#ratioToFree;
    if (ratio === Number.POSITIVE_INFINITY) return Math.min(own, free);
    // After taking x: used + x <= ratio * (free - x).
    const fair = Math.max(0, Math.floor((ratio * free - this.#usedBytes) / (1 + ratio)));
    return Math.min(own, fair);
  }

  /** Takes all of `bytes`. @returns false when there is not enough; then it takes nothing */
  take(bytes: number): boolean {
    if (bytes > this.leftBytes) return false;
    this.#add(bytes);
    return true;
  }

  /** Takes up to `bytes`. @returns how many it got */
  takeUpTo(bytes: number): number {
    const taken = Math.max(0, Math.min(bytes, this.leftBytes));
    this.#add(taken);
    return taken;
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    this.#add(-bytes);
  }

  #add(bytes: number): void {
    this.#usedBytes += bytes;
    if (this.#parent !== undefined) this.#parent.#add(bytes);
  }
}
