import { violation } from '../wire/codec.js';
import { DATA_HEADER_BYTES, readDataOffset, readOffset } from '../wire/frame.js';
import { type BlockPool, Reassembly } from './reassembly.js';
import { ReceiveWindow, type ReceiveWindowOptions } from './receive_window.js';

/** The direction of a stream to us: bytes put in order, how far the peer may go, and its end. */
export class ReceiveHalf {
  readonly #reassembly: Reassembly;
  readonly #window: ReceiveWindow;
  /** Where the peer's bytes end, once it has told. */
  #finalOffset: number | undefined;
  #over = false;

  constructor(pool: BlockPool, window: ReceiveWindowOptions) {
    this.#reassembly = new Reassembly(pool);
    this.#window = new ReceiveWindow(window);
  }

  /** Offset below which the peer may send. */
  get limit(): number {
    return this.#window.limit;
  }

  get heldBytes(): number {
    return this.#reassembly.heldBytes;
  }

  /** The end has been delivered. */
  get isOver(): boolean {
    return this.#over;
  }

  /** There is something for the consumer: bytes in order, or the end. */
  get hasNews(): boolean {
    return this.#reassembly.hasContiguous || this.#isAtEnd;
  }

  /** The peer should be told that it may send more. */
  get isCreditDue(): boolean {
    return this.#finalOffset === undefined && this.#window.isDue;
  }

  /** A hole holds half of the window back: see {@link growAhead}. */
  get mayGrowAhead(): boolean {
    const { contiguousOffset, highestOffset } = this.#reassembly;
    return this.#finalOffset === undefined && this.#window.mayGrowAhead(contiguousOffset, highestOffset);
  }

  /** Credit may be due after it. */
  growAhead(nowMs: number, roundTripMs: number | undefined): void {
    this.#window.growAhead(nowMs, roundTripMs);
  }

  /**
   * @returns false when there is no memory for it: the stream cannot go on
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

  /** @throws {TunnelError} ERR_FRAME_INVALID (remote) */
  takeEnd(frame: Uint8Array): void {
    const offset = readOffset(frame);
    if (offset > this.#window.limit)
      throw violation(`END at ${offset}, beyond the credit of ${this.#window.limit}`);
    if (offset < this.#reassembly.highestOffset)
      throw violation(`END at ${offset}, where bytes have come already`);
    if (offset !== (this.#finalOffset ?? offset))
      throw violation(`END at ${offset} and at ${this.#finalOffset}`);
    this.#finalOffset = offset;
  }

  /** The next bytes in order for the consumer, or undefined. */
  next(): Uint8Array | undefined {
    return this.#reassembly.next();
  }

  /** True once, when everything up to the end has been given by {@link next}. */
  takeOver(): boolean {
    if (!this.#isAtEnd) return false;
    this.#over = true;
    return true;
  }

  consumed(bytes: number): void {
    const outside = this.#reassembly.deliveredOffset - this.#window.consumedOffset;
    if (!(bytes >= 0 && bytes <= outside)) {
      throw new RangeError(`${bytes} bytes consumed of ${outside} that onData gave`);
    }
    this.#window.consume(bytes);
  }

  /** The new limit, to be told to the peer at once. */
  advance(nowMs: number, roundTripMs: number | undefined): number {
    return this.#window.advance(nowMs, roundTripMs);
  }

  /** Nothing more is wanted. */
  clear(): void {
    this.#reassembly.clear();
    this.#window.release();
  }

  get #isAtEnd(): boolean {
    return !this.#over && this.#reassembly.deliveredOffset === this.#finalOffset;
  }
}
