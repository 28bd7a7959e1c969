import { MAX_PEER_DATAGRAM_BYTES } from '../../core/limits.js';
import { DatagramMemory } from '../datagram/datagram_memory.js';
import { Datagrams } from '../datagram/datagrams.js';
import { BLOCK_BYTES, BlockPool } from '../stream/reassembly.js';
import { ReceiveHalf } from '../stream/receive_half.js';
import { GrowthBudget } from '../stream/receive_window.js';
import { SendHalf } from '../stream/send_half.js';
import type { StreamParts } from '../stream/stream_parts.js';
import type { Target } from '../wire/target.js';
import type { SessionLimits, SessionStats } from './session_options.js';

/** What a stream's window starts with at least, however many there are, in bytes. */
const CROWDED_WINDOW_BYTES = 16 * 1024;

/** The memory that one session's streams share: blocks for what came, and what windows may grow by. */
export class StreamMemory {
  readonly #limits: Required<SessionLimits>;
  readonly #frameBytes: number;
  readonly #growth: GrowthBudget;
  readonly #pool: BlockPool;
  readonly #datagrams = new DatagramMemory(MAX_PEER_DATAGRAM_BYTES);

  /** @param frameBytes longest frame that a stream may send */
  constructor(limits: Required<SessionLimits>, frameBytes: number) {
    this.#frameBytes = frameBytes;
    this.#limits = limits;
    this.#growth = new GrowthBudget(limits.maxPeerWindowBytes);
    this.#pool = new BlockPool(Math.ceil(limits.maxHeldBytes / BLOCK_BYTES));
  }

  stats(): Pick<
    SessionStats,
    'growthLeftBytes' | 'datagramsSent' | 'datagramsReceived' | 'datagramsDropped' | 'datagramBytes'
  > {
    const { sent, received, dropped, bytes } = this.#datagrams;
    return {
      growthLeftBytes: this.#growth.leftBytes,
      datagramsSent: sent,
      datagramsReceived: received,
      datagramsDropped: dropped,
      datagramBytes: bytes,
    };
  }

  /** The halves of a new stream beside `others`, and its datagrams when it is to such a target. */
  halves(
    kind: Target['kind'],
    others: number,
    nowMs: number,
  ): Pick<StreamParts, 'sending' | 'receiving' | 'datagrams'> {
    const { initialWindowBytes, maxStreamWindowBytes, maxPeerWindowBytes, sendHighWaterBytes } = this.#limits;
    // Among many streams each gets a share: a peer that opens all it may opens no gigabyte.
    const shareBytes = Math.floor(maxPeerWindowBytes / (others + 1));
    return {
      datagrams: kind === 'udp' ? new Datagrams(this.#datagrams, this.#frameBytes, nowMs) : undefined,
      sending: new SendHalf(sendHighWaterBytes, this.#frameBytes, nowMs),
      receiving: new ReceiveHalf(this.#pool, {
        initialBytes: Math.min(initialWindowBytes, Math.max(CROWDED_WINDOW_BYTES, shareBytes)),
        maxBytes: maxStreamWindowBytes,
        budget: this.#growth,
      }),
    };
  }
}
