// A ring's memory: a control block, then `capacityBytes` of records.
//
//   word 0   HEAD  bytes ever written, mod 2^32; stored only by the writer
//   word 16  TAIL  bytes ever read, mod 2^32; stored only by the reader
//   byte 128 records: u32 length, that many bytes, padding up to a word
//
// Each control word has its own cache line (64 bytes), so that the two threads do not compete for
// one line. A record never wraps. One that does not fit before the end starts at the beginning,
// and SKIP takes the place of its length word at the end.
export const HEAD = 0;
export const TAIL = 16;
const CONTROL_WORDS = 32;
const CONTROL_BYTES = CONTROL_WORDS * 4;

export const LENGTH_BYTES = 4;
export const SKIP = 0xffff_ffff;

/** Smallest and largest capacity of a ring, in bytes. 2^30 keeps every length far from SKIP. */
const MIN_CAPACITY_BYTES = 64;
const MAX_CAPACITY_BYTES = 2 ** 30;

/**
 * Allocates one ring.
 *
 * @param capacityBytes a power of two from 64 to 2^30; includes the length words of the records
 */
export function allocateRing(capacityBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(CONTROL_BYTES + checkedCapacity(capacityBytes));
}

/** Bytes that a record of `recordBytes` occupies: its length word, the record, and padding up to a word. */
export function occupiedBytes(recordBytes: number): number {
  return LENGTH_BYTES + ((recordBytes + 3) & ~3);
}

/** What both ends of a ring share: views of its memory. */
export class RingMemory {
  /**
   * The memory of the records. The offsets of {@link RingWriter.reserve} and {@link TakeRecord} refer to
   * it.
   */
  readonly bytes: Uint8Array;
  /** Capacity in bytes, length words included. */
  readonly capacityBytes: number;
  /** The longest record that always fits into an empty ring, wherever the ring ends. */
  readonly maxRecordBytes: number;

  protected readonly control: Int32Array;
  protected readonly lengths: Uint32Array;
  protected readonly mask: number;

  /** @throws {RangeError} when `memory` is not the size of a ring */
  constructor(memory: SharedArrayBuffer) {
    const capacityBytes = checkedCapacity(memory.byteLength - CONTROL_BYTES);
    this.capacityBytes = capacityBytes;
    this.maxRecordBytes = capacityBytes / 2 - LENGTH_BYTES;
    this.mask = capacityBytes - 1;
    this.control = new Int32Array(memory, 0, CONTROL_WORDS);
    this.bytes = new Uint8Array(memory, CONTROL_BYTES, capacityBytes);
    this.lengths = new Uint32Array(memory, CONTROL_BYTES, capacityBytes >>> 2);
  }
}

function checkedCapacity(capacityBytes: number): number {
  const isPowerOfTwo = (capacityBytes & (capacityBytes - 1)) === 0;
  if (!isPowerOfTwo || capacityBytes < MIN_CAPACITY_BYTES || capacityBytes > MAX_CAPACITY_BYTES) {
    throw new RangeError(`ring capacity ${capacityBytes} is not a power of two from 64 to 2^30`);
  }
  return capacityBytes;
}
