import type { Doorbell } from './doorbell.js';
import { HEAD, LENGTH_BYTES, occupiedBytes, RingMemory, SKIP, TAIL } from './ring.js';
import type { WakeWords } from './wake_words.js';

/**
 * The reader tells the writer its position at least once in this fraction of the ring, and at the
 * end of every drain. A store for each record would take the writer's cached line away each time.
 */
const PUBLISH_FRACTION = 8;

/** 128 records of 1 KB take 0.1 to 1 ms: short enough for a keystroke on a socket. */
const DEFAULT_BUDGET_RECORDS = 128;

/**
 * Takes one record: `length` bytes of `bytes` from `offset`, a multiple of 4. They are valid until
 * it returns. Returning false leaves the record in the ring.
 */
export type TakeRecord = (bytes: Uint8Array, offset: number, length: number) => boolean;

export interface RingReaderOptions {
  /** Records in one slice. After a slice, sockets and timers get their turn. Default 128. */
  readonly budgetRecords?: number;
  /** Runs the next slice after the pending events. Default `setImmediate`. */
  readonly nextTurn?: (slice: () => void) => void;
}

/**
 * The reading end of a ring: one thread, one reader. It takes records in slices while there are
 * any, then sleeps until the writer rings. The order that loses no wake-up is only in this class:
 * fall asleep, look again, and only then wait.
 */
export class RingReader extends RingMemory {
  readonly #words: WakeWords;
  readonly #bell: Pick<Doorbell, 'ring'>;
  readonly #budgetRecords: number;
  readonly #nextTurn: (slice: () => void) => void;
  readonly #publishEveryBytes = this.capacityBytes / PUBLISH_FRACTION;
  #tail = Atomics.load(this.control, TAIL) >>> 0;
  #publishedTail = this.#tail;
  #draining = false;
  #take: TakeRecord | undefined;
  /** A slice waits for its turn. */
  #due = false;
  /** `take` refused the oldest record. Only {@link resume} continues. */
  #blocked = false;
  #stopped = false;

  constructor(
    memory: SharedArrayBuffer,
    words: WakeWords,
    bell: Pick<Doorbell, 'ring'>,
    options: RingReaderOptions = {},
  ) {
    super(memory);
    this.#words = words;
    this.#bell = bell;
    this.#budgetRecords = options.budgetRecords ?? DEFAULT_BUDGET_RECORDS;
    this.#nextTurn = options.nextTurn ?? ((slice) => void setImmediate(slice));
  }

  /**
   * Hands every record to `take`, in order, from the next turn of the event loop on. When `take`
   * returns false, the record stays and nothing is taken until {@link resume}. The same happens
   * when it throws, and the error goes to the event loop.
   */
  run(take: TakeRecord): void {
    if (this.#take !== undefined) throw new Error('this ring already has a consumer');
    this.#take = take;
    this.#continue();
  }

  /** Continues after `take` refused a record. */
  resume(): void {
    this.#blocked = false;
    this.#continue();
  }

  /** Call whenever the bell rings, whatever the reason. */
  rung(): void {
    if (!this.#due && !this.#blocked) this.#slice();
  }

  /** Stops taking records. */
  stop(): void {
    this.#stopped = true;
    this.#words.stayAwake();
  }

  /**
   * Hands records to `take`, oldest first, until the budget is used, the ring is empty, or `take`
   * returns false. When `take` returns false or throws, its record stays. The writer sees the room
   * of all taken records when this returns, and of most of them earlier.
   *
   * @returns the number of records taken
   * @throws {Error} when called from inside `take`, or when a length is impossible, which only a bug
   *   in this process can cause
   */
  drain(take: TakeRecord, budgetRecords: number): number {
    if (this.#draining) throw new Error('drain called from inside its own take');
    this.#draining = true;
    this.#blocked = false;
    let taken = 0;
    try {
      let head = Atomics.load(this.control, HEAD) >>> 0;
      while (taken < budgetRecords && !this.#stopped) {
        if (this.#tail === head) {
          head = Atomics.load(this.control, HEAD) >>> 0;
          if (this.#tail === head) break;
        }
        const start = this.#tail & this.mask;
        const length = this.lengths[start >>> 2]!;
        if (length === SKIP) {
          this.#moveTo(this.#tail + this.capacityBytes - start);
          continue;
        }
        const nextTail = this.#tail + this.#checkedBytes(length, start, head);
        this.#blocked = true; // stays true when `take` throws
        this.#blocked = !take(this.bytes, start + LENGTH_BYTES, length);
        if (this.#blocked) break;
        this.#moveTo(nextTail);
        taken++;
      }
    } finally {
      this.#publish();
      this.#draining = false;
    }
    return taken;
  }

  #continue(): void {
    if (this.#due || this.#take === undefined || this.#stopped) return;
    this.#due = true;
    this.#nextTurn(() => {
      this.#due = false;
      this.#slice();
    });
  }

  #slice(): void {
    if (this.#take === undefined || this.#isStopped()) return;
    const taken = this.drain(this.#take, this.#budgetRecords);
    this.#answerWant();
    if (this.#blocked || this.#isStopped()) return;
    if (taken === this.#budgetRecords || !this.#fallAsleep()) this.#continue();
  }

  /** `take` may stop the reader, which the type checker does not see. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  /**
   * Rings a writer that was refused, once there is enough room to wake it for. A blocked reader rings for any room at
   * all: more may take a long time to come.
   */
  #answerWant(): void {
    const isRoomy = this.#blocked || this.#waitingBytes() <= this.capacityBytes / 2;
    if (isRoomy && this.#words.takeWant()) this.#bell.ring();
  }

  /** Returns false when a record arrived in between. */
  #fallAsleep(): boolean {
    this.#words.fallAsleep();
    if (this.#waitingBytes() === 0) return true;
    this.#words.stayAwake();
    return false;
  }

  /**
   * Bytes written and not yet taken. The writer may have added more by the time this returns, never fewer.
   */
  #waitingBytes(): number {
    return (Atomics.load(this.control, HEAD) - this.#tail) >>> 0;
  }

  #checkedBytes(length: number, start: number, head: number): number {
    const bytes = occupiedBytes(length);
    if (
      length > this.maxRecordBytes ||
      bytes > (head - this.#tail) >>> 0 ||
      start + bytes > this.capacityBytes
    ) {
      throw new Error(`ring damaged: a record of ${length} bytes at ${start}`);
    }
    return bytes;
  }

  #moveTo(tail: number): void {
    this.#tail = tail >>> 0;
    if ((this.#tail - this.#publishedTail) >>> 0 >= this.#publishEveryBytes) this.#publish();
  }

  #publish(): void {
    if (this.#publishedTail === this.#tail) return;
    this.#publishedTail = this.#tail;
    Atomics.store(this.control, TAIL, this.#tail | 0);
  }
}
