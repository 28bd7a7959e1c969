/** Bytes that a stream's arriving data is gathered in before the consumer gets it. */
export const BLOCK_BYTES = 64 * 1024;

/** Blocks kept for reuse: 1 MiB. More would be held for nothing when a burst is over. */
const MAX_SPARE_BLOCKS = 16;

/**
 * Blocks of {@link BLOCK_BYTES} for all streams of a session, so many at once and no more: a peer
 * that leaves gaps in thousands of streams makes us hold no more than that. Only blocks that no consumer
 * has a view of are used again, so idle and interactive streams hold none and allocate none.
 */
export class BlockPool {
  readonly #maxBlocks: number;
  readonly #spare: Uint8Array[] = [];
  #taken = 0;

  constructor(maxBlocks = Number.POSITIVE_INFINITY) {
    this.#maxBlocks = maxBlocks;
  }

  /** Half of them are taken: what is not needed at once is better given back. */
  get isCrowded(): boolean {
    return this.#taken * 2 >= this.#maxBlocks;
  }

  /** A block whose bytes are whatever they were before; undefined when all are taken. */
  take(): Uint8Array | undefined {
    if (this.#taken >= this.#maxBlocks) return undefined;
    this.#taken++;
    return this.#spare.pop() ?? new Uint8Array(BLOCK_BYTES);
  }

  /** A block that nobody has a view of. */
  give(block: Uint8Array): void {
    this.#taken--;
    if (this.#spare.length < MAX_SPARE_BLOCKS) this.#spare.push(block);
  }

  /** A block that is a consumer's now. */
  leave(): void {
    this.#taken--;
  }
}
