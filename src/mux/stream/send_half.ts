import { TunnelError } from '../../core/errors.js';
import { Urgency } from '../schedule/urgency.js';
import { DATA, DATA_HEADER_BYTES, END, OFFSET_FRAME_BYTES, writeOffsetFrame } from '../wire/frame.js';
import type { FrameSink } from '../wire/frame_sink.js';
import { type SendMemory, SendQueue } from './send_queue.js';

/** The sending direction of a stream: the bytes that wait, the credit for them, and the end. */
export class SendHalf {
  readonly #queue: SendQueue;
  readonly #urgency: Urgency;
  readonly #frameBytes: number;
  /** Offset of the next byte to send. */
  #next = 0;
  /** Offset up to which the peer accepts bytes, plus {@link #givenBack}. */
  #credit = 0;
  /** The peer's first window. */
  #firstCredit = Number.POSITIVE_INFINITY;
  /** Credit that was given back, in all. */
  #givenBack = 0;
  /** Value of {@link #next} at the last {@link giveBack}. */
  #checkedOffset = 0;
  #ended = false;
  #endSent = false;
  /** {@link mayGoOn} returned false, and {@link takeDrain} has not returned true since. */
  #toldToStop = false;

  /** @param frameBytes maximum length of a frame, with its header @param memory shared by all streams of the peer */
  constructor(highWaterBytes: number, frameBytes: number, nowMs: number, memory?: SendMemory) {
    this.#frameBytes = frameBytes;
    this.#queue = new SendQueue(highWaterBytes, memory);
    this.#urgency = new Urgency(nowMs);
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  /** See {@link SendQueue.isCrowded}. */
  get isCrowded(): boolean {
    return this.#queue.isCrowded;
  }

  /** True once END was sent. */
  get isOver(): boolean {
    return this.#endSent;
  }

  /** True when there is a frame to send within the peer's credit. */
  get hasFrame(): boolean {
    if (this.#queue.bytes > 0) return this.#unusedCredit > 0;
    return this.#ended && !this.#endSent;
  }

  /** True after {@link end}. */
  get isEnded(): boolean {
    return this.#ended;
  }

  /** Returns a function that tells whether all bytes written so far are in frames. */
  mark(): () => boolean {
    const offset = this.#next + this.#queue.bytes;
    return () => this.#next >= offset;
  }

  isInteractive(nowMs: number): boolean {
    return this.#urgency.allows(this.#queue.bytes, nowMs);
  }

  /**
   * @throws {TunnelError} ERR_CLOSED after {@link end}; ERR_LIMIT when the writer ignores {@link mayGoOn} for
   *   long
   */
  push(bytes: Uint8Array): void {
    if (this.#ended) throw new TunnelError('ERR_CLOSED', 'write() was called after end()');
    if (bytes.length > 0) this.#queue.push(bytes);
  }

  /** Returns false when the writer has to stop until {@link takeDrain} returns true. */
  mayGoOn(): boolean {
    if (this.#queue.isFull) this.#toldToStop = true;
    return !this.#toldToStop;
  }

  /** Returns true once after {@link mayGoOn} returned false, when most bytes have been sent. */
  takeDrain(): boolean {
    if (!this.#toldToStop || !this.#queue.isLow) return false;
    this.#toldToStop = false;
    return true;
  }

  end(): void {
    this.#ended = true;
  }

  /** The peer accepts bytes up to `offset`. Lower offsets are out of date and ignored. */
  raiseCredit(offset: number): void {
    this.#firstCredit = Math.min(this.#firstCredit, offset);
    if (offset > this.#credit) this.#credit = offset;
  }

  /** Credit that was given back, in all. */
  get givenBackBytes(): number {
    return this.#givenBack;
  }

  /**
   * Call it every few seconds. Gives most credit back if the stream has been idle since the last call: as long as we
   * hold it, the peer reserves memory for it that other streams could use.
   *
   * @returns whether there is more to tell the peer
   */
  giveBack(): boolean {
    const isIdle = this.#queue.bytes === 0 && this.#next === this.#checkedOffset && !this.#ended;
    this.#checkedOffset = this.#next;
    const unused = this.#unusedCredit;
    if (!isIdle || unused < 2 * this.#firstCredit) return false;
    this.#givenBack += unused - this.#firstCredit;
    return true;
  }

  /**
   * Sends DATA, or END after all bytes. Call it only if {@link hasFrame}.
   *
   * @returns 0 when the sink has no room
   */
  sendFrame(sink: FrameSink, id: Uint8Array, urgent: boolean): number {
    if (this.#queue.bytes === 0) return this.#sendEnd(sink, id, urgent);
    const room = Math.min(this.#unusedCredit, this.#frameBytes - DATA_HEADER_BYTES);
    const payload = Math.min(this.#queue.bytes, room);
    const out = sink.reserve(DATA_HEADER_BYTES + payload, urgent);
    if (out === undefined) return 0;
    writeOffsetFrame(out, DATA, id, this.#next);
    this.#queue.takeInto(out, DATA_HEADER_BYTES, payload);
    sink.commit();
    this.#next += payload;
    this.#urgency.spend(payload);
    return out.length;
  }

  /** Drops the unsent bytes. */
  clear(): void {
    this.#queue.clear();
  }

  /** How many bytes the peer still accepts. */
  get #unusedCredit(): number {
    return this.#credit - this.#givenBack - this.#next;
  }

  #sendEnd(sink: FrameSink, id: Uint8Array, urgent: boolean): number {
    const out = sink.reserve(OFFSET_FRAME_BYTES, urgent);
    if (out === undefined) return 0;
    writeOffsetFrame(out, END, id, this.#next);
    sink.commit();
    this.#endSent = true;
    return OFFSET_FRAME_BYTES;
  }
}
