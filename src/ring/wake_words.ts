// One ring's two wake-up flags, each on its own cache line (64 bytes). Together with HEAD and TAIL of
// ring.ts they follow one rule. One thread sets its want, THEN looks again whether it still needs it.
// The other thread does its part, THEN looks for a want. Atomics are sequentially consistent, so at
// least one of the two sees the other, and no wake-up is lost.
const SLEEPING = 0; // 1 while the reader wants to be rung for a record
const WANTS_ROOM = 16; // 1 while the writer wants to be rung for room
const WORDS = 32;

/** Bytes of shared memory for the flags of one ring. */
export const WAKE_BYTES = WORDS * 4;

/** The flags of one ring, for both threads. Only {@link RingWriter} and {@link RingReader} use them. */
export class WakeWords {
  readonly #words: Int32Array;

  /** @param byteOffset a multiple of 4 (of 64 to keep cache lines apart) */
  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new Int32Array(memory, byteOffset, WORDS);
  }

  /** Reader: asks for a ring. Look into the ring once more afterwards. */
  fallAsleep(): void {
    Atomics.store(this.#words, SLEEPING, 1);
  }

  /** Reader: asks for no ring, because it is looking anyway. A ring may still be on its way. */
  stayAwake(): void {
    Atomics.store(this.#words, SLEEPING, 0);
  }

  /** Writer, after a commit: true once for each time the reader fell asleep. Ring then. */
  takeSleeper(): boolean {
    return take(this.#words, SLEEPING);
  }

  /** Writer: asks for a ring when there is room. Try once more afterwards. */
  wantRoom(): void {
    Atomics.store(this.#words, WANTS_ROOM, 1);
  }

  /**
   * True once for each want. The reader takes it after it made room, and rings. The writer takes it to
   * withdraw it.
   */
  takeWant(): boolean {
    return take(this.#words, WANTS_ROOM);
  }

  /** Writer: true when it wants no ring, or no longer wants one. */
  wantsNothing(): boolean {
    return Atomics.load(this.#words, WANTS_ROOM) === 0;
  }
}

/**
 * Changes 1 to 0, for one caller only. The load comes first because it leaves the other thread its cache
 * line.
 */
function take(words: Int32Array, index: number): boolean {
  return Atomics.load(words, index) === 1 && Atomics.exchange(words, index, 0) === 1;
}
