import { violation } from '../wire/codec.js';
import { DATA_HEADER_BYTES, readDataOffset, readOffset } from '../wire/frame.js';
import { type BlockPool, Reassembly } from './reassembly.js';
import { ReceiveWindow, type ReceiveWindowOptions } from './receive_window.js';

/** The receiving direction of a stream: puts bytes in order, gives the peer credit, and tracks its end. */
export class ReceiveHalf {
  readonly #reassembly: Reassembly;
  readonly #window: ReceiveWindow;
  /** Offset of the peer's end, once END has arrived. */
  #finalOffset: number | undefined;
  #over = false;

  constructor(pool: BlockPool, window: ReceiveWindowOptions) {
    this.#reassembly = new Reassembly(pool);
    this.#window = new ReceiveWindow(window);
  }

  /** Offset up to which the peer may send. */
  get limit(): number {
    return this.#window.limit;
  }

  /** Memory of bytes that wait for the consumer or for missing bytes. */
  get heldBytes(): number {
    return this.#reassembly.heldBytes;
  }

  /** True once the end was delivered. */
  get isOver(): boolean {
    return this.#over;
  }

  /** True when bytes in order or the end are ready for the consumer. */
  get hasNews(): boolean {
    return this.#reassembly.hasContiguous || this.#isAtEnd;
  }

  /** True when the peer should get more credit. */
  get isCreditDue(): boolean {
    return this.#finalOffset === undefined && this.#window.isDue;
  }

  /** True when missing bytes hold back half of the window; then call {@link growAhead}. */
  get mayGrowAhead(): boolean {
    const { contiguousOffset, highestOffset } = this.#reassembly;
    return this.#finalOffset === undefined && this.#window.mayGrowAhead(contiguousOffset, highestOffset);
  }

  /** Grows the window if it is too small. Credit may be due afterwards. */
  growAhead(nowMs: number, roundTripMs: number | undefined): void {
    this.#window.growAhead(nowMs, roundTripMs);
  }

  /**
   * Takes a DATA frame.
   *
   * @returns false when there is no memory for it, so that the stream cannot continue
   * @throws {TunnelError} ERR_FRAME_INVALID (remote)
   */
  takeData(frame: Uint8Array, nowMs: number): boolean {
    const offset = readDataOffset(frame);
    const end = offset + frame.length - DATA_HEADER_BYTES;
    if (end > this.#window.limit)
      throw violation(`DATA to ${end}, beyond the credit of ${this.#window.limit}`);
    if (end > (this.#finalOffset ?? end))
      throw violation(`DATA to ${end}, beyond the end at ${this.#finalOffset}`);
    if (offset === 0) this.#window.start(nowMs);
    return this.#reassembly.insert(offset, frame, DATA_HEADER_BYTES);
  }

  /** Takes an END frame. @throws {TunnelError} ERR_FRAME_INVALID (remote) */
  takeEnd(frame: Uint8Array): void {
    const offset = readOffset(frame);
    if (offset > this.#window.limit)
      throw violation(`END at ${offset}, beyond the credit of ${this.#window.limit}`);
    if (offset < this.#reassembly.highestOffset)
      throw violation(`END at ${offset}, but later bytes have arrived`);
    if (offset !== (this.#finalOffset ?? offset))
      throw violation(`END at ${offset} after END at ${this.#finalOffset}`);
    this.#finalOffset = offset;
  }

  /** Returns the next bytes in order for the consumer; undefined when there are none. */
  next(): Uint8Array | undefined {
    return this.#reassembly.next();
  }

  /** Returns true once, when {@link next} has given everything up to the end. */
  takeOver(): boolean {
    if (!this.#isAtEnd) return false;
    this.#over = true;
    return true;
  }

  /**
   * Call when the consumer is done with that many bytes. @throws {RangeError} for more bytes than it was
   * given
   */
  consumed(bytes: number): void {
    const outside = this.#reassembly.deliveredOffset - this.#window.consumedOffset;
    if (!(bytes >= 0 && bytes <= outside)) {
      throw new RangeError(`consumed ${bytes} bytes, but onData gave only ${outside} more`);
    }
    this.#window.consume(bytes);
  }

  /** Opens the next window. @returns the new {@link limit}; send it to the peer at once */
  advance(nowMs: number, roundTripMs: number | undefined): number {
    return this.#window.advance(nowMs, roundTripMs);
  }

  /** Drops everything, and gives the memory back. */
  clear(): void {
    this.#reassembly.clear();
    this.#window.release();
  }

  get #isAtEnd(): boolean {
    return !this.#over && this.#reassembly.deliveredOffset === this.#finalOffset;
  }
}
