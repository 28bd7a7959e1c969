import { CHANNEL_BACKLOG_BYTES, MAX_PEERS, URGENT_RESERVE_BYTES } from '../core/limits.js';
import { BacklogGauge } from './backlog.js';
import type { InboxOptions } from './inbox.js';
import { FLAG_URGENT, slotOf } from './record.js';
import type { SharedMemory } from './shared.js';
import { Side, type SideHandlers } from './side.js';

export interface MainSideOptions extends InboxOptions {
  /** Bytes of frames that may wait for one peer's path. Default {@link CHANNEL_BACKLOG_BYTES}. */
  readonly backlogLimitBytes?: number;
  /** Bytes of it for urgent frames alone. Default {@link URGENT_RESERVE_BYTES} of the default limit, none of another. */
  readonly urgentReserveBytes?: number;
}

export interface MainSideHandlers extends SideHandlers {
  /** A frame was refused because its peer is behind, and part of that peer's backlog is free now. */
  channelRoom(slot: number): void;
}

/**
 * The main thread's end. It writes a frame only while its peer is not too far behind, so that
 * the worker can always take the oldest record: a peer whose path is stuck stops nobody else.
 */
export class MainSide extends Side<MainSideHandlers> {
  readonly #gauges: readonly BacklogGauge[];
  #reservedFor: BacklogGauge | undefined;
  #reservedBytes = 0;

  constructor(shared: SharedMemory, options: MainSideOptions = {}) {
    super(shared, 0, options);
    const { backlogLimitBytes: limitBytes = CHANNEL_BACKLOG_BYTES } = options;
    const ownReserve = options.backlogLimitBytes === undefined ? URGENT_RESERVE_BYTES : 0;
    const reserveBytes = options.urgentReserveBytes ?? ownReserve;
    this.#gauges = Array.from(
      { length: MAX_PEERS },
      (_, slot) => new BacklogGauge(shared.backlog, slot, limitBytes, this.announceSoon, reserveBytes),
    );
  }

  /** Bytes of frames that the channel's peer may be given now; the ring may still refuse. */
  room(channelId: number): number {
    return this.#gaugeOf(channelId).room();
  }

  override reserve(channelId: number, flags: number, frameBytes: number): number | undefined {
    const gauge = this.#gaugeOf(channelId);
    if (!gauge.fits(frameBytes, (flags & FLAG_URGENT) !== 0)) return undefined;
    const offset = super.reserve(channelId, flags, frameBytes);
    if (offset === undefined) return undefined;
    this.#reservedFor = gauge;
    this.#reservedBytes = frameBytes;
    return offset;
  }

  override commit(): void {
    // Before the record can be seen: what is drained was always written first.
    this.#reservedFor?.take(this.#reservedBytes);
    this.#reservedFor = undefined;
    super.commit();
  }

  protected override announceRoom(handlers: MainSideHandlers): void {
    super.announceRoom(handlers);
    for (const [slot, gauge] of this.#gauges.entries()) {
      if (this.closed) return; // by a handler
      if (gauge.takeRoom()) handlers.channelRoom(slot);
    }
  }

  #gaugeOf(channelId: number): BacklogGauge {
    return this.#gauges[slotOf(channelId)]!;
  }
}
