import { BLOCK_BYTES, BlockPool } from './block_pool.js';
import { ReceiveHalf } from './receive_half.js';
import { GrowthBudget } from './receive_window.js';
import { SendHalf } from './send_half.js';
import type { SessionLimits } from './session_options.js';

/** What a stream's window starts with at least, however many there are, in bytes. */
const CROWDED_WINDOW_BYTES = 16 * 1024;

/** The memory that one session's streams share: blocks for what came, and what windows may grow by. */
export class StreamMemory {
  readonly #limits: Required<SessionLimits>;
  readonly #growth: GrowthBudget;
  readonly #pool: BlockPool;

  constructor(limits: Required<SessionLimits>) {
    this.#limits = limits;
    this.#growth = new GrowthBudget(limits.maxPeerWindowBytes);
    this.#pool = new BlockPool(Math.ceil(limits.maxHeldBytes / BLOCK_BYTES));
  }

  /** What windows may still grow by, in bytes. */
  get growthLeftBytes(): number {
    return this.#growth.leftBytes;
  }

  /** The halves of a new stream beside `others`. */
  halves(others: number, nowMs: number): { sending: SendHalf; receiving: ReceiveHalf } {
    const { initialWindowBytes, maxStreamWindowBytes, maxPeerWindowBytes, sendHighWaterBytes } = this.#limits;
    // Among many streams each gets a share: a peer that opens all it may opens no gigabyte.
    const shareBytes = Math.floor(maxPeerWindowBytes / (others + 1));
    return {
      sending: new SendHalf(sendHighWaterBytes, nowMs),
      receiving: new ReceiveHalf(this.#pool, {
        initialBytes: Math.min(initialWindowBytes, Math.max(CROWDED_WINDOW_BYTES, shareBytes)),
        maxBytes: maxStreamWindowBytes,
        budget: this.#growth,
      }),
    };
  }
}
