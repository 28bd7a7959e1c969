import { copyBytes } from '../../core/copy_bytes.js';
import { TunnelError } from '../../core/errors.js';

/** A writer that ignores `false` may queue this many times `highWaterBytes`. */
const HARD_LIMIT_FACTOR = 16;
/** Chunks have overhead, so many small ones also count as full. */
const MAX_CHUNKS = 4096;

/** Bytes of all streams of one peer waiting to be put into frames. Beyond them, each stream may hold one piece. */
export const MAX_PEER_SEND_BYTES = 32 * 1024 * 1024;

/** What all send queues of one peer hold together. */
export class SendMemory {
  readonly #mostBytes: number;
  bytes = 0;

  constructor(mostBytes = MAX_PEER_SEND_BYTES) {
    this.#mostBytes = mostBytes;
  }

  get isFull(): boolean {
    return this.bytes >= this.#mostBytes;
  }
}

/** A stream's bytes that are not in a frame yet. Keeps the writer's chunks without copying them. */
export class SendQueue {
  readonly #highWaterBytes: number;
  readonly #memory: SendMemory;
  #chunks: Uint8Array[] = [];
  /** Index of the first chunk that is not used up. */
  #first = 0;
  /** How many bytes of that chunk are used up. */
  #used = 0;
  #bytes = 0;

  /** @param memory shared by all streams of the peer */
  constructor(highWaterBytes: number, memory = new SendMemory()) {
    this.#highWaterBytes = highWaterBytes;
    this.#memory = memory;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** True when the writer has to stop. */
  get isFull(): boolean {
    if (this.#bytes >= this.#highWaterBytes || this.#chunkCount >= MAX_CHUNKS) return true;
    return this.isCrowded && this.#bytes > 0;
  }

  /** True when the queues of the peer together hold as much as they may. Then write little at a time. */
  get isCrowded(): boolean {
    return this.#memory.isFull;
  }

  /** True when a writer that had to stop may continue. */
  get isLow(): boolean {
    if (this.isCrowded && this.#bytes > 0) return false;
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
        `${this.#bytes} bytes are waiting to be sent; stop writing when write() returns false`,
      );
    }
    this.#chunks.push(chunk);
    this.#add(chunk.length);
  }

  /** Moves the next `bytes` bytes to `out`, starting at `at`. There must be that many. */
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
    this.#add(-bytes);
  }

  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#used = 0;
    this.#add(-this.#bytes);
  }

  #add(bytes: number): void {
    this.#bytes += bytes;
    this.#memory.bytes += bytes;
  }

  get #chunkCount(): number {
    return this.#chunks.length - this.#first;
  }

  #dropFirst(): void {
    // Frees the chunk's memory now, and its slot in the array when half of the slots are free.
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
