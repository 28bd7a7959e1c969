/**
 * The largest sample of the last `span` rounds. Keeps three candidates, each the best of the samples after
 * the previous candidate: the streaming filter by Kathleen Nichols that BBR uses.
 */
export class MaxFilter {
  readonly #span: number;
  readonly #value = new Float64Array(3);
  readonly #round = new Float64Array(3);

  /** @param span rounds that a sample counts for */
  constructor(span: number) {
    this.#span = span;
  }

  /** 0 without samples. */
  get max(): number {
    return this.#value[0]!;
  }

  reset(value = 0, round = 0): void {
    this.#value.fill(value);
    this.#round.fill(round);
  }

  update(value: number, round: number): void {
    if (value >= this.#value[0]! || round - this.#round[2]! > this.#span) {
      this.reset(value, round);
      return;
    }
    if (value >= this.#value[1]!) {
      this.#set(1, value, round);
      this.#set(2, value, round);
    } else if (value >= this.#value[2]!) {
      this.#set(2, value, round);
    }
    // The best sample has expired: the next best takes its place.
    if (round - this.#round[0]! > this.#span) {
      this.#set(0, this.#value[1]!, this.#round[1]!);
      this.#set(1, this.#value[2]!, this.#round[2]!);
      this.#set(2, value, round);
      if (round - this.#round[0]! > this.#span) {
        this.#set(0, this.#value[1]!, this.#round[1]!);
        this.#set(1, this.#value[2]!, this.#round[2]!);
      }
    } else if (this.#round[1] === this.#round[0] && round - this.#round[1]! > this.#span / 4) {
      this.#set(1, value, round);
      this.#set(2, value, round);
    } else if (this.#round[2] === this.#round[1] && round - this.#round[2]! > this.#span / 2) {
      this.#set(2, value, round);
    }
  }

  #set(at: number, value: number, round: number): void {
    this.#value[at] = value;
    this.#round[at] = round;
  }
}

/** How long the smallest round trip is valid, in ms. Source: MinRTTFilterLen, draft-ietf-ccwg-bbr. */
const HOLD_MS = 10_000;
/** How long a probe keeps the queue empty, in ms. Source: ProbeRTTDuration, the same draft. */
const PROBE_MS = 200;
/** A sample within this factor of the smallest confirms it. */
const SAME = 1.02;

/** The smallest round trip of the last ten seconds. Also decides when to measure it again. */
export class MinRtt {
  #valueMs = 0;
  #confirmedAtMs = 0;
  #probeEndsAtMs = Number.POSITIVE_INFINITY;
  #probedMs = Number.POSITIVE_INFINITY;

  /** The smallest round trip in ms, or `otherwise` while there is none. */
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

  /** Whether the value has expired without a sample that confirms it. */
  needsProbe(nowMs: number): boolean {
    return this.#valueMs > 0 && nowMs - this.#confirmedAtMs > HOLD_MS;
  }

  /**
   * Starts a probe, during which little is in flight. The smallest sample until {@link probeEnded} becomes
   * the value.
   */
  startProbe(nowMs: number): void {
    this.#probeEndsAtMs = nowMs + PROBE_MS + this.#valueMs;
    this.#probedMs = Number.POSITIVE_INFINITY;
  }

  /** Whether the probe has ended. If so, takes over its result. */
  probeEnded(nowMs: number): boolean {
    if (nowMs < this.#probeEndsAtMs) return false;
    this.#probeEndsAtMs = Number.POSITIVE_INFINITY;
    if (this.#probedMs !== Number.POSITIVE_INFINITY) this.#valueMs = this.#probedMs;
    this.#confirmedAtMs = nowMs;
    return true;
  }
}
