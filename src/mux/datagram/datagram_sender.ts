import { Urgency } from '../schedule/urgency.js';
import { DATAGRAM_HEADER_BYTES, writeDatagramHeader } from '../wire/frame.js';
import type { FrameSink } from '../wire/frame_sink.js';
import type { DatagramShare } from './datagram_memory.js';

/**
 * Holds a stream's datagrams until they are sent, and cuts long ones into parts. When full, it drops the
 * oldest.
 */
export class DatagramSender {
  readonly #share: DatagramShare;
  readonly #urgency: Urgency;
  readonly #partBytes: number;
  #queue: Uint8Array[] = [];
  #bytes = 0;
  /** The number and the next part of the first datagram in the queue. */
  #number = 0;
  #part = 0;

  /** @param frameBytes maximum length of a frame, with its header */
  constructor(share: DatagramShare, frameBytes: number, nowMs: number) {
    this.#partBytes = frameBytes - DATAGRAM_HEADER_BYTES;
    this.#share = share;
    this.#urgency = new Urgency(nowMs);
  }

  get backlogBytes(): number {
    return this.#bytes;
  }

  get hasFrame(): boolean {
    return this.#queue.length > 0;
  }

  isInteractive(nowMs: number): boolean {
    return this.#urgency.allows(this.#bytes, nowMs);
  }

  push(datagram: Uint8Array): void {
    while (!this.#share.take(datagram.length)) {
      this.#share.memory.dropped++;
      if (!this.hasFrame) return;
      this.#shift();
    }
    this.#queue.push(datagram);
    this.#bytes += datagram.length;
  }

  /**
   * Sends a datagram or its next part. Call it only if {@link hasFrame}.
   *
   * @returns 0 when the sink has no room
   */
  sendFrame(sink: FrameSink, id: Uint8Array, urgent: boolean): number {
    const datagram = this.#queue[0]!;
    const partBytes = this.#partBytes;
    const parts = Math.max(1, Math.ceil(datagram.length / partBytes));
    const from = this.#part * partBytes;
    const payload = datagram.subarray(from, from + partBytes);
    const out = sink.reserve(DATAGRAM_HEADER_BYTES + payload.length, urgent, true);
    if (out === undefined) return 0;
    writeDatagramHeader(out, id, { number: this.#number, part: this.#part, parts });
    out.set(payload, DATAGRAM_HEADER_BYTES);
    sink.commit();
    this.#urgency.spend(payload.length);
    if (++this.#part === parts) {
      this.#share.memory.sent++;
      this.#shift();
    }
    return out.length;
  }

  /** Drops the unsent datagrams. */
  clear(): void {
    while (this.hasFrame) this.#shift();
  }

  #shift(): void {
    const { length } = this.#queue.shift()!;
    this.#bytes -= length;
    this.#share.give(length);
    this.#number = (this.#number + 1) >>> 0;
    this.#part = 0;
  }
}
