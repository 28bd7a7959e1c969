import { Timer, type Timers } from '../core/clock.js';

/** Each check costs about ten microseconds. */
const INTERVAL_MS = 1_000;

export interface AddressWatchParts {
  readonly timers: Timers;
  /** This machine's numeric addresses; undefined when the system cannot say. */
  addresses(): readonly string[] | undefined;
  /** Called when at least one known address is gone. */
  gone(present: ReadonlySet<string>): void;
}

/**
 * Notices when this machine loses an address, for example when it joins another network. Nothing else reveals
 * it: a TCP connection from that address stays open and silent for minutes.
 */
export class AddressWatch {
  readonly #parts: AddressWatchParts;
  readonly #timer: Timer;
  #present: ReadonlySet<string>;

  constructor(parts: AddressWatchParts) {
    this.#parts = parts;
    this.#present = new Set(parts.addresses());
    this.#timer = new Timer(parts.timers);
    this.#timer.every(INTERVAL_MS, () => this.#look());
  }

  stop(): void {
    this.#timer.clear();
  }

  #look(): void {
    const addresses = this.#parts.addresses();
    if (addresses === undefined) return;
    const before = this.#present;
    const present = new Set(addresses);
    this.#present = present;
    if ([...before].some((address) => !present.has(address))) this.#parts.gone(present);
  }
}
