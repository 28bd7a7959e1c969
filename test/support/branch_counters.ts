declare global {
  /** The interface through which code from {@link countBranches} asks for its counters. */
  var countersFor: ((branches: number) => Uint8Array) | undefined;
}

/** Maximum number of counters for all code together; ours has a few thousand branches. */
const MAX_BRANCHES = 65_536;

/**
 * Maps the count of a branch to one bit: 1, 2, 3, 4-7, 8-15, 16-31, 32-127 or more times. One more round of a
 * loop then adds nothing new, but ten times as many rounds do. Source: AFL, technical_details.txt, section 1.
 */
const BUCKETS = Uint8Array.from({ length: 256 }, (_, times) => {
  if (times < 4) return [0, 1, 2, 4][times]!;
  return times < 8 ? 8 : times < 16 ? 16 : times < 32 ? 32 : times < 128 ? 64 : 128;
});

/** Records which branches an input takes, and whether an earlier input took them. */
export class BranchCounters {
  readonly #taken = new Uint8Array(MAX_BRANCHES);
  readonly #words = new Uint32Array(this.#taken.buffer);
  /** One bit for each bucket seen. */
  #seen = new Uint8Array(MAX_BRANCHES);
  #used = 0;

  /** The counters of one module. */
  region(branches: number): Uint8Array {
    const at = this.#used;
    this.#used += branches;
    if (this.#used > MAX_BRANCHES) throw new RangeError(`more than ${MAX_BRANCHES} branches`);
    return this.#taken.subarray(at, this.#used);
  }

  /** Call before an input. */
  clear(): void {
    this.#taken.fill(0, 0, this.#used);
  }

  /**
   * Call after an input: returns whether it took a branch, or a count bucket of a branch, that no earlier
   * input took.
   */
  isNews(): boolean {
    let news = false;
    const words = (this.#used + 3) >> 2;
    for (let word = 0; word < words; word++) {
      if (this.#words[word] === 0) continue;
      for (let at = word * 4; at < word * 4 + 4; at++) {
        const bit = BUCKETS[this.#taken[at]!]!;
        if ((bit & ~this.#seen[at]!) === 0) continue;
        this.#seen[at]! |= bit;
        news = true;
      }
    }
    return news;
  }

  /** Like {@link isNews}, but ignores the count. */
  isNewBranch(): boolean {
    let news = false;
    for (let at = 0; at < this.#used; at++) {
      if (this.#taken[at] === 0 || this.#seen[at] !== 0) continue;
      this.#seen[at] = BUCKETS[1]!;
      news = true;
    }
    return news;
  }

  /** The number of branches taken so far. */
  get reached(): number {
    return this.#seen.reduce((sum, bits) => sum + (bits === 0 ? 0 : 1), 0);
  }

  /** Forgets everything seen, for another target or another way of counting. */
  forget(): void {
    this.#seen = new Uint8Array(MAX_BRANCHES);
  }
}
