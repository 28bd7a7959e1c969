// One ring's two wake-up flags, each on a cache line (64 bytes) of its own. With HEAD and TAIL of
// ring.ts they follow one rule: say what you want, THEN look once more whether you need it; the
// other thread does its part, THEN looks whether somebody wants it. Atomics are sequentially
// consistent, so at least one of the two sees the other, and no wake-up is lost.
const SLEEPING = 0; // 1 while the consumer wants to be rung for a record
const WANTS_ROOM = 16; // 1 while the producer wants to be rung for room
const WORDS = 32;

/** Bytes of shared memory for the flags of one ring. */
export const WAKE_BYTES = WORDS * 4;

/** The flags of one ring, as both threads see them. Only {@link Outbox} and {@link Inbox} use them. */
export class WakeWords {
  readonly #words: Int32Array;

  /** @param byteOffset a multiple of 4 (of 64 to keep cache lines apart) */
  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new Int32Array(memory, byteOffset, WORDS);
  }

  /** Consumer: ring me. To be followed by a look into the ring. */
  fallAsleep(): void {
    Atomics.store(this.#words, SLEEPING, 1);
  }

  /** Consumer: don't ring me, I am looking anyway. A ring may still be under way. */
  stayAwake(): void {
    Atomics.store(this.#words, SLEEPING, 0);
  }

  /** Producer, after a commit: true once for each time the consumer fell asleep. Then ring. */
  takeSleeper(): boolean {
    return take(this.#words, SLEEPING);
  }

  /** Producer: ring me when there is room. To be followed by one more try. */
  wantRoom(): void {
    Atomics.store(this.#words, WANTS_ROOM, 1);
  }

  /** True once for each want. The consumer's, after it made room: then ring. The producer's own: to withdraw it. */
  takeWant(): boolean {
    return take(this.#words, WANTS_ROOM);
  }

  /** Producer: whether nothing is wanted (any more). */
  wantsNothing(): boolean {
    return Atomics.load(this.#words, WANTS_ROOM) === 0;
  }
}

/** 1 to 0, for one caller alone. The load first: it leaves the other thread its cache line. */
function take(words: Int32Array, index: number): boolean {
  return Atomics.load(words, index) === 1 && Atomics.exchange(words, index, 0) === 1;
}
