/** Urgent bytes that a stream may send in one burst: a few keystrokes, a small request. */
const BURST_BYTES = 4096;
/** Urgent bytes that a stream may send in the long run: a scrolling screen, but not a download. */
const BYTES_PER_SECOND = 64 * 1024;

/**
 * Tells interactive data from bulk by an allowance. Time refills the allowance, and all data of the stream
 * uses it up. Data within the allowance may overtake bulk. A stream that sends much has none left.
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
