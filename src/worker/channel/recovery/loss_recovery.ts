import type { OutgoingBundles } from '../bundles/outgoing_bundles.js';
import type { AckBatch, Bbr } from '../congestion/bbr.js';
import { invalid } from '../packet.js';
import type { Ack } from './ack.js';
import { DeliveryRate } from './delivery_rate.js';
import { Reordering, RttEstimate } from './loss_timing.js';
import { PACKET_ACKED, PACKET_IN_FLIGHT, PACKET_LOST, PACKET_SKIPPED, SentPackets } from './sent_packets.js';

/** Longest time that the peer holds back an acknowledgement, including the lateness of its timers, in ms. */
const PEER_DELAY_MS = 4;
/** Shortest wait before a probe, in ms: a pause for garbage collection is not a loss. */
const MIN_PROBE_MS = 10;
/**
 * Longest wait between two probes, in ms, unless the round trip is longer. So a path that recovers is found
 * soon.
 */
const MAX_PROBE_MS = 1_000;
/**
 * Unanswered probes in a row after which the path model is in doubt. Source: kPersistentCongestionThreshold,
 * RFC 9002 section 7.6.1.
 */
const TIMEOUT_PROBES = 3;
/** Round trips during which a lost packet may still turn out to be late. */
const LATE_ROUND_TRIPS = 2;

/**
 * Tracks the packets in flight, and finds out from acknowledgements which of them arrived and which are lost (RFC
 * 9002). Tells {@link OutgoingBundles} what to retransmit, and {@link Bbr} how the path behaves.
 */
export class LossRecovery {
  readonly sent = new SentPackets();
  readonly rtt = new RttEstimate();
  readonly #outgoing: OutgoingBundles;
  readonly #bbr: Bbr;
  readonly #rate = new DeliveryRate();
  readonly #reordering = new Reordering();
  readonly #batch: AckBatch = {
    nowMs: 0,
    ackedBytes: 0,
    lostBytes: 0,
    lateBytes: 0,
    inFlightBytes: 0,
    deliveredBytes: 0,
    deliveredAtSendBytes: -1,
    deliveryRate: 0,
    appLimited: false,
    rttMs: 0,
  };

  #inFlightBytes = 0;
  #inFlightPackets = 0;
  /** No packet with a lower number is in flight. */
  #oldestInFlight = 0;
  #largestAcked = -1;
  #lastSentAtMs = 0;
  #lossAtMs = Number.POSITIVE_INFINITY;
  #probes = 0;
  #newestAcked = -1;

  /** Packets declared lost, and those of them that only arrived late. */
  packetsLost = 0;
  packetsLate = 0;

  constructor(outgoing: OutgoingBundles, bbr: Bbr) {
    this.#outgoing = outgoing;
    this.#bbr = bbr;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  get inFlightPackets(): number {
    return this.#inFlightPackets;
  }

  /** Unanswered probes in a row. */
  get probes(): number {
    return this.#probes;
  }

  /** Last measured delivery rate, in bytes per ms. */
  get deliveryRate(): number {
    return this.#batch.deliveryRate;
  }

  /** When to call {@link onTimer}. */
  get timerAtMs(): number {
    return Math.min(this.#lossAtMs, this.#probeAtMs());
  }

  /** Records packet `sent.next`, which leaves now. @param slot slot of its bundle; -1 without one */
  onSent(nowMs: number, bytes: number, slot: number, bundle: number): void {
    this.#rate.onSent(this.sent, nowMs, bytes, slot, bundle, this.#inFlightBytes);
    this.#inFlightBytes += bytes;
    this.#inFlightPackets++;
    this.#lastSentAtMs = nowMs;
  }

  /** Notes that there was room to send and nothing to send. */
  onAppLimited(): void {
    this.#rate.onAppLimited(this.#inFlightBytes);
  }

  /**
   * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set, when the acknowledgement names a skipped number
   */
  onAck(ack: Ack, nowMs: number): void {
    const batch = this.#open(nowMs);
    this.#newestAcked = -1;
    for (let range = 0; range < ack.count; range++) {
      const first = Math.max(ack.first[range]!, this.sent.oldest);
      for (let number = ack.last[range]!; number >= first; number--) this.#acknowledge(number, nowMs);
    }
    const largest = ack.last[0]!;
    if (this.#newestAcked === largest) {
      const sampleMs = nowMs - this.sent.sentAtMs(largest);
      this.rtt.update(sampleMs, ack.delayMs);
      batch.rttMs = this.rtt.latestMs;
    }
    if (this.#newestAcked >= 0) this.#probes = 0;
    this.#largestAcked = Math.max(this.#largestAcked, largest);
    this.#detect(nowMs);
    this.#rate.finish(batch, this.#newestAcked);
    this.#close();
  }

  /**
   * Handles a timer that {@link timerAtMs} announced.
   *
   * @returns how many probes to send
   */
  onTimer(nowMs: number): number {
    if (nowMs >= this.#lossAtMs) {
      this.#open(nowMs);
      this.#detect(nowMs);
      this.#rate.finish(this.#batch, -1);
      this.#close();
    }
    if (nowMs < this.#probeAtMs()) return 0;
    this.#probes++;
    if (this.#probes === TIMEOUT_PROBES) this.#bbr.onTimeout(nowMs);
    return 2;
  }

  /** Slot of the bundle in flight that was sent longest ago; -1 when none is in flight. */
  oldestBundle(): number {
    for (let number = this.#oldestInFlight; number < this.sent.next; number++) {
      if (this.sent.state(number) !== PACKET_IN_FLIGHT) continue;
      const slot = this.sent.slot(number);
      if (slot >= 0 && this.#outgoing.carries(slot, this.sent.bundle(number), number)) return slot;
    }
    return -1;
  }

  /** Declares everything in flight lost: the path is gone. */
  loseAll(nowMs: number): void {
    for (let number = this.#oldestInFlight; number < this.sent.next; number++) {
      if (this.sent.state(number) === PACKET_IN_FLIGHT) this.#lose(number);
    }
    this.#oldestInFlight = this.sent.next;
    this.#lossAtMs = Number.POSITIVE_INFINITY;
    this.#probes = 0;
    this.#lastSentAtMs = nowMs;
  }

  /**
   * Whether another packet can get a number. The count of tracked packets is limited, however small they are.
   */
  hasNumber(): boolean {
    if (!this.sent.isFull()) return true;
    // Make room by first forgetting lost packets, even those that may only be late.
    this.sent.forgetBelow(this.#oldestInFlight);
    return !this.sent.isFull();
  }

  #acknowledge(number: number, nowMs: number): void {
    const sent = this.sent;
    const state = sent.state(number);
    if (state === PACKET_ACKED) return;
    if (state === PACKET_SKIPPED) throw invalid('it acknowledges a skipped number');
    const bytes = sent.bytes(number);
    if (state === PACKET_IN_FLIGHT) {
      this.#inFlightBytes -= bytes;
      this.#inFlightPackets--;
      if (number < this.#largestAcked) this.#reordering.onSeen(nowMs);
    } else {
      this.packetsLate++;
      this.#batch.lateBytes += bytes;
      this.#reordering.onLate(nowMs - sent.sentAtMs(number), this.rtt, nowMs);
    }
    sent.setState(number, PACKET_ACKED);
    this.#batch.ackedBytes += bytes;
    this.#rate.onAcked(sent, number, nowMs);
    if (number > this.#newestAcked) this.#newestAcked = number;
    const slot = sent.slot(number);
    if (slot >= 0) this.#outgoing.onAcked(slot, sent.bundle(number));
  }

  #detect(nowMs: number): void {
    const sent = this.sent;
    const lossDelayMs = this.#reordering.lossDelayMs(this.rtt, nowMs);
    const lostBeforeMs = nowMs - lossDelayMs;
    const lostBelow = this.#largestAcked - this.#reordering.packets;
    this.#lossAtMs = Number.POSITIVE_INFINITY;
    let number = this.#oldestInFlight;
    for (; number < this.#largestAcked; number++) {
      if (sent.state(number) !== PACKET_IN_FLIGHT) continue;
      const sentAtMs = sent.sentAtMs(number);
      if (sentAtMs > lostBeforeMs && number > lostBelow) {
        this.#lossAtMs = sentAtMs + lossDelayMs;
        break;
      }
      this.#lose(number);
    }
    while (number < sent.next && sent.state(number) !== PACKET_IN_FLIGHT) number++;
    this.#oldestInFlight = number;
    this.#forget(nowMs);
  }

  #lose(number: number): void {
    const bytes = this.sent.bytes(number);
    this.sent.setState(number, PACKET_LOST);
    this.#inFlightBytes -= bytes;
    this.#inFlightPackets--;
    this.#batch.lostBytes += bytes;
    this.packetsLost++;
    const slot = this.sent.slot(number);
    if (slot >= 0) this.#outgoing.onLost(slot, this.sent.bundle(number), number);
  }

  /** Forgets packets whose outcome is known. Lost ones stay for a while, because they may be late. */
  #forget(nowMs: number): void {
    const keepSinceMs = nowMs - LATE_ROUND_TRIPS * (this.rtt.smoothedMs + 4 * this.rtt.varianceMs);
    let number = this.sent.oldest;
    while (number < this.#oldestInFlight) {
      if (this.sent.state(number) === PACKET_LOST && this.sent.sentAtMs(number) >= keepSinceMs) break;
      number++;
    }
    this.sent.forgetBelow(number);
  }

  #probeAtMs(): number {
    if (this.#inFlightPackets === 0) return Number.POSITIVE_INFINITY;
    const rttMs = this.rtt.smoothedMs + Math.max(4 * this.rtt.varianceMs, 1) + PEER_DELAY_MS;
    const baseMs = Math.max(rttMs, MIN_PROBE_MS);
    return this.#lastSentAtMs + Math.min(baseMs * 2 ** this.#probes, Math.max(baseMs, MAX_PROBE_MS));
  }

  #open(nowMs: number): AckBatch {
    const batch = this.#batch;
    batch.nowMs = nowMs;
    batch.ackedBytes = 0;
    batch.lostBytes = 0;
    batch.lateBytes = 0;
    batch.rttMs = 0;
    return batch;
  }

  #close(): void {
    this.#batch.inFlightBytes = this.#inFlightBytes;
    if (this.#batch.ackedBytes > 0 || this.#batch.lostBytes > 0) this.#bbr.onAcked(this.#batch);
  }
}
