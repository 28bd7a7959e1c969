import type { ByteBudget } from '../../core/byte_budget.js';
import { MAX_PEER_DATAGRAM_BYTES } from '../../core/limits.js';
import { DatagramMemory } from '../datagram/datagram_memory.js';
import { Datagrams } from '../datagram/datagrams.js';
import { ReceiveHalf } from '../stream/receive_half.js';
import { ReceiveMemory } from '../stream/receive_memory.js';
import { SendHalf } from '../stream/send_half.js';
import { SendMemory } from '../stream/send_queue.js';
import type { Stream } from '../stream/stream.js';
import type { StreamParts } from '../stream/stream_parts.js';
import { isIdAt } from '../wire/stream_id.js';
import type { Target } from '../wire/target.js';
import { IdHash } from './id_hash.js';
import type { SessionLimits, SessionStats } from './session_options.js';

/**
 * A session's streams by a keyed hash of their UUID. A look-up builds no string. The table cannot hold two UUIDs with
 * the same hash: the chance of that is 1 in 2^53 for each pair, and nobody who lacks the secret can raise it.
 */
export class StreamTable {
  readonly #hash: IdHash;
  readonly #byHash = new Map<number, Stream>();
  /** The last stream found: frames arrive in runs of one stream. */
  #last: Stream | undefined;

  /** @param secret 8 bytes or more from a CSPRNG, which the peer does not know */
  constructor(secret: Uint8Array) {
    this.#hash = new IdHash(secret);
  }

  get size(): number {
    return this.#byHash.size;
  }

  /** Returns the stream whose UUID is at `bytes[at]`. */
  find(bytes: Uint8Array, at: number): Stream | undefined {
    if (this.#last !== undefined && isIdAt(this.#last.idBytes, bytes, at)) return this.#last;
    const found = this.#byHash.get(this.#hash.of(bytes, at));
    if (found === undefined || !isIdAt(found.idBytes, bytes, at)) return undefined;
    this.#last = found;
    return found;
  }

  /** True when a stream already has the place of the UUID at `bytes[at]`. */
  isTaken(bytes: Uint8Array, at: number): boolean {
    return this.#byHash.has(this.#hash.of(bytes, at));
  }

  /** Adds a stream whose place is not {@link isTaken}. */
  add(stream: Stream): void {
    this.#byHash.set(this.#hash.of(stream.idBytes, 0), stream);
  }

  remove(stream: Stream): void {
    const hash = this.#hash.of(stream.idBytes, 0);
    if (this.#byHash.get(hash) === stream) this.#byHash.delete(hash);
    if (this.#last === stream) this.#last = undefined;
  }

  /** True when a consumer has yet to take something that has arrived. */
  get isHeld(): boolean {
    for (const stream of this) if (stream.isHeld) return true;
    return false;
  }

  /** Combines {@link Stream.sendMark} of all streams. */
  sendMark(): () => boolean {
    const marks = [...this].map((stream) => stream.sendMark());
    return () => marks.every((isDone) => isDone());
  }

  [Symbol.iterator](): IterableIterator<Stream> {
    return this.#byHash.values();
  }
}

/** The memory that one session's streams share. */
export class StreamMemory {
  readonly #limits: Required<SessionLimits>;
  readonly #frameBytes: number;
  readonly #received: ReceiveMemory;
  readonly #sent = new SendMemory();
  readonly #datagrams = new DatagramMemory(MAX_PEER_DATAGRAM_BYTES);

  /** @param frameBytes maximum length of a frame @param share this session's share of the memory of the process */
  constructor(limits: Required<SessionLimits>, frameBytes: number, share: ByteBudget | undefined) {
    this.#frameBytes = frameBytes;
    this.#limits = limits;
    this.#received = new ReceiveMemory(limits.maxPeerWindowBytes, share);
  }

  /** True when there is memory for another stream. */
  get hasRoom(): boolean {
    return this.#received.hasRoom;
  }

  stats(): Pick<
    SessionStats,
    | 'growthLeftBytes'
    | 'heldBytes'
    | 'reservedBytes'
    | 'backlogBytes'
    | 'datagramsSent'
    | 'datagramsReceived'
    | 'datagramsDropped'
    | 'datagramBytes'
  > {
    const { sent, received, dropped, bytes } = this.#datagrams;
    return {
      growthLeftBytes: this.#received.growthLeftBytes,
      heldBytes: this.#received.heldBytes,
      reservedBytes: this.#received.reservedBytes,
      backlogBytes: this.#sent.bytes,
      datagramsSent: sent,
      datagramsReceived: received,
      datagramsDropped: dropped,
      datagramBytes: bytes,
    };
  }

  /** Makes the halves of a new stream; for a UDP target, its datagrams too. */
  halves(kind: Target['kind'], nowMs: number): Pick<StreamParts, 'sending' | 'receiving' | 'datagrams'> {
    const { initialWindowBytes, maxStreamWindowBytes, sendHighWaterBytes } = this.#limits;
    return {
      datagrams: kind === 'udp' ? new Datagrams(this.#datagrams, this.#frameBytes, nowMs) : undefined,
      sending: new SendHalf(sendHighWaterBytes, this.#frameBytes, nowMs, this.#sent),
      receiving: new ReceiveHalf({
        memory: this.#received,
        initialBytes: initialWindowBytes,
        maxBytes: maxStreamWindowBytes,
      }),
    };
  }
}
