import { copyBytes } from '../../core/copy_bytes.js';
import { Intervals } from './intervals.js';

/** Length of the blocks in which arriving data is gathered for the consumer. */
export const BLOCK_BYTES = 64 * 1024;

/** How many blocks are kept for reuse: 1 MiB. More of them would lie unused after a burst. */
const MAX_SPARE_BLOCKS = 16;

/**
 * Blocks of {@link BLOCK_BYTES} for all streams of a session. Their number is bounded, so a peer that leaves
 * gaps in thousands of streams cannot make us hold more. A block that no consumer has a view of is reused, so
 * idle and interactive streams hold no blocks and allocate none.
 */
export class BlockPool {
  readonly #maxBlocks: number;
  readonly #spare: Uint8Array[] = [];
  #taken = 0;

  constructor(maxBlocks = Number.POSITIVE_INFINITY) {
    this.#maxBlocks = maxBlocks;
  }

  /**
   * True when half of the blocks are taken, so that a block that is not needed at once should be given back.
   */
  get isCrowded(): boolean {
    return this.#taken * 2 >= this.#maxBlocks;
  }

  /** Takes a block with arbitrary content. @returns undefined when all are taken */
  take(): Uint8Array | undefined {
    if (this.#taken >= this.#maxBlocks) return undefined;
    this.#taken++;
    return this.#spare.pop() ?? new Uint8Array(BLOCK_BYTES);
  }

  /** Gives back a block that nobody has a view of. */
  give(block: Uint8Array): void {
    this.#taken--;
    if (this.#spare.length < MAX_SPARE_BLOCKS) this.#spare.push(block);
  }

  /** Leaves a taken block to a consumer that has a view of it. */
  leave(): void {
    this.#taken--;
  }
}

/**
 * Chunks below this length are handed out as copies. A view would keep a whole block alive for a few bytes
 * and prevent its reuse.
 */
const COPY_BELOW_BYTES = 4096;

interface Block {
  readonly bytes: Uint8Array;
  /**
   * True if the consumer has a view of the block. More bytes may still go in, but the block cannot be reused.
   */
  shared: boolean;
}

/**
 * Puts a stream's bytes in order. Copies each frame once, to its offset in a block, and gives the consumer
 * views of the blocks. Holds only the blocks that the receive window touches.
 */
export class Reassembly {
  readonly #pool: BlockPool;
  readonly #intervals = new Intervals();
  /** Blocks by offset. The first one starts at {@link #firstBlockOffset}. */
  #blocks: (Block | undefined)[] = [];
  #firstBlockOffset = 0;
  #delivered = 0;
  #heldBlocks = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** Offset of the next byte for the consumer. */
  get deliveredOffset(): number {
    return this.#delivered;
  }

  /** Offset after the last byte that has arrived. */
  get highestOffset(): number {
    return this.#intervals.highest;
  }

  /** Offset of the first byte that is missing. */
  get contiguousOffset(): number {
    return this.#intervals.contiguous;
  }

  /** True when {@link next} has bytes to give. */
  get hasContiguous(): boolean {
    return this.#intervals.contiguous > this.#delivered;
  }

  /** Memory of the blocks held here, in bytes. */
  get heldBytes(): number {
    return this.#heldBlocks * BLOCK_BYTES;
  }

  /**
   * Takes `frame[from, end)`, which belongs at `offset`. The caller has checked the window.
   *
   * @returns false when there is no free block, so that the stream cannot continue
   * @throws {TunnelError} ERR_FRAME_INVALID (remote) if some of the bytes have already arrived
   */
  insert(offset: number, frame: Uint8Array, from: number): boolean {
    this.#intervals.add(offset, offset + frame.length - from);
    let at = from;
    while (at < frame.length) {
      const distance = offset + (at - from) - this.#firstBlockOffset;
      const index = Math.floor(distance / BLOCK_BYTES);
      const inBlock = distance - index * BLOCK_BYTES;
      const end = Math.min(frame.length, at + BLOCK_BYTES - inBlock);
      const block = this.#block(index);
      if (block === undefined) return false;
      copyBytes(block.bytes, inBlock, frame.subarray(at, end));
      at = end;
    }
    return true;
  }

  /** Returns the next bytes in order, at most one block; undefined when there are none. */
  next(): Uint8Array | undefined {
    const { contiguous } = this.#intervals;
    const available = contiguous - this.#delivered;
    if (available === 0) return undefined;
    const from = this.#delivered - this.#firstBlockOffset;
    const to = Math.min(BLOCK_BYTES, from + available);
    const block = this.#blocks[0];
    if (block === undefined) return undefined;
    let chunk: Uint8Array;
    if (to - from < COPY_BELOW_BYTES) {
      chunk = block.bytes.slice(from, to);
    } else {
      chunk = block.bytes.subarray(from, to);
      block.shared = true;
    }
    this.#delivered += to - from;
    if (to === BLOCK_BYTES) {
      this.#letGo(0);
      this.#blocks.shift();
      this.#firstBlockOffset += BLOCK_BYTES;
    } else if (this.highestOffset === this.#delivered && (!block.shared || this.#pool.isCrowded)) {
      this.#letGo(0);
    }
    return chunk;
  }

  /** Drops everything. Insert nothing afterwards. */
  clear(): void {
    for (let index = 0; index < this.#blocks.length; index++) this.#letGo(index);
    this.#blocks = [];
  }

  #block(index: number): Block | undefined {
    const held = this.#blocks[index];
    if (held !== undefined) return held;
    const bytes = this.#pool.take();
    if (bytes === undefined) return undefined;
    while (this.#blocks.length < index) this.#blocks.push(undefined);
    const block = { bytes, shared: false };
    this.#blocks[index] = block;
    this.#heldBlocks++;
    return block;
  }

  #letGo(index: number): void {
    const block = this.#blocks[index];
    if (block === undefined) return;
    if (block.shared) this.#pool.leave();
    else this.#pool.give(block.bytes);
    this.#blocks[index] = undefined;
    this.#heldBlocks--;
  }
}
