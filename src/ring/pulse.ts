/**
 * Shows one thread that the other still runs: a counter in shared memory. It costs no message, and a thread that hangs
 * cannot advance it.
 */
export class Pulse {
  /** Bytes of shared memory that it needs. */
  static readonly bytes = 4;
  readonly #word: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory, 0, 1);
  }

  /** The thread that is watched: call it in each turn of its work. */
  beat(): void {
    Atomics.add(this.#word, 0, 1);
  }

  /** Beats so far, mod 2^32. Only changes of it mean anything. */
  get beats(): number {
    return Atomics.load(this.#word, 0);
  }
}
