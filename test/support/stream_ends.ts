import type { MuxStream, StreamHandlers } from '../../src/mux/stream/stream_api.js';
import type { Reason } from '../../src/mux/wire/reasons.js';

export interface StreamEndsOptions {
  /** Bytes that one end may have sent without the other having consumed them. Default 256 KiB. */
  readonly windowBytes?: number;
  /** Longest piece in which bytes arrive. Default 1319. */
  readonly pieceBytes?: number;
}

/**
 * One end of a stream in memory: credit, half-close and reset as in the mux, without frames. It records what
 * its consumer does, so that a test can check the consumer.
 */
export class StreamEnd implements MuxStream {
  readonly id = 'in-memory';
  handlers: StreamHandlers = {};
  /** Bytes handed to `onData` and not yet consumed; below, the maximum there ever was. */
  unconsumedBytes = 0;
  mostUnconsumedBytes = 0;
  /** Maximum number of written bytes that waited here. */
  mostBacklogBytes = 0;
  consumedBytes = 0;
  /** Datagrams sent from here. */
  datagrams = 0;
  /** Calls that break the contract of a stream. */
  readonly misuses: string[] = [];
  /** Reasons of {@link reset}, in order. */
  readonly resets: Reason[] = [];
  isClosed = false;
  isCrowded = false;
  #other: StreamEnd | undefined;
  #creditBytes: number;
  readonly #pieceBytes: number;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #endSent = false;
  #endCame = false;
  #refused = false;
  #pumping = false;

  private constructor(options: StreamEndsOptions) {
    this.#creditBytes = options.windowBytes ?? 256 * 1024;
    this.#pieceBytes = options.pieceBytes ?? 1319;
  }

  static pair(options: StreamEndsOptions = {}): readonly [StreamEnd, StreamEnd] {
    const near = new StreamEnd(options);
    const far = new StreamEnd(options);
    near.#other = far;
    far.#other = near;
    return [near, far];
  }

  get backlogBytes(): number {
    return this.#chunks.reduce((bytes, chunk) => bytes + chunk.length, 0);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isClosed) return false;
    if (this.#ended) this.misuses.push('write after end');
    if (this.#refused) this.misuses.push('write before onDrain');
    this.#chunks.push(bytes);
    this.mostBacklogBytes = Math.max(this.mostBacklogBytes, this.backlogBytes);
    this.#pumpSoon();
    this.#refused = this.#creditBytes < this.backlogBytes;
    return !this.#refused;
  }

  /** Arrives in a later turn, whether the other end is open or not. */
  sendDatagram(datagram: Uint8Array): void {
    if (this.isClosed) return;
    this.datagrams++;
    setImmediate(() => {
      if (!this.#far.isClosed) this.#far.handlers.onDatagram?.(datagram);
    });
  }

  end(): void {
    if (this.isClosed) return;
    if (this.#ended) this.misuses.push('end after end');
    this.#ended = true;
    this.#pumpSoon();
  }

  reset(reason: Reason): void {
    this.resets.push(reason);
    if (this.isClosed) return;
    this.isClosed = true;
    setImmediate(() => this.#far.#cut(reason));
  }

  consumed(bytes: number): void {
    this.unconsumedBytes -= bytes;
    this.consumedBytes += bytes;
    if (this.unconsumedBytes < 0) this.misuses.push('consumed more than came');
    if (this.isClosed) return;
    this.#far.#creditBytes += bytes;
    this.#far.#pumpSoon();
  }

  get #far(): StreamEnd {
    if (this.#other === undefined) throw new Error('use pair()');
    return this.#other;
  }

  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.isClosed && this.#creditBytes > 0) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const bytes = Math.min(chunk.length, this.#creditBytes, this.#pieceBytes);
      if (bytes === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(bytes);
      this.#creditBytes -= bytes;
      this.#far.#arrive(chunk.subarray(0, bytes));
    }
    if (this.isClosed) return;
    if (this.#ended && !this.#endSent && this.#chunks.length === 0) {
      this.#endSent = true;
      this.#far.#arriveEnd();
      this.#closeWhenOver();
    }
    if (this.#refused && this.#chunks.length === 0 && this.#creditBytes > 0) {
      this.#refused = false;
      this.handlers.onDrain?.();
    }
  }

  #arrive(chunk: Uint8Array): void {
    if (this.isClosed) return;
    this.unconsumedBytes += chunk.length;
    this.mostUnconsumedBytes = Math.max(this.mostUnconsumedBytes, this.unconsumedBytes);
    this.handlers.onData?.(chunk);
  }

  #arriveEnd(): void {
    if (this.isClosed) return;
    this.#endCame = true;
    this.handlers.onEnd?.();
    this.#closeWhenOver();
  }

  #cut(reason: Reason): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handlers.onReset?.(reason, true);
  }

  #closeWhenOver(): void {
    if (this.#endSent && this.#endCame) this.isClosed = true;
  }
}
