import { ByteBudget } from '../../core/byte_budget.js';
import { LEAST_WINDOW_BYTES } from '../../core/limits.js';

/** Longest and shortest blocks in which arriving data is gathered, in bytes. */
export const MAX_BLOCK_BYTES = 32 * 1024;
const MIN_BLOCK_BYTES = 4 * 1024;
/** What a stream's window and its blocks may need beyond the window: see {@link costOf}. */
const BLOCKS_BESIDE_WINDOW = 3;
/** Memory of a stream's objects, and of those around the chunks that its consumer holds. */
const OBJECTS_BYTES = 4 * 1024;
/** Part of what is left for first windows that one new stream may take. */
const FIRST_WINDOW_SHARE = 1 / 16;

/**
 * Length of the blocks of a stream whose first window has `windowBytes` bytes: an eighth, so that what is kept beside
 * the window is small.
 */
export function blockBytesOf(windowBytes: number): number {
  const eighth = 2 ** Math.floor(Math.log2(Math.max(1, windowBytes / 8)));
  return Math.min(MAX_BLOCK_BYTES, Math.max(MIN_BLOCK_BYTES, eighth));
}

/**
 * The most memory that a stream with this first window needs. Its window may begin and end inside a block, so the
 * blocks take up to two blocks more than the window. Short chunks that the consumer holds are copies, up to another
 * block.
 */
function costOf(windowBytes: number): number {
  return windowBytes + BLOCKS_BESIDE_WINDOW * blockBytesOf(windowBytes);
}

/** Memory that every open stream is guaranteed: its least window, its blocks and its objects. 32 KiB. */
export const STREAM_BYTES = costOf(LEAST_WINDOW_BYTES) + OBJECTS_BYTES;

/** The memory of a stream, from {@link ReceiveMemory.reserve}. */
export interface Reserved {
  readonly windowBytes: number;
  readonly blockBytes: number;
  /** What this stream took from the peer's growth. */
  readonly growthBytes: number;
}

/**
 * The memory for what one peer's streams have received and their consumers have not taken yet. It is paid for before
 * the peer may send: a stream's credit never exceeds its part. So the peer cannot make this end hold more than
 * `growthBytes`, and {@link STREAM_BYTES} for each stream, and never takes what another stream was promised.
 */
export class ReceiveMemory {
  /** For the least windows, which nothing but the memory of the process limits. */
  readonly #share: ByteBudget;
  readonly #growth: ByteBudget;
  readonly #growthBytes: number;
  readonly #spare = new Map<number, Uint8Array[]>();
  #heldBytes = 0;

  /** @param growthBytes for windows beyond the least @param share this peer's share of the memory of the process */
  constructor(growthBytes: number, share = new ByteBudget(Number.POSITIVE_INFINITY)) {
    this.#growthBytes = growthBytes;
    this.#share = share;
    this.#growth = new ByteBudget(growthBytes, { parent: share });
  }

  /** Growth that is left, in bytes. */
  get growthLeftBytes(): number {
    return this.#growthBytes - this.#growth.usedBytes;
  }

  /** Memory in use: blocks, chunks that consumers hold, and the table of missing parts, to the byte. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Memory that is promised to streams; {@link heldBytes} never exceeds it. */
  get reservedBytes(): number {
    return this.#share.usedBytes;
  }

  /** True when {@link reserve} succeeds. */
  get hasRoom(): boolean {
    return this.#share.leftBytes >= STREAM_BYTES;
  }

  /**
   * Reserves the memory of a new stream. The first windows of all streams together leave half of the growth to those
   * that need larger ones, and each takes a small part of what is left. So the window is smaller next to many streams.
   *
   * @param wantedBytes the window
   * @returns undefined when the process has no memory for another stream
   */
  reserve(wantedBytes: number): Reserved | undefined {
    if (!this.#share.take(STREAM_BYTES)) return undefined;
    const spendable = Math.max(0, this.#growth.leftBytes - this.#growthBytes / 2) * FIRST_WINDOW_SHARE;
    const sure = costOf(LEAST_WINDOW_BYTES);
    let windowBytes = wantedBytes;
    while (windowBytes > LEAST_WINDOW_BYTES && costOf(windowBytes) - sure > spendable)
      windowBytes = Math.max(LEAST_WINDOW_BYTES, Math.floor(windowBytes / 2));
    const growthBytes = Math.max(0, costOf(windowBytes) - sure);
    this.#growth.take(growthBytes);
    return { windowBytes, blockBytes: blockBytesOf(windowBytes), growthBytes };
  }

  /** Gives back what {@link reserve} gave. */
  release({ growthBytes }: Reserved): void {
    this.#share.give(STREAM_BYTES);
    this.#growth.give(growthBytes);
  }

  /** Takes all of `bytes` of growth. @returns false when there is not enough; then it takes nothing */
  take(bytes: number): boolean {
    return this.#growth.take(bytes);
  }

  /** Takes up to `bytes` of growth. @returns how many it got */
  grow(bytes: number): number {
    return this.#growth.takeUpTo(bytes);
  }

  /** Gives growth back. */
  shrink(bytes: number): void {
    this.#growth.give(bytes);
  }

  /** Counts memory that a stream uses; negative when it lets go of some. */
  count(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Takes a block with arbitrary content. */
  takeBlock(blockBytes: number): Uint8Array {
    this.#heldBytes += blockBytes;
    return this.#spare.get(blockBytes)?.pop() ?? new Uint8Array(blockBytes);
  }

  /** Gives back a block that nobody has a view of, so idle and interactive streams hold and allocate none. */
  giveBlock(block: Uint8Array): void {
    this.#heldBytes -= block.length;
    const spare = this.#spare.get(block.length) ?? [];
    if (spare.length === 0) this.#spare.set(block.length, spare);
    if (spare.length < MAX_SPARE_BLOCKS) spare.push(block);
  }
}

/** How many blocks of one length are kept for reuse: 1 MiB at most for all. More would lie unused after a burst. */
const MAX_SPARE_BLOCKS = 16;
