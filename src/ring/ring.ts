// A ring's memory: a control block, then `capacityBytes` of records.
//
//   word 0   HEAD  bytes ever written, mod 2^32; stored by the writer alone
//   word 16  TAIL  bytes ever read, mod 2^32; stored by the reader alone
//   byte 128 records: u32 length, that many bytes, padding up to a word
//
// Each control word has a cache line (64 bytes) of its own, so that the two threads do not
// fight over one line. A record never wraps: one that does not fit before the end starts the
// next lap, and SKIP stands where its length would have been.
const HEAD = 0;
const TAIL = 16;
const CONTROL_WORDS = 32;
const CONTROL_BYTES = CONTROL_WORDS * 4;

const LENGTH_BYTES = 4;
const SKIP = 0xffff_ffff;

/** Smallest and largest capacity of a ring, in bytes. 2^30 keeps every length far from SKIP. */
const MIN_CAPACITY_BYTES = 64;
const MAX_CAPACITY_BYTES = 2 ** 30;

/**
 * The reader tells the writer how far it is at least once in this part of the ring, and at the
 * end of every drain: a store for each record would take the writer's cached line away each time.
 */
const PUBLISH_SHARE = 8;

/** Bytes of shared memory for a ring that holds `capacityBytes`, a power of two from 64 to 2^30. */
export function ringBytes(capacityBytes: number): number {
  const powerOfTwo = (capacityBytes & (capacityBytes - 1)) === 0;
  if (!powerOfTwo || capacityBytes < MIN_CAPACITY_BYTES || capacityBytes > MAX_CAPACITY_BYTES) {
    throw new RangeError(`ring capacity ${capacityBytes} is no power of two from 64 to 2^30`);
  }
  return CONTROL_BYTES + capacityBytes;
}

/** Memory for one ring of `capacityBytes`, the records' length words counted. */
export function allocateRing(capacityBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(ringBytes(capacityBytes));
}

class RingView {
  /** Records' memory: the offsets of {@link RingWriter.reserve} and {@link RingReader.drain} are in it. */
  readonly bytes: Uint8Array;
  /** Bytes of records and their lengths that the ring holds. */
  readonly capacityBytes: number;
  /** Longest record that is sure to fit once the ring is empty, wherever its end is. */
  readonly maxRecordBytes: number;

  protected readonly control: Int32Array;
  protected readonly lengths: Uint32Array;
  protected readonly mask: number;

  /**
   * @param byteOffset where the ring starts in `memory`, a multiple of 4 (of 64 to keep cache lines apart)
   * @param capacityBytes by default the ring fills the rest of `memory`
   * @throws {RangeError} when the capacity is no power of two, or `memory` is too small
   */
  constructor(
    memory: SharedArrayBuffer,
    byteOffset = 0,
    capacityBytes = memory.byteLength - byteOffset - CONTROL_BYTES,
  ) {
    ringBytes(capacityBytes); // refuses a capacity that is none
    this.capacityBytes = capacityBytes;
    this.maxRecordBytes = capacityBytes / 2 - LENGTH_BYTES;
    this.mask = capacityBytes - 1;
    this.control = new Int32Array(memory, byteOffset, CONTROL_WORDS);
    this.bytes = new Uint8Array(memory, byteOffset + CONTROL_BYTES, capacityBytes);
    this.lengths = new Uint32Array(memory, byteOffset + CONTROL_BYTES, capacityBytes >>> 2);
  }
}

/** The writing end. One thread, one writer. Wait-free: it never blocks, it refuses. */
export class RingWriter extends RingView {
  #head = Atomics.load(this.control, HEAD) >>> 0;
  /** TAIL as last seen. It can only have grown since, so what fits by it does fit. */
  #tail = Atomics.load(this.control, TAIL) >>> 0;
  #reservedBytes = 0;

  /**
   * Room for one record of `recordBytes`, to be filled in place and then {@link commit}ted. A
   * reservation that is not committed is forgotten by the next one; a refusal leaves it standing.
   *
   * @returns its offset in {@link bytes}, a multiple of 4; undefined when there is no room now:
   *   try again once the reader has moved
   * @throws {RangeError} unless 0 <= recordBytes <= {@link maxRecordBytes}
   */
  reserve(recordBytes: number): number | undefined {
    // Turned round so that NaN is refused too; a negative length would read as SKIP.
    if (!(recordBytes >= 0 && recordBytes <= this.maxRecordBytes)) {
      throw new RangeError(`record of ${recordBytes} bytes, the ring takes ${this.maxRecordBytes}`);
    }
    const needBytes = filledBytes(recordBytes);
    const start = this.#head & this.mask;
    const toEndBytes = this.capacityBytes - start;
    const skippedBytes = needBytes > toEndBytes ? toEndBytes : 0;
    const totalBytes = skippedBytes + needBytes;

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

  /** Gives the reader what {@link reserve} made room for. Throws when nothing was reserved. */
  commit(): void {
    if (this.#reservedBytes === 0) throw new Error('commit without a reservation');
    // The store publishes what was written before it: Atomics are sequentially consistent.
    this.#head = (this.#head + this.#reservedBytes) >>> 0;
    this.#reservedBytes = 0;
    Atomics.store(this.control, HEAD, this.#head | 0);
  }

  /** {@link reserve}, copy, {@link commit}; false when there is no room now. */
  tryWrite(record: Uint8Array): boolean {
    const offset = this.reserve(record.byteLength);
    if (offset === undefined) return false;
    this.bytes.set(record, offset);
    this.commit();
    return true;
  }

  #freeBytes(): number {
    return this.capacityBytes - ((this.#head - this.#tail) >>> 0);
  }
}

/**
 * Takes one record: `length` bytes of `bytes` from `offset` (a multiple of 4), good until it
 * returns. False leaves the record where it is, for next time.
 */
export type TakeRecord = (bytes: Uint8Array, offset: number, length: number) => boolean;

/** The reading end. One thread, one reader. */
export class RingReader extends RingView {
  readonly #publishEveryBytes = this.capacityBytes / PUBLISH_SHARE;
  #tail = Atomics.load(this.control, TAIL) >>> 0;
  #publishedTail = this.#tail;
  #draining = false;

  /**
   * Hands records to `take`, oldest first, until it has had `budgetRecords` of them, the ring is
   * empty, or it returns false: then that record stays for next time, and a full ring is how the
   * writer learns to wait. When `take` throws, its record stays too. The writer sees the room of
   * everything taken once this returns, of most of it earlier.
   *
   * @returns the records taken
   * @throws {Error} when called from inside `take`, or when a length can't be: only a bug of
   *   this process can cause that
   */
  drain(take: TakeRecord, budgetRecords: number): number {
    if (this.#draining) throw new Error('drain called from inside its own take');
    this.#draining = true;
    let taken = 0;
    try {
      let head = Atomics.load(this.control, HEAD) >>> 0;
      while (taken < budgetRecords) {
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
        if (!take(this.bytes, start + LENGTH_BYTES, length)) break;
        this.#moveTo(nextTail);
        taken++;
      }
    } finally {
      this.#publish();
      this.#draining = false;
    }
    return taken;
  }

  /** {@link drain} that hands out a view of each record instead: easier, one small object a record. */
  drainViews(take: (record: Uint8Array) => boolean, budgetRecords: number): number {
    return this.drain(
      (bytes, offset, length) => take(bytes.subarray(offset, offset + length)),
      budgetRecords,
    );
  }

  /** Bytes written and not yet taken. The writer may have added more by the time this returns, never less. */
  waitingBytes(): number {
    return (Atomics.load(this.control, HEAD) - this.#tail) >>> 0;
  }

  #checkedBytes(length: number, start: number, head: number): number {
    const bytes = filledBytes(length);
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

/** What a record of `recordBytes` fills: its length word, itself, padding up to a word. */
function filledBytes(recordBytes: number): number {
  return LENGTH_BYTES + ((recordBytes + 3) & ~3);
}
