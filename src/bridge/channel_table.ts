import { TunnelError } from '../core/errors.js';
import { MAX_PEERS } from '../core/limits.js';
import type { MainSideHandlers } from '../ring/main_side.js';
import { slotOf } from '../ring/record.js';
import type { ChannelId } from './contract.js';
import type { ChannelHandlers } from './node_channel.js';

/** Channel ids have 24 bits: the slot, and how often it was used before. */
const GENERATIONS = 2 ** 24 / MAX_PEERS;

interface Entry {
  readonly id: ChannelId;
  readonly handlers: ChannelHandlers;
  /** Frames came since its last flush. */
  dirty: boolean;
}

/** Who gets the frames of the inbound ring: one entry for each open channel, by its slot. */
export class ChannelTable implements MainSideHandlers {
  readonly #entries: (Entry | undefined)[] = Array.from({ length: MAX_PEERS }, () => undefined);
  readonly #generations = new Uint32Array(MAX_PEERS);
  #dirty: Entry[] = [];
  /** The slot that has the first word when the ring has room again: each in its turn. */
  #first = 0;

  /**
   * A new channel's id.
   *
   * @throws {TunnelError} ERR_LIMIT when {@link MAX_PEERS} channels are open
   */
  add(handlers: ChannelHandlers): ChannelId {
    const slot = this.#entries.indexOf(undefined);
    if (slot < 0)
      throw new TunnelError('ERR_LIMIT', `${MAX_PEERS} peers are connected; wait until one has left`);
    const generation = this.#generations[slot]!;
    this.#generations[slot] = (generation + 1) % GENERATIONS;
    const id = generation * MAX_PEERS + slot;
    this.#entries[slot] = { id, handlers, dirty: false };
    return id;
  }

  /** Nothing further reaches the channel's handlers. */
  remove(id: ChannelId): void {
    if (this.#entryOf(id) !== undefined) this.#entries[slotOf(id)] = undefined;
  }

  /** The channel cannot go on: its handlers hear of it, and of nothing after it. */
  failed(id: ChannelId, error: TunnelError): void {
    const entry = this.#entryOf(id);
    this.remove(id);
    entry?.handlers.failed(error);
  }

  frame(id: ChannelId, _flags: number, bytes: Uint8Array, offset: number, length: number): boolean {
    const entry = this.#entryOf(id);
    // A record of a channel that was closed meanwhile.
    if (entry === undefined) return true;
    if (!entry.dirty) {
      entry.dirty = true;
      // The ring hands over a whole batch in one turn, so a microtask comes after it.
      if (this.#dirty.push(entry) === 1) this.#flushSoon();
    }
    entry.handlers.frame(bytes.subarray(offset, offset + length));
    return true;
  }

  ringRoom(): void {
    const first = this.#first;
    this.#first = (first + 1) % MAX_PEERS;
    for (let i = 0; i < MAX_PEERS; i++) this.channelRoom((first + i) % MAX_PEERS);
  }

  channelRoom(slot: number): void {
    this.#entries[slot]?.handlers.room();
  }

  #entryOf(id: ChannelId): Entry | undefined {
    const entry = this.#entries[slotOf(id)];
    return entry?.id === id ? entry : undefined;
  }

  #flushSoon(): void {
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const batch = this.#dirty;
    this.#dirty = [];
    let flushed = 0;
    try {
      for (const entry of batch) {
        flushed++;
        entry.dirty = false;
        if (this.#entryOf(entry.id) === entry) entry.handlers.flush();
      }
    } finally {
      // A consumer that throws takes nothing from the peers after it.
      if (flushed < batch.length) {
        this.#dirty.unshift(...batch.slice(flushed));
        this.#flushSoon();
      }
    }
  }
}
