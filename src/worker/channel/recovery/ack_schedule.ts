import { MAX_ACK_BYTES, ReceivedPackets } from './ack.js';

/** This many unacknowledged packets cause an immediate acknowledgement. */
const MAX_WAITING = 32;
/** Longest wait of a packet for its acknowledgement, in ms. */
export const ACK_DELAY_MS = 2;
/** A gap in the numbers causes an immediate acknowledgement, but not more often than this, in ms. */
const GAP_ACK_MS = 1;

/**
 * Decides when to acknowledge: often enough to control the sender (a few times per round trip), but rarely
 * enough to cost little. That is every 32 packets at high rates, every 2 ms at low ones, and at once when the
 * peer asks for it.
 */
export class AckSchedule {
  readonly received = new ReceivedPackets();
  #waiting = 0;
  #lowestWaiting = Number.POSITIVE_INFINITY;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #largestAtMs = 0;
  #lastAckAtMs = Number.NEGATIVE_INFINITY;
  /** The last written acknowledgement had room for its maximum number of ranges. */
  #hadFullRoom = false;

  /** When an acknowledgement is due; Infinity while none is owed. */
  get dueAtMs(): number {
    return this.#dueAtMs;
  }

  /** Whether a packet waits for its acknowledgement, due or not. */
  get isOwed(): boolean {
    return this.#waiting > 0;
  }

  /** Notes a received packet. @param now the peer asks for an immediate acknowledgement */
  onPacket(number: number, now: boolean, nowMs: number): void {
    const received = this.received;
    const largest = received.largest;
    this.#waiting++;
    if (!received.has(number)) {
      received.add(number);
      if (number > largest) this.#largestAtMs = nowMs;
    }
    if (number < this.#lowestWaiting) this.#lowestWaiting = number;
    let dueAtMs = this.#waiting === 1 ? nowMs + ACK_DELAY_MS : this.#dueAtMs;
    if (number !== largest + 1) dueAtMs = Math.min(dueAtMs, Math.max(nowMs, this.#lastAckAtMs + GAP_ACK_MS));
    if (now || this.#waiting >= MAX_WAITING) dueAtMs = nowMs;
    this.#dueAtMs = Math.min(this.#dueAtMs, dueAtMs);
  }

  /**
   * Writes an acknowledgement between `at` and `end`. Call {@link onSent} once it has left.
   *
   * @returns its end; `at` when it does not fit, or when there is nothing to acknowledge
   */
  write(out: Uint8Array, at: number, end: number, nowMs: number): number {
    this.#hadFullRoom = end - at >= MAX_ACK_BYTES;
    return this.received.writeAck(out, at, end, nowMs - this.#largestAtMs);
  }

  /**
   * Notes that the last written acknowledgement has left. If it covered all waiting packets, none is owed any
   * more. The same holds if it had the maximum of room: it cannot express more gaps, so the packets beyond
   * them count as lost and their frames are retransmitted.
   */
  onSent(nowMs: number): void {
    if (!this.#hadFullRoom && this.received.toldDownTo > this.#lowestWaiting) return;
    this.#waiting = 0;
    this.#lowestWaiting = Number.POSITIVE_INFINITY;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#lastAckAtMs = nowMs;
  }
}
