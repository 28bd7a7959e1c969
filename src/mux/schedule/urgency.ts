/** What an interactive stream may send at once as urgent: a burst of key strokes, a small request. */
const BURST_BYTES = 4096;
/** What it may send in the long run: a screen that scrolls, far from a download. */
const BYTES_PER_SECOND = 64 * 1024;

/**
 * Tells small, rare data from bulk: an allowance that fills with time and that all data of the
 * stream uses up. Data within it may overtake bulk; a stream that sends much has none left.
 */
export class Urgency {
  #allowanceBytes = BURST_BYTES;
  #filledMs: number;

  constructor(nowMs: number) {
    this.#filledMs = nowMs;
  }

  allows(bytes: number, nowMs: number): boolean {
    this.#fill(nowMs);
    return bytes <= this.#allowanceBytes;
  }

  spend(bytes: number): void {
    this.#allowanceBytes = Math.max(0, this.#allowanceBytes - bytes);
  }

  #fill(nowMs: number): void {
    const filled = ((nowMs - this.#filledMs) * BYTES_PER_SECOND) / 1000;
    this.#allowanceBytes = Math.min(BURST_BYTES, this.#allowanceBytes + filled);
    this.#filledMs = nowMs;
  }
}
