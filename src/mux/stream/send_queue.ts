import { copyBytes } from '../../core/copy_bytes.js';
import { TunnelError } from '../../core/errors.js';

/** How far past `highWaterBytes` a writer that ignores `false` may go. */
const HARD_LIMIT_FACTOR = 16;
/** A chunk costs memory beside its bytes: many small ones count as full too. */
const MAX_CHUNKS = 4096;

/** A stream's bytes that are not yet in a frame. Chunks are kept as they are, not copied. */
export class SendQueue {
  readonly #highWaterBytes: number;
  #chunks: Uint8Array[] = [];
  /** First chunk that is not used up, and how much of it is. */
  #first = 0;
  #used = 0;
  #bytes = 0;

  constructor(highWaterBytes: number) {
    this.#highWaterBytes = highWaterBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#bytes >= this.#highWaterBytes || this.#chunkCount >= MAX_CHUNKS;
  }

  /** Low enough that a writer who was told to stop may go on. */
  get isLow(): boolean {
    return this.#bytes <= this.#highWaterBytes / 4 && this.#chunkCount <= MAX_CHUNKS / 4;
  }

  /** @throws {TunnelError} ERR_LIMIT when the writer ignores that the queue is full */
  push(chunk: Uint8Array): void {
    if (
      this.#bytes >= this.#highWaterBytes * HARD_LIMIT_FACTOR ||
      this.#chunkCount >= MAX_CHUNKS * HARD_LIMIT_FACTOR
    ) {
      throw new TunnelError(
        'ERR_LIMIT',
        `${this.#bytes} bytes wait to be sent; stop when write() gives false`,
      );
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Moves the next `bytes`, which are there, to `out[at...]`. */
  takeInto(out: Uint8Array, at: number, bytes: number): void {
    let to = at;
    const end = at + bytes;
    while (to < end) {
      const chunk = this.#chunks[this.#first]!;
      const count = Math.min(end - to, chunk.length - this.#used);
      copyBytes(out, to, count === chunk.length ? chunk : chunk.subarray(this.#used, this.#used + count));
      to += count;
      this.#used += count;
      if (this.#used === chunk.length) this.#dropFirst();
    }
    this.#bytes -= bytes;
  }

  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#used = 0;
    this.#bytes = 0;
  }

  get #chunkCount(): number {
    return this.#chunks.length - this.#first;
  }

  #dropFirst(): void {
    // The chunk's memory goes now, its place in the array when half of the array is such places.
    this.#chunks[this.#first] = EMPTY;
    this.#first++;
    this.#used = 0;
    if (this.#first * 2 >= this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }
}

const EMPTY = new Uint8Array(0);
