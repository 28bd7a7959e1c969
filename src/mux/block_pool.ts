/** Bytes that a stream's arriving data is gathered in before the consumer gets it. */
export const BLOCK_BYTES = 64 * 1024;

/** Blocks kept for reuse: 1 MiB. More would be held for nothing when a burst is over. */
const MAX_SPARE_BLOCKS = 16;

/**
 * Blocks of {@link BLOCK_BYTES} for all streams of a session. Only blocks that no consumer has a
 * view of come back, so idle and interactive streams hold none and allocate none.
 */
export class BlockPool {
  readonly #spare: Uint8Array[] = [];

  /** A block whose bytes are whatever they were before. */
  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(BLOCK_BYTES);
  }

  give(block: Uint8Array): void {
    if (this.#spare.length < MAX_SPARE_BLOCKS) this.#spare.push(block);
  }
}
