import type { TimerHandle, Timers } from '../core/clock.js';

/** Looking costs some ten microseconds. */
const INTERVAL_MS = 1_000;

export interface AddressWatchParts {
  readonly timers: Timers;
  /** Numeric addresses that this machine has now; undefined when the system cannot tell. */
  addresses(): readonly string[] | undefined;
  /** Called when some that were there are not any more. */
  gone(present: ReadonlySet<string>): void;
}

/**
 * Sees when this machine loses an address, as it does when it joins another network. Nothing else tells: a TCP
 * connection from that address stays open and silent for minutes.
 */
export class AddressWatch {
  readonly #parts: AddressWatchParts;
  #present: ReadonlySet<string>;
  #timer: TimerHandle;

  constructor(parts: AddressWatchParts) {
    this.#parts = parts;
    this.#present = new Set(parts.addresses());
    this.#setTimer();
  }

  stop(): void {
    this.#parts.timers.clear(this.#timer);
  }

  #setTimer(): void {
    this.#timer = this.#parts.timers.set(() => {
      this.#look();
      this.#setTimer();
    }, INTERVAL_MS);
  }

  #look(): void {
    const before = this.#present;
    const addresses = this.#parts.addresses();
    // Then nothing is known to have changed.
    if (addresses === undefined) return;
    const present = new Set(addresses);
    this.#present = present;
    for (const address of before) {
      if (present.has(address)) continue;
      this.#parts.gone(present);
      return;
    }
  }
}
