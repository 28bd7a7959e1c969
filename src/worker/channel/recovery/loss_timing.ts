/** Timers of the host are no finer than this. Source: kGranularity, RFC 9002 section 6.1.2. */
const GRANULARITY_MS = 1;

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

/** A packet is lost when one so much younger has arrived. Source: kPacketThreshold, RFC 9002 section 6.1.1. */
const PACKET_THRESHOLD = 3;
/** Part of the round trip that a packet may be overtaken by. Source: kTimeThreshold (9/8), RFC 9002 section 6.1.2. */
const TIME_FRACTION = 1 / 8;
/** How long reordering, once seen, is reckoned with, in ms. */
const MEMORY_MS = 5_000;

/**
 * How far packets overtake each other here, after the idea of RACK (RFC 8985): where they do,
 * counting is given up and only time tells, and time learns from every false alarm.
 */
export class Reordering {
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #windowMs = 0;
  #forgotAtMs = 0;
  #packets = PACKET_THRESHOLD;

  /** Packets younger that must have arrived for one to be lost; Infinity where packets overtake each other. */
  get packets(): number {
    return this.#packets;
  }

  /** A packet arrived after a younger one. */
  onSeen(nowMs: number): void {
    this.#seenAtMs = nowMs;
    this.#packets = Number.POSITIVE_INFINITY;
  }

  /** A packet that counted as lost was acknowledged `ageMs` after it was sent. */
  onLate(ageMs: number, rtt: RttEstimate, nowMs: number): void {
    this.onSeen(nowMs);
    const beyondMs = ageMs - Math.max(rtt.smoothedMs, rtt.latestMs);
    this.#windowMs = Math.min(Math.max(this.#windowMs, 1.25 * beyondMs), rtt.smoothedMs);
    this.#forgotAtMs = nowMs;
  }

  /** How old a packet must be to be lost once a younger one has arrived, in ms. */
  lossDelayMs(rtt: RttEstimate, nowMs: number): number {
    if (nowMs - this.#seenAtMs > MEMORY_MS) this.#packets = PACKET_THRESHOLD;
    if (nowMs - this.#forgotAtMs > MEMORY_MS) {
      this.#windowMs /= 2;
      this.#forgotAtMs = nowMs;
    }
    const rttMs = Math.max(rtt.smoothedMs, rtt.latestMs);
    return rttMs + Math.max(rttMs * TIME_FRACTION, this.#windowMs, GRANULARITY_MS);
  }
}
