import type { Doorbell } from './doorbell.js';
import { HEAD, LENGTH_BYTES, occupiedBytes, RingMemory, SKIP, TAIL } from './ring.js';
import type { WakeWords } from './wake_words.js';

/**
 * The writing end of a ring: one thread, one writer. It never blocks: a full ring refuses, and the
 * writer learns when there is room again. It rings only for a sleeping reader, so two busy threads
 * send each other no messages.
 */
export class RingWriter extends RingMemory {
  readonly #words: WakeWords;
  readonly #bell: Pick<Doorbell, 'ring'>;
  readonly #announceSoon: () => void;
  #head = Atomics.load(this.control, HEAD) >>> 0;
  /** TAIL as last read. TAIL only grows, so a record that fits by this value does fit. */
  #tail = Atomics.load(this.control, TAIL) >>> 0;
  #reservedBytes = 0;
  /** A record was refused, and no room has been announced since. */
  #refused = false;

  /** @param announceSoon schedules a call of {@link takeRoom} soon, as if the bell had rung */
  constructor(
    memory: SharedArrayBuffer,
    words: WakeWords,
    bell: Pick<Doorbell, 'ring'>,
    announceSoon: () => void,
  ) {
    super(memory);
    this.#words = words;
    this.#bell = bell;
    this.#announceSoon = announceSoon;
  }

  /**
   * Makes room for one record. The caller fills it in place and calls {@link commit}. The next
   * reservation replaces one that was not committed; a refusal leaves it in place.
   *
   * @returns the record's offset in {@link bytes}, a multiple of 4; undefined when the ring is full:
   *   the bell rings, and {@link takeRoom} is true, once half of the ring is free
   * @throws {RangeError} unless 0 <= recordBytes <= {@link maxRecordBytes}
   */
  reserve(recordBytes: number): number | undefined {
    // Written this way round to reject NaN too. A negative length would read as SKIP.
    if (!(recordBytes >= 0 && recordBytes <= this.maxRecordBytes)) {
      throw new RangeError(
        `a record of ${recordBytes} bytes exceeds the ring's maximum of ${this.maxRecordBytes}`,
      );
    }
    const offset = this.#reserve(recordBytes);
    if (offset !== undefined) return offset;

    this.#words.wantRoom();
    // The reader may have made room, and looked for a want, just before this one was set.
    const secondTry = this.#reserve(recordBytes);
    if (secondTry === undefined) {
      this.#refused = true;
      return undefined;
    }
    this.#words.takeWant();
    if (this.#refused) this.#announceSoon(); // the want belonged to an earlier record too
    return secondTry;
  }

  /** Publishes the reserved record, and wakes the reader if it sleeps. Throws when nothing was reserved. */
  commit(): void {
    if (this.#reservedBytes === 0) throw new Error('commit without a reservation');
    // The store publishes everything written before it: Atomics are sequentially consistent.
    this.#head = (this.#head + this.#reservedBytes) >>> 0;
    this.#reservedBytes = 0;
    Atomics.store(this.control, HEAD, this.#head | 0);
    if (this.#words.takeSleeper()) this.#bell.ring();
  }

  /** Call when the bell rang. Returns true once after each refusal that was followed by room. */
  takeRoom(): boolean {
    if (!this.#refused || !this.#words.wantsNothing()) return false;
    this.#refused = false;
    return true;
  }

  #reserve(recordBytes: number): number | undefined {
    const neededBytes = occupiedBytes(recordBytes);
    const start = this.#head & this.mask;
    const toEndBytes = this.capacityBytes - start;
    const skippedBytes = neededBytes > toEndBytes ? toEndBytes : 0;
    const totalBytes = skippedBytes + neededBytes;

    if (totalBytes > this.#freeBytes()) {
      this.#tail = Atomics.load(this.control, TAIL) >>> 0;
      if (totalBytes > this.#freeBytes()) return undefined;
    }

    if (skippedBytes > 0) this.lengths[start >>> 2] = SKIP;
    const place = skippedBytes > 0 ? 0 : start;
    this.lengths[place >>> 2] = recordBytes;
    this.#reservedBytes = totalBytes;
    return place + LENGTH_BYTES;
  }

  #freeBytes(): number {
    return this.capacityBytes - ((this.#head - this.#tail) >>> 0);
  }
}
