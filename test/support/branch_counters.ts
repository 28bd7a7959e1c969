declare global {
  /** What code from {@link countBranches} asks for its counters. */
  var countersFor: ((branches: number) => Uint8Array) | undefined;
}

/** Counters that all code may have together; ours has some thousand branches. */
const MAX_BRANCHES = 65_536;

/**
 * How often a branch was taken, as one bit: 1, 2, 3, 4-7, 8-15, 16-31, 32-127 or more times. Another
 * round of a loop is no news then, and ten times as many are. Source: AFL, technical_details.txt, section 1.
 */
const BUCKETS = Uint8Array.from({ length: 256 }, (_, times) => {
  if (times < 4) return [0, 1, 2, 4][times]!;
  return times < 8 ? 8 : times < 16 ? 16 : times < 32 ? 32 : times < 128 ? 64 : 128;
});

/** Which branches an input takes, and whether any did so before. */
export class BranchCounters {
  readonly #taken = new Uint8Array(MAX_BRANCHES);
  readonly #words = new Uint32Array(this.#taken.buffer);
  /** A bit for each bucket that was seen. */
  #seen = new Uint8Array(MAX_BRANCHES);
  #used = 0;

  /** The counters of one module. */
  region(branches: number): Uint8Array {
    const at = this.#used;
    this.#used += branches;
    if (this.#used > MAX_BRANCHES) throw new RangeError(`more than ${MAX_BRANCHES} branches`);
    return this.#taken.subarray(at, this.#used);
  }

  /** Before an input. */
  clear(): void {
    this.#taken.fill(0, 0, this.#used);
  }

  /** After an input: whether it took a branch, or so often, as none before it. */
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

  /** {@link isNews}, however often the branch was taken. */
  isNewBranch(): boolean {
    let news = false;
    for (let at = 0; at < this.#used; at++) {
      if (this.#taken[at] === 0 || this.#seen[at] !== 0) continue;
      this.#seen[at] = BUCKETS[1]!;
      news = true;
    }
    return news;
  }

  /** Branches that were ever taken. */
  get reached(): number {
    return this.#seen.reduce((sum, bits) => sum + (bits === 0 ? 0 : 1), 0);
  }

  /** Forgets what was seen: another target, or another count. */
  forget(): void {
    this.#seen = new Uint8Array(MAX_BRANCHES);
  }
}
