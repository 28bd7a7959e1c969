/** Timers of the host are no finer than this. Source: kGranularity, RFC 9002 section 6.1.2. */
export const GRANULARITY_MS = 1;

/** Taken for the round trip until one is measured. Source: kInitialRtt, RFC 9002 section 6.2.2. */
const INITIAL_RTT_MS = 333;

/** The round trip and how it varies, as RFC 9002 section 5 estimates it. */
export class RttEstimate {
  /** The last sample, the peer's delay taken off, in ms; 0 while there is none. */
  latestMs = 0;
  /** Smoothed, in ms. */
  smoothedMs = INITIAL_RTT_MS;
  /** Mean deviation, in ms. */
  varianceMs = INITIAL_RTT_MS / 2;
  /** Smallest raw sample since the last {@link restart}, in ms. */
  minMs = Number.POSITIVE_INFINITY;

  /** True once a round trip was measured. */
  get known(): boolean {
    return this.minMs !== Number.POSITIVE_INFINITY;
  }

  /**
   * @param sampleMs from sending a packet to the acknowledgement that first named it
   * @param delayMs how long the peer says it waited; believed only above the smallest round trip
   */
  update(sampleMs: number, delayMs: number): void {
    const first = !this.known;
    this.minMs = Math.min(this.minMs, sampleMs);
    this.latestMs = sampleMs - delayMs >= this.minMs ? sampleMs - delayMs : sampleMs;
    if (first) {
      this.smoothedMs = this.latestMs;
      this.varianceMs = this.latestMs / 2;
      return;
    }
    this.varianceMs = 0.75 * this.varianceMs + 0.25 * Math.abs(this.smoothedMs - this.latestMs);
    this.smoothedMs = 0.875 * this.smoothedMs + 0.125 * this.latestMs;
  }

  /** Another path: the next sample counts as the first, the old values stand until then. */
  restart(): void {
    this.minMs = Number.POSITIVE_INFINITY;
  }
}
