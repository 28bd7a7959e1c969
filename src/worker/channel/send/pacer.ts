/** Timers fire about this much late, and credit for it is not lost, in ms. */
const MAX_CREDIT_MS = 4;
/** What is gathered before the sender is woken again, in ms: the timers are no finer. */
const QUANTUM_MS = 1;

/**
 * A token bucket: bytes may leave at a rate, in bursts of a millisecond or a few. The last
 * packet of a burst may overdraw it.
 */
export class Pacer {
  readonly #minBurstBytes: number;
  #creditBytes: number;
  #atMs = 0;

  /** @param minBurstBytes may leave at once at any rate */
  constructor(minBurstBytes: number) {
    this.#minBurstBytes = minBurstBytes;
    this.#creditBytes = minBurstBytes;
  }

  /** Adds what `rate` (bytes per ms) has earned since the last call. */
  refill(nowMs: number, rate: number): void {
    const earned = (nowMs - this.#atMs) * rate;
    this.#atMs = nowMs;
    const most = Math.max(this.#minBurstBytes, rate * MAX_CREDIT_MS);
    this.#creditBytes = Math.min(this.#creditBytes + earned, most);
  }

  /** Whether a packet may leave now. @param debtBytes by how much it may overdraw the bucket */
  allows(debtBytes: number): boolean {
    return this.#creditBytes + debtBytes > 0;
  }

  spend(bytes: number): void {
    this.#creditBytes -= bytes;
  }

  /** When a burst is worth waking up for, if nothing else happens. */
  readyAtMs(rate: number): number {
    const wanted = Math.min(Math.max(this.#minBurstBytes / 2, rate * QUANTUM_MS), rate * MAX_CREDIT_MS);
    return this.#atMs + Math.max((wanted - this.#creditBytes) / rate, 0);
  }
}
