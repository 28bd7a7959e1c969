import { violation } from '../wire/codec.js';
import { DATA_HEADER_BYTES, readDataOffset, readOffset } from '../wire/frame.js';
import { Reassembly } from './reassembly.js';
import { MAX_BLOCK_BYTES, type ReceiveMemory, type Reserved } from './receive_memory.js';
import { ReceiveWindow } from './receive_window.js';

export interface ReceiveHalfOptions {
  readonly memory: ReceiveMemory;
  /** The first window, unless there are many streams, in bytes. */
  readonly initialBytes: number;
  /** The largest window, in bytes. */
  readonly maxBytes: number;
}

/** The receiving direction of a stream: puts bytes in order, gives the peer credit, and tracks its end. */
export class ReceiveHalf {
  readonly #options: ReceiveHalfOptions;
  #reserved: Reserved | undefined;
  /** Empty, and with no credit, until {@link open}. */
  #reassembly: Reassembly;
  #window: ReceiveWindow;
  /** Offset of the peer's end, once END has arrived. */
  #finalOffset: number | undefined;
  #over = false;

  constructor(options: ReceiveHalfOptions) {
    this.#options = options;
    const { memory, maxBytes } = options;
    this.#reassembly = new Reassembly(memory, MAX_BLOCK_BYTES);
    this.#window = new ReceiveWindow({ initialBytes: 0, maxBytes, memory });
  }

  /**
   * Reserves the memory for the peer's bytes. Call it once, before the peer is told {@link limit}.
   *
   * @returns false when the process has no memory for another stream
   */
  open(): boolean {
    const { memory, initialBytes, maxBytes } = this.#options;
    const reserved = memory.reserve(initialBytes);
    if (reserved === undefined) return false;
    this.#reserved = reserved;
    this.#reassembly = new Reassembly(memory, reserved.blockBytes);
    this.#window = new ReceiveWindow({ initialBytes: reserved.windowBytes, maxBytes, memory });
    return true;
  }

  /** Offset up to which the peer may send. */
  get limit(): number {
    return this.#window.limit;
  }

  /** Bytes that the peer may have sent and that have not arrived; 0 once its end is known. */
  get missingBytes(): number {
    return (this.#finalOffset ?? this.#window.limit) - this.#reassembly.highestOffset;
  }

  /** True once the end was delivered, and the consumer is done with all bytes: until then their memory counts. */
  get isOver(): boolean {
    return this.#over && this.#window.consumedOffset === this.#finalOffset;
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

  /** Takes a GIVE_BACK frame. Credit may be due afterwards. @throws {TunnelError} ERR_FRAME_INVALID (remote) */
  takeBack(frame: Uint8Array): void {
    const total = readOffset(frame);
    if (this.#window.creditBytes - total < (this.#finalOffset ?? this.#reassembly.highestOffset))
      throw violation(`GIVE_BACK of ${total} bytes in all, more than the credit that is left`);
    this.#window.takeBack(total);
  }

  /** Returns the next bytes in order for the consumer; undefined when there are none, or it holds enough. */
  next(): Uint8Array | undefined {
    return this.#reassembly.next();
  }

  /** Returns true once, when {@link next} has given everything up to the end. */
  takeOver(): boolean {
    if (!this.#isAtEnd) return false;
    this.#over = true;
    this.#shrinkWhenOver();
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
    this.#reassembly.consumedTo(this.#window.consumedOffset);
    this.#shrinkWhenOver();
  }

  /** Opens the next window. @returns the credit; send it to the peer at once */
  advance(nowMs: number, roundTripMs: number | undefined): number {
    return this.#window.advance(nowMs, roundTripMs);
  }

  /** Call it every few seconds: an idle stream holds no memory that others can use. */
  rest(): void {
    this.#reassembly.rest();
  }

  /** Drops everything, and gives the memory back. */
  clear(): void {
    this.#reassembly.clear();
    this.#window.release();
    if (this.#reserved !== undefined) this.#options.memory.release(this.#reserved);
    this.#reserved = undefined;
  }

  /** Nothing more arrives, but the other direction may go on for hours: others can use the window. */
  #shrinkWhenOver(): void {
    if (!this.isOver || this.#reserved === undefined) return;
    this.#window.release();
    this.#options.memory.shrink(this.#reserved.growthBytes);
    this.#reserved = { ...this.#reserved, growthBytes: 0 };
  }

  get #isAtEnd(): boolean {
    return !this.#over && this.#reassembly.deliveredOffset === this.#finalOffset;
  }
}
