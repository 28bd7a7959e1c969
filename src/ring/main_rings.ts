import { TunnelError } from '../core/errors.js';
import { CHANNEL_BACKLOG_BYTES, URGENT_RESERVE_BYTES } from '../core/limits.js';
import { BacklogGauge, backlogSlots } from './backlog.js';
import { Pulse } from './pulse.js';
import { channelIdOf, generationsOf, RECORD_HEADER_BYTES, readHeader, slotOf } from './record.js';
import { RingChannel } from './ring_channel.js';
import { RingEnds } from './ring_ends.js';
import type { RingReaderOptions } from './ring_reader.js';
import type { SharedMemory } from './shared.js';

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

/** A row of the backlog table that has been in use. */
interface Slot {
  /** Only it knows how much was written for the row, so it outlives the channels. */
  readonly gauge: BacklogGauge;
  /** How many channels have had this slot, as far as ids tell them apart. */
  generation: number;
  entry: Entry | undefined;
}

/**
 * The main thread's end of the rings, divided into channels. A channel refuses a frame while its
 * peer is too far behind, so the worker can always take the oldest record: a peer whose path is
 * stuck blocks no other peer.
 */
export class MainRings {
  readonly #ends: RingEnds;
  readonly #pulse: Pulse;
  readonly #newGauge: (slot: number) => BacklogGauge;
  readonly #maxChannels: number;
  /** Every slot that has been in use, so no longer than the most channels that were open at once. */
  readonly #slots: Slot[] = [];
  /** Slots in use before, and free now. */
  readonly #free: number[] = [];
  /** Channels that were refused a frame and have not heard of room since, the longest wait first. */
  readonly #refused = new Set<RingChannel>();
  #dirty: Entry[] = [];
  /** The channel that heard first when the ring last had room again. */
  #heardFirst: RingChannel | undefined;

  /** @param shared its backlog table sets how many channels may be open at once */
  constructor(shared: SharedMemory, options: MainRingsOptions = {}) {
    const { backlogLimitBytes = CHANNEL_BACKLOG_BYTES, urgentReserveBytes = URGENT_RESERVE_BYTES } = options;
    this.#ends = new RingEnds(shared, 0, options, () => this.#announceRoom());
    this.#pulse = new Pulse(shared.pulse);
    this.#maxChannels = backlogSlots(shared.backlog);
    this.#newGauge = (slot) =>
      new BacklogGauge(shared.backlog, slot, backlogLimitBytes, this.#ends.announceSoon, urgentReserveBytes);
    this.#ends.run((bytes, offset, length) => {
      const frameAt = offset + RECORD_HEADER_BYTES;
      this.#deliver(channelIdOf(readHeader(bytes, offset)), bytes.subarray(frameAt, offset + length));
      return true;
    });
  }

  /**
   * Makes a new channel, with an id of its own.
   *
   * @throws {TunnelError} ERR_LIMIT when all slots are taken
   */
  open(handlers: ChannelHandlers): RingChannel {
    const index = this.#free.pop() ?? this.#slots.length;
    if (index >= this.#maxChannels) {
      const peers = this.#maxChannels === 1 ? 'a peer is' : `${this.#maxChannels} peers are`;
      throw new TunnelError('ERR_LIMIT', `${peers} connected; wait until one has left`);
    }
    const slot = this.#slots[index] ?? { gauge: this.#newGauge(index), generation: 0, entry: undefined };
    this.#slots[index] = slot;
    const id = slot.generation * this.#maxChannels + index;
    slot.generation = (slot.generation + 1) % generationsOf(this.#maxChannels);
    const channel = new RingChannel(id, this.#ends, slot.gauge, this.#refused);
    slot.entry = { channel, handlers, dirty: false };
    return channel;
  }

  /** Frees the channel's slot. Its handlers are not called again. */
  remove(channel: RingChannel): void {
    if (this.#entryOf(channel.id)?.channel !== channel) return;
    const index = slotOf(channel.id, this.#maxChannels);
    this.#slots[index]!.entry = undefined;
    this.#free.push(index);
    this.#refused.delete(channel);
  }

  /** Tells a channel that it cannot continue, and removes it. */
  fail(id: number, error: TunnelError): void {
    const entry = this.#entryOf(id);
    if (entry === undefined) return;
    this.remove(entry.channel);
    entry.handlers.failed(error);
  }

  /** Changes with each turn that the worker takes. */
  get workerBeats(): number {
    return this.#pulse.beats;
  }

  /** Stops taking and sending records. Whatever is still in the rings is lost. */
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
      // A handler that throws does not affect the peers after it.
      if (flushed < batch.length) {
        this.#dirty.unshift(...batch.slice(flushed));
        queueMicrotask(() => this.#flush());
      }
    }
  }

  #announceRoom(): void {
    const ringHasRoom = this.#ends.writer.takeRoom();
    const waiting = [...this.#refused];
    // Whoever heard first last time may have filled the ring, and is the first in line again.
    const skipped =
      ringHasRoom && waiting.length > 1 && waiting[0] === this.#heardFirst ? waiting.shift() : undefined;
    if (skipped !== undefined) waiting.push(skipped);
    if (ringHasRoom) this.#heardFirst = waiting[0];
    for (const channel of waiting) {
      if (!channel.takeRoom() && !ringHasRoom) continue;
      this.#refused.delete(channel);
      const entry = this.#entryOf(channel.id);
      if (!this.#ends.isClosed && entry?.channel === channel) entry.handlers.room();
    }
  }

  #entryOf(id: number): Entry | undefined {
    const entry = this.#slots[slotOf(id, this.#maxChannels)]?.entry;
    return entry?.channel.id === id ? entry : undefined;
  }
}
