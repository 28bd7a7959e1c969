import type { ChannelId, ChannelStats } from '../bridge/contract.js';
import type { TimerHandle, Timers } from '../core/clock.js';
import type { LogLevel } from '../core/logger.js';

const INTERVAL_MS = 1_000;

export interface StatsLogParts {
  readonly timers: Timers;
  log(level: LogLevel, message: string): void;
  /** How each channel does now. */
  channels(): Iterable<readonly [ChannelId, ChannelStats]>;
  /** How the rest of the worker does. */
  others(): object;
}

/** Writes a debug line a second about each channel that has moved since: how a slow tunnel is understood. */
export class StatsLog {
  readonly #parts: StatsLogParts;
  readonly #framesMoved = new Map<ChannelId, number>();
  #timer: TimerHandle | undefined;

  constructor(parts: StatsLogParts) {
    this.#parts = parts;
    this.#setTimer();
  }

  stop(): void {
    this.#parts.timers.clear(this.#timer);
  }

  #setTimer(): void {
    this.#timer = this.#parts.timers.set(() => {
      this.#write();
      this.#setTimer();
    }, INTERVAL_MS);
  }

  #write(): void {
    const before = new Map(this.#framesMoved);
    this.#framesMoved.clear();
    for (const [id, stats] of this.#parts.channels()) {
      const moved = stats.framesIn + stats.framesOut;
      this.#framesMoved.set(id, moved);
      if (moved === (before.get(id) ?? 0) && stats.backlogBytes === 0) continue;
      this.#parts.log('debug', `channel ${id}: ${JSON.stringify({ ...stats, ...this.#parts.others() })}`);
    }
  }
}
