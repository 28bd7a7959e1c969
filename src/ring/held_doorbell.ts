import type { Doorbell } from './doorbell.js';

/**
 * A doorbell that can be held: rings melt into one, which comes when it is let go. A wake-up costs
 * both threads some 10 µs, so a thread that writes many records in one go wakes the other once.
 */
export class HeldDoorbell implements Doorbell {
  readonly #bell: Doorbell;
  #held = false;
  #due = false;

  constructor(bell: Doorbell) {
    this.#bell = bell;
  }

  ring(): void {
    if (this.#held) this.#due = true;
    else this.#bell.ring();
  }

  /** Rings wait until {@link letGo}, which must follow in the same turn. */
  hold(): void {
    this.#held = true;
  }

  letGo(): void {
    this.#held = false;
    if (!this.#due) return;
    this.#due = false;
    this.#bell.ring();
  }

  onRing(callback: () => void): void {
    this.#bell.onRing(callback);
  }

  close(): void {
    this.#due = false;
    this.#bell.close();
  }
}
