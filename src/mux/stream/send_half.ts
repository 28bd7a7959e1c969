import { TunnelError } from '../../core/errors.js';
import { Urgency } from '../schedule/urgency.js';
import { DATA, DATA_HEADER_BYTES, END, OFFSET_FRAME_BYTES, writeOffsetFrame } from '../wire/frame.js';
import type { FrameSink } from '../wire/frame_sink.js';
import { SendQueue } from './send_queue.js';

/** The direction of a stream from us: bytes that wait, how far they may go, and the end. */
export class SendHalf {
  readonly #queue: SendQueue;
  readonly #urgency: Urgency;
  readonly #frameBytes: number;
  /** Offset of the next byte to be sent. */
  #next = 0;
  /** Offset below which the peer takes bytes. */
  #credit = 0;
  #ended = false;
  #endSent = false;
  #toldToStop = false;

  /** @param frameBytes longest frame, header included */
  constructor(highWaterBytes: number, frameBytes: number, nowMs: number) {
    this.#frameBytes = frameBytes;
    this.#queue = new SendQueue(highWaterBytes);
    this.#urgency = new Urgency(nowMs);
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  /** END has been sent. */
  get isOver(): boolean {
    return this.#endSent;
  }

  /** A frame could go now, for all we and the peer's credit care. */
  get hasFrame(): boolean {
    if (this.#queue.bytes > 0) return this.#next < this.#credit;
    return this.#ended && !this.#endSent;
  }

  isInteractive(nowMs: number): boolean {
    return this.#urgency.allows(this.#queue.bytes, nowMs);
  }

  push(bytes: Uint8Array): void {
    if (this.#ended) throw new TunnelError('ERR_CLOSED', 'write after end; write before it');
    if (bytes.length > 0) this.#queue.push(bytes);
  }

  /** False, and a drain owed, when the writer has to stop. */
  mayGoOn(): boolean {
    if (this.#queue.isFull) this.#toldToStop = true;
    return !this.#toldToStop;
  }

  /** True once after {@link mayGoOn} gave false and most has been sent. */
  takeDrain(): boolean {
    if (!this.#toldToStop || !this.#queue.isLow) return false;
    this.#toldToStop = false;
    return true;
  }

  end(): void {
    this.#ended = true;
  }

  /** The peer takes bytes below `offset`; older news are ignored. */
  raiseCredit(offset: number): void {
    if (offset > this.#credit) this.#credit = offset;
  }

  /** Sends DATA, or END when all is sent; there {@link hasFrame}. @returns 0 when the sink refused */
  sendFrame(sink: FrameSink, id: Uint8Array, urgent: boolean): number {
    if (this.#queue.bytes === 0) return this.#sendEnd(sink, id, urgent);
    const room = Math.min(this.#credit - this.#next, this.#frameBytes - DATA_HEADER_BYTES);
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

  /** What was not sent is dropped. */
  clear(): void {
    this.#queue.clear();
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
