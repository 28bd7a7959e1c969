/** The resolution of the host's timers, in ms. Source: kGranularity, RFC 9002 section 6.1.2. */
const GRANULARITY_MS = 1;

/** Assumed round-trip time, in ms, until one is measured. Source: kInitialRtt, RFC 9002 section 6.2.2. */
const INITIAL_RTT_MS = 333;

/** The round-trip time and its variation, estimated as in RFC 9002 section 5. */
export class RttEstimate {
  /** The last sample without the peer's delay, in ms; 0 while there is none. */
  latestMs = 0;
  /** Smoothed round-trip time, in ms. */
  smoothedMs = INITIAL_RTT_MS;
  /** Mean deviation, in ms. */
  varianceMs = INITIAL_RTT_MS / 2;
  /** Smallest raw sample since the last {@link restart}, in ms. */
  minMs = Number.POSITIVE_INFINITY;

  /** Whether a round trip has been measured. */
  get known(): boolean {
    return this.minMs !== Number.POSITIVE_INFINITY;
  }

  /**
   * @param sampleMs time from sending a packet to the first acknowledgement that names it
   * @param delayMs delay that the peer reports; ignored if the result would be below the smallest round trip
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

  /** Makes the next sample count as the first, for another path. The old values are kept until then. */
  restart(): void {
    this.minMs = Number.POSITIVE_INFINITY;
  }
}

/**
 * A packet is lost when one this much newer has arrived. Source: kPacketThreshold, RFC 9002 section 6.1.1.
 */
const PACKET_THRESHOLD = 3;
/**
 * A packet may be overtaken by this part of a round trip. Source: kTimeThreshold (9/8), RFC 9002 section
 * 6.1.2.
 */
const TIME_FRACTION = 1 / 8;
/** How long observed reordering influences loss detection, in ms. */
const MEMORY_MS = 5_000;

/**
 * Measures how far packets overtake each other, after the idea of RACK (RFC 8985). While they do, only age
 * decides whether a packet is lost, not the number of newer packets, and each false alarm raises that age.
 */
export class Reordering {
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #windowMs = 0;
  #forgotAtMs = 0;
  #packets = PACKET_THRESHOLD;

  /**
   * How much newer, in packets, an arrival must be to declare this packet lost; Infinity while packets
   * overtake each other.
   */
  get packets(): number {
    return this.#packets;
  }

  /** Notes that a packet arrived after a newer one. */
  onSeen(nowMs: number): void {
    this.#seenAtMs = nowMs;
    this.#packets = Number.POSITIVE_INFINITY;
  }

  /** Notes that a packet that was declared lost was acknowledged `ageMs` after it was sent. */
  onLate(ageMs: number, rtt: RttEstimate, nowMs: number): void {
    this.onSeen(nowMs);
    const beyondMs = ageMs - Math.max(rtt.smoothedMs, rtt.latestMs);
    this.#windowMs = Math.min(Math.max(this.#windowMs, 1.25 * beyondMs), rtt.smoothedMs);
    this.#forgotAtMs = nowMs;
  }

  /** Age, in ms, at which a packet is lost once a newer one has arrived. */
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
