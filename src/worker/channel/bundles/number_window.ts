/**
 * A set of numbers as a sliding window, one bit each. The window starts at the lowest number that is not in
 * the set, and every number below it is.
 */
export class NumberWindow {
  readonly span: number;
  readonly #bits: Uint32Array;
  #floor = 0;

  /** @param span size of the window; a power of two, at least 32 */
  constructor(span: number) {
    this.span = span;
    this.#bits = new Uint32Array(span / 32);
  }

  /** The lowest number that is not in the set. */
  get floor(): number {
    return this.#floor;
  }

  /** Whether the set has `number`, which must be below `floor + span`. */
  has(number: number): boolean {
    if (number < this.#floor) return true;
    const at = (number >>> 0) & (this.span - 1);
    return (this.#bits[at >>> 5]! & (1 << (at & 31))) !== 0;
  }

  /** Adds `number`, which must be new and below `floor + span`. */
  add(number: number): void {
    const mask = this.span - 1;
    let at = (number >>> 0) & mask;
    if (number !== this.#floor) {
      this.#bits[at >>> 5]! |= 1 << (at & 31);
      return;
    }
    // `number` is the lowest missing one: move past it and all that follow, and free their bits.
    for (;;) {
      this.#floor++;
      at = (at + 1) & mask;
      const bit = 1 << (at & 31);
      if ((this.#bits[at >>> 5]! & bit) === 0) return;
      this.#bits[at >>> 5]! &= ~bit;
    }
  }
}
