import { MAX_PEER_DATAGRAM_BYTES } from '../../core/limits.js';
import { DatagramMemory } from '../datagram/datagram_memory.js';
import { Datagrams } from '../datagram/datagrams.js';
import { BLOCK_BYTES, BlockPool } from '../stream/reassembly.js';
import { ReceiveHalf } from '../stream/receive_half.js';
import { GrowthBudget } from '../stream/receive_window.js';
import { SendHalf } from '../stream/send_half.js';
import type { Stream } from '../stream/stream.js';
import type { StreamParts } from '../stream/stream_parts.js';
import { idKey, isIdAt } from '../wire/stream_id.js';
import type { Target } from '../wire/target.js';
import type { SessionLimits, SessionStats } from './session_options.js';

/**
 * A session's streams by UUID, found without building a string. Two UUIDs with the same key
 * cannot stand in it together: for honest ends that is one chance in 2^53 for each pair.
 */
export class StreamTable {
  readonly #byKey = new Map<number, Stream>();
  /** Frames come in runs of one stream. */
  #last: Stream | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  /** The stream whose UUID stands at `bytes[at]`. */
  find(bytes: Uint8Array, at: number): Stream | undefined {
    if (this.#last !== undefined && isIdAt(this.#last.idBytes, bytes, at)) return this.#last;
    const found = this.#byKey.get(idKey(bytes, at));
    if (found === undefined || !isIdAt(found.idBytes, bytes, at)) return undefined;
    this.#last = found;
    return found;
  }

  /** True when another stream stands where one with the UUID at `bytes[at]` would. */
  isTaken(bytes: Uint8Array, at: number): boolean {
    return this.#byKey.has(idKey(bytes, at));
  }

  /** The place must not be {@link isTaken}. */
  add(stream: Stream): void {
    this.#byKey.set(stream.key, stream);
  }

  remove(stream: Stream): void {
    if (this.#byKey.get(stream.key) === stream) this.#byKey.delete(stream.key);
    if (this.#last === stream) this.#last = undefined;
  }

  /** What the streams hold of what came, and of what is to go, in bytes. */
  memory(): { heldBytes: number; backlogBytes: number } {
    let heldBytes = 0;
    let backlogBytes = 0;
    for (const stream of this) {
      heldBytes += stream.receiving.heldBytes;
      backlogBytes += stream.backlogBytes;
    }
    return { heldBytes, backlogBytes };
  }

  [Symbol.iterator](): IterableIterator<Stream> {
    return this.#byKey.values();
  }
}

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
