/**
 * Which numbers of a window were met: the window begins at the lowest number not yet met and
 * moves on by itself. One bit a number; nothing is ever forgotten.
 */
export class NumberWindow {
  readonly span: number;
  readonly #bits: Uint32Array;
  #floor = 0;

  /** @param span how many numbers the window holds; a power of two, at least 32 */
  constructor(span: number) {
    this.span = span;
    this.#bits = new Uint32Array(span / 32);
  }

  /** The lowest number not yet met: all below were. */
  get floor(): number {
    return this.#floor;
  }

  /** Whether `number` was met; it is below `floor + span`. */
  has(number: number): boolean {
    if (number < this.#floor) return true;
    const at = (number >>> 0) & (this.span - 1);
    return (this.#bits[at >>> 5]! & (1 << (at & 31))) !== 0;
  }

  /** Notes `number`, which is below `floor + span` and was not met before. */
  add(number: number): void {
    const mask = this.span - 1;
    let at = (number >>> 0) & mask;
    if (number !== this.#floor) {
      this.#bits[at >>> 5]! |= 1 << (at & 31);
      return;
    }
    // The lowest one missing: move past it and all that follow it, freeing their bits.
    for (;;) {
      this.#floor++;
      at = (at + 1) & mask;
      const bit = 1 << (at & 31);
      if ((this.#bits[at >>> 5]! & bit) === 0) return;
      this.#bits[at >>> 5]! &= ~bit;
    }
  }
}
