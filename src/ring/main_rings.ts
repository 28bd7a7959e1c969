import { TunnelError } from '../core/errors.js';
import { CHANNEL_BACKLOG_BYTES, MAX_PEERS, URGENT_RESERVE_BYTES } from '../core/limits.js';
import { BacklogGauge } from './backlog.js';
import { channelIdOf, RECORD_HEADER_BYTES, readHeader, slotOf } from './record.js';
import { RingChannel } from './ring_channel.js';
import { RingEnds } from './ring_ends.js';
import type { RingReaderOptions } from './ring_reader.js';
import type { SharedMemory } from './shared.js';

/** Channel ids have 24 bits: the slot, and how often the slot was used before. */
const GENERATIONS = 2 ** 24 / MAX_PEERS;

/** What a channel brings its owner. */
export interface ChannelHandlers {
  /** One frame from the peer. The view is valid during the call only. */
  frame(frame: Uint8Array): void;
  /** A batch of frames is complete: called once after one or more calls of {@link frame}. */
  flush(): void;
  /** A refused frame has room now. */
  room(): void;
  /** The channel cannot continue. This may come before the call that opened it is answered. */
  failed(error: TunnelError): void;
}

export interface MainRingsOptions extends RingReaderOptions {
  /** Bytes of frames that may wait for one peer's path. Default {@link CHANNEL_BACKLOG_BYTES}. */
  readonly backlogLimitBytes?: number;
  /** Part of that limit for urgent frames only, in bytes. Default {@link URGENT_RESERVE_BYTES}. */
  readonly urgentReserveBytes?: number;
}

interface Entry {
  readonly channel: RingChannel;
  readonly handlers: ChannelHandlers;
  /** Frames have arrived since its last flush. */
  dirty: boolean;
}

/**
 * The main thread's end of the rings, divided into channels. A channel refuses a frame while its
 * peer is too far behind, so the worker can always take the oldest record: a peer whose path is
 * stuck blocks no other peer.
 */
export class MainRings {
  readonly #ends: RingEnds;
  readonly #gauges: readonly BacklogGauge[];
  /** The open channels, by slot. */
  readonly #entries: (Entry | undefined)[] = Array.from({ length: MAX_PEERS }, () => undefined);
  readonly #generations = new Uint32Array(MAX_PEERS);
  #dirty: Entry[] = [];
  /** The slot that hears first when the ring has room again; every slot in turn. */
  #firstSlot = 0;

  constructor(shared: SharedMemory, options: MainRingsOptions = {}) {
    const { backlogLimitBytes = CHANNEL_BACKLOG_BYTES, urgentReserveBytes = URGENT_RESERVE_BYTES } = options;
    this.#ends = new RingEnds(shared, 0, options, () => this.#announceRoom());
    this.#gauges = Array.from(
      { length: MAX_PEERS },
      (_, slot) =>
        new BacklogGauge(
          shared.backlog,
          slot,
          backlogLimitBytes,
          this.#ends.announceSoon,
          urgentReserveBytes,
        ),
    );
    this.#ends.run((bytes, offset, length) => {
      const frameAt = offset + RECORD_HEADER_BYTES;
      this.#deliver(channelIdOf(readHeader(bytes, offset)), bytes.subarray(frameAt, offset + length));
      return true;
    });
  }

  /**
   * Makes a new channel, with an id of its own.
   *
   * @throws {TunnelError} ERR_LIMIT when {@link MAX_PEERS} channels are open
   */
  open(handlers: ChannelHandlers): RingChannel {
    const slot = this.#entries.indexOf(undefined);
    if (slot < 0)
      throw new TunnelError('ERR_LIMIT', `${MAX_PEERS} peers are connected; wait until one has left`);
    const generation = this.#generations[slot]!;
    this.#generations[slot] = (generation + 1) % GENERATIONS;
    const channel = new RingChannel(generation * MAX_PEERS + slot, this.#ends, this.#gauges[slot]!);
    this.#entries[slot] = { channel, handlers, dirty: false };
    return channel;
  }

  /** Frees the channel's slot. Its handlers are not called again. */
  remove({ id }: RingChannel): void {
    if (this.#entryOf(id) !== undefined) this.#entries[slotOf(id)] = undefined;
  }

  /** Tells a channel that it cannot continue, and removes it. */
  fail(id: number, error: TunnelError): void {
    const entry = this.#entryOf(id);
    if (entry === undefined) return;
    this.remove(entry.channel);
    entry.handlers.failed(error);
  }

  /** Takes and sends no more. Whatever is still in the rings is lost. */
  close(): void {
    this.#ends.close();
  }

  #deliver(id: number, frame: Uint8Array): void {
    const entry = this.#entryOf(id);
    if (entry === undefined) return; // its channel has been closed
    if (!entry.dirty) {
      entry.dirty = true;
      // The ring delivers a whole batch in one turn, so a microtask runs after it.
      if (this.#dirty.push(entry) === 1) queueMicrotask(() => this.#flush());
    }
    entry.handlers.frame(frame);
  }

  #flush(): void {
    const batch = this.#dirty;
    this.#dirty = [];
    let flushed = 0;
    try {
      for (const entry of batch) {
        flushed++;
        entry.dirty = false;
        if (this.#entryOf(entry.channel.id) === entry) entry.handlers.flush();
      }
    } finally {
      // A handler that throws costs the peers after it nothing.
      if (flushed < batch.length) {
        this.#dirty.unshift(...batch.slice(flushed));
        queueMicrotask(() => this.#flush());
      }
    }
  }

  #announceRoom(): void {
    if (this.#ends.writer.takeRoom()) {
      const first = this.#firstSlot;
      this.#firstSlot = (first + 1) % MAX_PEERS;
      for (let i = 0; i < MAX_PEERS; i++) this.#room((first + i) % MAX_PEERS);
    }
    for (const [slot, gauge] of this.#gauges.entries()) if (gauge.takeRoom()) this.#room(slot);
  }

  #room(slot: number): void {
    if (!this.#ends.isClosed) this.#entries[slot]?.handlers.room();
  }

  #entryOf(id: number): Entry | undefined {
    const entry = this.#entries[slotOf(id)];
    return entry?.channel.id === id ? entry : undefined;
  }
}
