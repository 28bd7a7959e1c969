/** Slot numbers in a row, first in, first out; grows by doubling and is bounded by its user. */
export class SlotQueue {
  #slots = new Int32Array(64);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The oldest; undefined when empty. */
  peek(): number | undefined {
    return this.#size === 0 ? undefined : this.#slots[this.#head];
  }

  push(slot: number): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = slot;
    this.#size++;
  }

  /** Takes the oldest away; there is one. */
  shift(): void {
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#size--;
  }

  #grow(): void {
    const grown = new Int32Array(this.#slots.length * 2);
    const toEnd = this.#slots.subarray(this.#head);
    grown.set(toEnd);
    grown.set(this.#slots.subarray(0, this.#head), toEnd.length);
    this.#slots = grown;
    this.#head = 0;
  }
}
