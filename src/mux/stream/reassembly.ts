import { copyBytes } from '../../core/copy_bytes.js';
import { Intervals } from './intervals.js';
import type { ReceiveMemory } from './receive_memory.js';

/**
 * Chunks that the consumer may hold at once. The bytes of many small chunks would need more memory for their objects
 * than for themselves; in a block they need none.
 */
export const MAX_CHUNKS = 16;
/**
 * Chunks below this part of a block are handed out as copies. A view would keep the whole block alive and prevent its
 * reuse. All copies of a stream together take less than one block.
 */
const COPY_BELOW = 1 / MAX_CHUNKS;
/** Memory of one separate piece in the table of {@link Intervals}, in bytes. */
const PIECE_BYTES = 16;
/** This many pieces belong to a stream's own memory; further ones are counted. */
const FREE_PIECES = 64;

interface Block {
  readonly bytes: Uint8Array;
  /** Chunks of the consumer that are views of the block. */
  views: number;
  /** More bytes may go in. */
  isOpen: boolean;
  /** The consumer has had a view of it, so it cannot be reused. */
  wasShared: boolean;
}

/** A chunk that the consumer holds. */
interface Chunk {
  /** Offset after its last byte. */
  readonly end: number;
  /** The block that it is a view of; undefined for a copy. */
  readonly block: Block | undefined;
  /** Length of a copy. */
  readonly copyBytes: number;
}

/**
 * Puts a stream's bytes in order. Copies each frame once, to its offset in a block, and gives the consumer views of
 * the blocks, a few at a time. It holds only the blocks that the receive window touches, and counts what the consumer
 * holds until it is consumed.
 */
export class Reassembly {
  readonly #memory: ReceiveMemory;
  readonly #blockBytes: number;
  readonly #intervals = new Intervals();
  /** Blocks by offset. The first one starts at {@link #firstBlockOffset}. */
  #blocks: (Block | undefined)[] = [];
  #firstBlockOffset = 0;
  #delivered = 0;
  /** What the consumer holds, oldest first. */
  #chunks: Chunk[] = [];
  #countedPieces = FREE_PIECES;
  /** {@link highestOffset} at the last {@link rest}. */
  #restedOffset = -1;

  constructor(memory: ReceiveMemory, blockBytes: number) {
    this.#memory = memory;
    this.#blockBytes = blockBytes;
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
    return this.#intervals.contiguous > this.#delivered && this.#chunks.length < MAX_CHUNKS;
  }

  /**
   * Takes `frame[from, end)`, which belongs at `offset`. The caller has checked the window.
   *
   * @returns false when the peer has no memory left for the table of missing parts, so that the stream cannot continue
   * @throws {TunnelError} ERR_FRAME_INVALID (remote) if some of the bytes have already arrived
   */
  insert(offset: number, frame: Uint8Array, from: number): boolean {
    this.#intervals.add(offset, offset + frame.length - from);
    if (!this.#countPieces()) return false;
    let at = from;
    while (at < frame.length) {
      const distance = offset + (at - from) - this.#firstBlockOffset;
      const index = Math.floor(distance / this.#blockBytes);
      const inBlock = distance - index * this.#blockBytes;
      const end = Math.min(frame.length, at + this.#blockBytes - inBlock);
      copyBytes(this.#block(index).bytes, inBlock, frame.subarray(at, end));
      at = end;
    }
    return true;
  }

  /** Returns the next bytes in order, at most one block; undefined when there are none, or the consumer has enough. */
  next(): Uint8Array | undefined {
    const block = this.#blocks[0];
    if (!this.hasContiguous || block === undefined) return undefined;
    const from = this.#delivered - this.#firstBlockOffset;
    const to = Math.min(this.#blockBytes, from + this.#intervals.contiguous - this.#delivered);
    const isCopy = to - from < this.#blockBytes * COPY_BELOW;
    const chunk = isCopy ? block.bytes.slice(from, to) : block.bytes.subarray(from, to);
    this.#delivered += to - from;
    if (isCopy) this.#memory.count(chunk.length);
    else {
      block.views++;
      block.wasShared = true;
    }
    this.#chunks.push({
      end: this.#delivered,
      block: isCopy ? undefined : block,
      copyBytes: isCopy ? chunk.length : 0,
    });
    if (to === this.#blockBytes) {
      this.#blocks.shift();
      this.#firstBlockOffset += this.#blockBytes;
      this.#close(block);
    } else if (this.highestOffset === this.#delivered && !block.wasShared) {
      this.#blocks[0] = undefined;
      this.#close(block);
    }
    return chunk;
  }

  /** The consumer has let go of all chunks that end at or below `offset`. */
  consumedTo(offset: number): void {
    let count = 0;
    for (const { end, block, copyBytes: bytes } of this.#chunks) {
      if (end > offset) break;
      count++;
      this.#memory.count(-bytes);
      if (block === undefined) continue;
      block.views--;
      this.#letGo(block);
    }
    if (count > 0) this.#chunks.splice(0, count);
  }

  /**
   * Call it every few seconds. A stream to which nothing has come since the last call holds no block, not even one that
   * is partly filled.
   */
  rest(): void {
    const isIdle = this.highestOffset === this.#restedOffset;
    this.#restedOffset = this.highestOffset;
    const last = this.#blocks[0];
    if (!isIdle || last === undefined || last.views > 0 || this.highestOffset > this.#delivered) return;
    this.#blocks[0] = undefined;
    this.#close(last);
  }

  /** Drops everything. Insert nothing afterwards. */
  clear(): void {
    this.consumedTo(Number.POSITIVE_INFINITY);
    for (const block of this.#blocks) if (block !== undefined) this.#close(block);
    this.#blocks = [];
    const counted = this.#countedPieces - FREE_PIECES;
    this.#countedPieces = FREE_PIECES;
    this.#memory.shrink(counted * PIECE_BYTES);
    this.#memory.count(-counted * PIECE_BYTES);
  }

  #block(index: number): Block {
    const held = this.#blocks[index];
    if (held !== undefined) return held;
    while (this.#blocks.length < index) this.#blocks.push(undefined);
    const bytes = this.#memory.takeBlock(this.#blockBytes);
    const block = { bytes, views: 0, isOpen: true, wasShared: false };
    this.#blocks[index] = block;
    return block;
  }

  /** No more bytes go into a block. */
  #close(block: Block): void {
    block.isOpen = false;
    this.#letGo(block);
  }

  /** Gives back a block that nobody needs. A block of which the consumer had a view now belongs to the consumer. */
  #letGo(block: Block): void {
    if (block.isOpen || block.views > 0) return;
    if (block.wasShared) this.#memory.count(-block.bytes.length);
    else this.#memory.giveBlock(block.bytes);
  }

  /** @returns false when there is no memory for so many separate pieces */
  #countPieces(): boolean {
    const { pieces } = this.#intervals;
    // A little more is kept until the next growth, so that a stream near the limit rarely needs counting.
    if (pieces <= this.#countedPieces) return true;
    const more = FREE_PIECES * Math.ceil((pieces - this.#countedPieces) / FREE_PIECES);
    if (!this.#memory.take(more * PIECE_BYTES)) return false;
    this.#countedPieces += more;
    this.#memory.count(more * PIECE_BYTES);
    return true;
  }
}
