import type { BacklogGauge } from './backlog.js';
import { FLAG_LOSSY, FLAG_URGENT, packHeader, RECORD_HEADER_BYTES, writeHeader } from './record.js';
import type { RingEnds } from './ring_ends.js';

/** One peer's way out of the main thread: writes the frames of its session into the outbound ring. */
export class RingChannel {
  /** Names the channel in ring records, 24 bits. */
  readonly id: number;
  readonly #ends: RingEnds;
  readonly #gauge: BacklogGauge;
  readonly #refused: Set<RingChannel>;
  #reservedBytes = 0;
  #reservedLossy = false;
  #framesSent = 0;
  #bytesSent = 0;

  /** @param refused the channels waiting for room; this one adds itself */
  constructor(id: number, ends: RingEnds, gauge: BacklogGauge, refused: Set<RingChannel>) {
    this.id = id;
    this.#ends = ends;
    this.#gauge = gauge;
    this.#refused = refused;
  }

  /** True once after each refusal by the backlog that was followed by room there. Call when the bell rang. */
  takeRoom(): boolean {
    return this.#gauge.takeRoom();
  }

  /** True once the worker is gone: no frame leaves any more. */
  get isGone(): boolean {
    return this.#ends.isClosed;
  }

  /** Frames committed so far, except lossy ones. */
  get framesSent(): number {
    return this.#framesSent;
  }

  /** Bytes of all frames committed so far. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /**
   * Makes room for one frame. The caller fills it and calls {@link commit}.
   *
   * @returns undefined when there is no room now; {@link ChannelHandlers.room} says when. Always
   *   undefined once the worker {@link isGone}, so that a write to a stream does not throw then
   */
  reserve(bytes: number, urgent: boolean, lossy = false): Uint8Array | undefined {
    if (this.isGone) return undefined;
    const { writer } = this.#ends;
    const offset = this.#gauge.fits(bytes, urgent) ? writer.reserve(RECORD_HEADER_BYTES + bytes) : undefined;
    if (offset === undefined) {
      this.#refused.add(this);
      return undefined;
    }
    const flags = (urgent ? FLAG_URGENT : 0) | (lossy ? FLAG_LOSSY : 0);
    writeHeader(writer.bytes, offset, packHeader(this.id, flags));
    this.#reservedBytes = bytes;
    this.#reservedLossy = lossy;
    const start = offset + RECORD_HEADER_BYTES;
    return writer.bytes.subarray(start, start + bytes);
  }

  /** Sends the frame that the last {@link reserve} made room for, and wakes the worker if it sleeps. */
  commit(): void {
    // Counted before the worker can see the record: drained never exceeds written.
    this.#gauge.take(this.#reservedBytes);
    this.#ends.writer.commit();
    if (!this.#reservedLossy) this.#framesSent++;
    this.#bytesSent += this.#reservedBytes;
    this.#reservedBytes = 0;
  }
}
