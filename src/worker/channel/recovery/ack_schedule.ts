import { MAX_ACK_BYTES, ReceivedPackets } from './ack.js';

/** Packets after which an acknowledgement does not wait any longer. */
const MAX_WAITING = 32;
/** What a packet waits for its acknowledgement, in ms, when no other packet hurries it. */
export const ACK_DELAY_MS = 2;
/** After a gap an acknowledgement goes at once, but not more often than this, in ms. */
const GAP_ACK_MS = 1;

/**
 * When to acknowledge. Often enough to steer by (a few times per round trip), seldom enough
 * to cost little: per 32 packets at a high rate, per 2 ms at a low one, at once when the peer asks.
 */
export class AckSchedule {
  readonly received = new ReceivedPackets();
  #waiting = 0;
  #lowestWaiting = Number.POSITIVE_INFINITY;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #largestAtMs = 0;
  #lastAckAtMs = Number.NEGATIVE_INFINITY;
  /** The acknowledgement written last had room for as much as one can ever tell. */
  #hadFullRoom = false;

  /** When an acknowledgement has to go; Infinity while none is owed. */
  get dueAtMs(): number {
    return this.#dueAtMs;
  }

  /** Whether a packet waits for its acknowledgement, due or not. */
  get isOwed(): boolean {
    return this.#waiting > 0;
  }

  /** Notes a packet. @param now the peer asked for an answer at once */
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
   * Writes an acknowledgement between `at` and `end`; {@link onSent} tells that it left.
   * @returns where it ends; `at` when it does not fit or there is nothing to acknowledge
   */
  write(out: Uint8Array, at: number, end: number, nowMs: number): number {
    this.#hadFullRoom = end - at >= MAX_ACK_BYTES;
    return this.received.writeAck(out, at, end, nowMs - this.#largestAtMs);
  }

  /**
   * The acknowledgement written last has left; if it told of all that waited, none is owed. Nor if it
   * had all the room there is: what lies behind so many gaps can't be told, and comes again as lost.
   */
  onSent(nowMs: number): void {
    if (!this.#hadFullRoom && this.received.toldDownTo > this.#lowestWaiting) return;
    this.#waiting = 0;
    this.#lowestWaiting = Number.POSITIVE_INFINITY;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#lastAckAtMs = nowMs;
  }
}
