/** How long the smallest round trip holds, in ms. Source: MinRTTFilterLen, draft-ietf-ccwg-bbr. */
const HOLD_MS = 10_000;
/** How long a probe keeps the queue empty, in ms. Source: ProbeRTTDuration, the same draft. */
const PROBE_MS = 200;
/** A sample so near to the smallest confirms it. */
const SAME = 1.02;

/** The smallest round trip of the last ten seconds, and when to go and look for it again. */
export class MinRtt {
  #valueMs = 0;
  #confirmedAtMs = 0;
  #probeEndsAtMs = Number.POSITIVE_INFINITY;
  #probedMs = Number.POSITIVE_INFINITY;

  /** The smallest round trip, or `otherwise` while there is none. */
  valueOr(otherwise: number): number {
    return this.#valueMs > 0 ? this.#valueMs : otherwise;
  }

  update(rttMs: number, nowMs: number): void {
    this.#probedMs = Math.min(this.#probedMs, rttMs);
    if (this.#valueMs === 0 || rttMs <= this.#valueMs * SAME) {
      this.#valueMs = this.#valueMs === 0 ? rttMs : Math.min(rttMs, this.#valueMs);
      this.#confirmedAtMs = nowMs;
    }
  }

  reset(): void {
    this.#valueMs = 0;
    this.#probeEndsAtMs = Number.POSITIVE_INFINITY;
  }

  /** Nothing has confirmed the value for long. */
  needsProbe(nowMs: number): boolean {
    return this.#valueMs > 0 && nowMs - this.#confirmedAtMs > HOLD_MS;
  }

  /** From now on little is in flight: what is measured until {@link probeEnded} is the new value. */
  startProbe(nowMs: number): void {
    this.#probeEndsAtMs = nowMs + PROBE_MS + this.#valueMs;
    this.#probedMs = Number.POSITIVE_INFINITY;
  }

  /** Whether the probe is over; takes over what it found. */
  probeEnded(nowMs: number): boolean {
    if (nowMs < this.#probeEndsAtMs) return false;
    this.#probeEndsAtMs = Number.POSITIVE_INFINITY;
    if (this.#probedMs !== Number.POSITIVE_INFINITY) this.#valueMs = this.#probedMs;
    this.#confirmedAtMs = nowMs;
    return true;
  }
}
