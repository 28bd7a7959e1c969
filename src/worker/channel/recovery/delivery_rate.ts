import type { AckBatch } from '../congestion/bbr.js';
import type { SentPackets } from './sent_packets.js';

/**
 * How fast the path delivers, measured packet by packet as draft-cheng-iccrg-delivery-rate-estimation
 * does it: bytes delivered between a packet's sending and its acknowledgement, over the longer
 * of the time it took to send them and the time it took to hear of them.
 */
export class DeliveryRate {
  #deliveredBytes = 0;
  #deliveredAtMs = 0;
  #firstSentAtMs = 0;
  /** Samples are bounded by us, not by the path, until so much is delivered; 0: they are not. */
  #appLimitedUntilBytes = 0;

  #newest = -1;
  #sampleDelivered = 0;
  #sampleDeliveredAtMs = 0;
  #sampleSentAtMs = 0;
  #sampleFirstSentAtMs = 0;
  #sampleAppLimited = false;

  get deliveredBytes(): number {
    return this.#deliveredBytes;
  }

  /** Notes the next packet in `sent`, which leaves now. */
  onSent(
    sent: SentPackets,
    nowMs: number,
    bytes: number,
    slot: number,
    bundle: number,
    inFlightBytes: number,
  ): void {
    if (inFlightBytes === 0) {
      this.#firstSentAtMs = nowMs;
      this.#deliveredAtMs = nowMs;
    }
    sent.add(
      nowMs,
      bytes,
      slot,
      bundle,
      this.#deliveredBytes,
      this.#deliveredAtMs,
      this.#firstSentAtMs,
      this.#appLimitedUntilBytes > 0,
    );
  }

  /** A packet that `sent` still knows is acknowledged. */
  onAcked(sent: SentPackets, number: number, nowMs: number): void {
    this.#deliveredBytes += sent.bytes(number);
    this.#deliveredAtMs = nowMs;
    if (number <= this.#newest) return;
    this.#newest = number;
    this.#sampleDelivered = sent.deliveredBytes(number);
    this.#sampleDeliveredAtMs = sent.deliveredAtMs(number);
    this.#sampleSentAtMs = sent.sentAtMs(number);
    this.#sampleFirstSentAtMs = sent.firstSentAtMs(number);
    this.#sampleAppLimited = sent.wasAppLimited(number);
  }

  /** There was nothing more to send though there was room: what is in flight tells too little. */
  onAppLimited(inFlightBytes: number): void {
    this.#appLimitedUntilBytes = this.#deliveredBytes + Math.max(inFlightBytes, 1);
  }

  /** Closes one acknowledgement's sample and writes it into `batch`. @param newest the newest packet it named */
  finish(batch: AckBatch, newest: number): void {
    batch.deliveredBytes = this.#deliveredBytes;
    batch.deliveryRate = 0;
    batch.deliveredAtSendBytes = -1;
    if (this.#appLimitedUntilBytes > 0 && this.#deliveredBytes > this.#appLimitedUntilBytes) {
      this.#appLimitedUntilBytes = 0;
    }
    if (newest < 0 || newest !== this.#newest) return;
    batch.deliveredAtSendBytes = this.#sampleDelivered;
    batch.appLimited = this.#sampleAppLimited;
    this.#firstSentAtMs = this.#sampleSentAtMs;
    const sendMs = this.#sampleSentAtMs - this.#sampleFirstSentAtMs;
    const ackMs = this.#deliveredAtMs - this.#sampleDeliveredAtMs;
    const intervalMs = Math.max(sendMs, ackMs);
    // Never shorter than the packet's own round trip; zero only on a clock that stands.
    if (intervalMs > 0) batch.deliveryRate = (this.#deliveredBytes - this.#sampleDelivered) / intervalMs;
  }
}
