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
 * A session's streams by UUID. A look-up builds no string. The table cannot hold two UUIDs with the same key:
 * between honest ends the chance of that is 1 in 2^53 for each pair.
 */
export class StreamTable {
  readonly #byKey = new Map<number, Stream>();
  /** The last stream found: frames arrive in runs of one stream. */
  #last: Stream | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  /** Returns the stream whose UUID is at `bytes[at]`. */
  find(bytes: Uint8Array, at: number): Stream | undefined {
    if (this.#last !== undefined && isIdAt(this.#last.idBytes, bytes, at)) return this.#last;
    const found = this.#byKey.get(idKey(bytes, at));
    if (found === undefined || !isIdAt(found.idBytes, bytes, at)) return undefined;
    this.#last = found;
    return found;
  }

  /** True when a stream already has the place of the UUID at `bytes[at]`. */
  isTaken(bytes: Uint8Array, at: number): boolean {
    return this.#byKey.has(idKey(bytes, at));
  }

  /** Adds a stream whose place is not {@link isTaken}. */
  add(stream: Stream): void {
    this.#byKey.set(stream.key, stream);
  }

  remove(stream: Stream): void {
    if (this.#byKey.get(stream.key) === stream) this.#byKey.delete(stream.key);
    if (this.#last === stream) this.#last = undefined;
  }

  /** Bytes that the streams have received and hold, and bytes that wait to be sent. */
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

/** Minimum initial window of a stream, however many streams there are, in bytes. */
const CROWDED_WINDOW_BYTES = 16 * 1024;

/** The memory that one session's streams share: blocks for received bytes, and growth for the windows. */
export class StreamMemory {
  readonly #limits: Required<SessionLimits>;
  readonly #frameBytes: number;
  readonly #growth: GrowthBudget;
  readonly #pool: BlockPool;
  readonly #datagrams = new DatagramMemory(MAX_PEER_DATAGRAM_BYTES);

  /** @param frameBytes maximum length of a frame */
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

  /** Makes the halves of a new stream next to `others` streams; for a UDP target, its datagrams too. */
  halves(
    kind: Target['kind'],
    others: number,
    nowMs: number,
  ): Pick<StreamParts, 'sending' | 'receiving' | 'datagrams'> {
    const { initialWindowBytes, maxStreamWindowBytes, maxPeerWindowBytes, sendHighWaterBytes } = this.#limits;
    // Each of many streams gets a share: a peer that opens all its streams cannot claim a gigabyte.
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
