import type { AckBatch } from '../congestion/bbr.js';
import type { SentPackets } from './sent_packets.js';

/**
 * Estimates the delivery rate of the path per packet, after draft-cheng-iccrg-delivery-rate-estimation: the
 * bytes delivered between the sending of a packet and its acknowledgement, divided by the time that sending
 * them took, or the time that their acknowledgements took, whichever is longer.
 */
export class DeliveryRate {
  #deliveredBytes = 0;
  #deliveredAtMs = 0;
  #firstSentAtMs = 0;
  /**
   * Until this many bytes are delivered, samples measure what we sent rather than what the path carries; 0
   * when they measure the path.
   */
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

  /** Records the next packet in `sent`; it leaves now. */
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

  /** Notes the acknowledgement of a packet that `sent` still knows. */
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

  /** Notes that there was room but nothing to send: samples of the packets in flight will be too low. */
  onAppLimited(inFlightBytes: number): void {
    this.#appLimitedUntilBytes = this.#deliveredBytes + Math.max(inFlightBytes, 1);
  }

  /**
   * Completes the sample of one acknowledgement and writes it into `batch`. @param newest the newest packet
   * that the acknowledgement named
   */
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
    // The interval is never shorter than the packet's own round trip, and zero only if the clock stands
    // still.
    if (intervalMs > 0) batch.deliveryRate = (this.#deliveredBytes - this.#sampleDelivered) / intervalMs;
  }
}
