import { BacklogTable } from './backlog.js';
import type { InboxOptions } from './inbox.js';
import { slotOf } from './record.js';
import type { SharedMemory } from './shared.js';
import { Side, type SideHandlers } from './side.js';

/**
 * The worker takes all that may wait: a copy each, and only in the channel does a keystroke overtake bulk data.
 */
const WORKER_BUDGET_RECORDS = 512;

/** The worker's end. It takes every frame it is given; {@link drained} is what holds main back. */
export class WorkerSide extends Side<SideHandlers> {
  readonly #backlog: BacklogTable;

  constructor(shared: SharedMemory, options: InboxOptions = {}) {
    super(shared, 1, { budgetRecords: WORKER_BUDGET_RECORDS, ...options });
    this.#backlog = new BacklogTable(shared.backlog);
  }

  /** Wakes the main thread at most once for all that `turn` does. */
  inOneTurn(turn: () => void): void {
    this.bell.hold();
    try {
      turn();
    } finally {
      this.bell.letGo();
    }
  }

  /**
   * Counts `frameBytes` of a channel as no longer waiting here: put on the wire for the first
   * time, or thrown away with their channel. Every byte of every frame that came must be counted
   * once, or main stops writing to that slot for good.
   */
  drained(channelId: number, frameBytes: number): void {
    if (this.#backlog.drained(slotOf(channelId), frameBytes)) this.bell.ring();
  }
}
