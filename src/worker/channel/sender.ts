import { MAX_PACKET_BYTES } from '../../core/limits.js';
import { OutgoingBundles } from './bundles/outgoing_bundles.js';
import type { ChannelHost, PacketResult } from './channel.js';
import type { Bbr } from './congestion/bbr.js';
import {
  BUNDLE_HEADER_BYTES,
  FLAG_ACK,
  FLAG_ACK_NOW,
  FLAG_BUNDLE,
  FLAG_LOSSY,
  FLAG_MANY,
  FLAG_NUMBERED,
  LOSSY_HEADER_BYTES,
  PIGGYBACK_ACK_BYTES,
  PREFIX_BYTES,
  writePrefix,
  writeU32,
} from './packet.js';
import type { AckSchedule } from './recovery/ack_schedule.js';
import { LossRecovery } from './recovery/loss_recovery.js';
import { Xorshift } from './xorshift.js';

/** Packets in one call of {@link Sender.pump}, so that a turn of the event loop stays short. */
const MAX_PUMP_PACKETS = 64;
/** With fewer packets in flight and no room for more, each asks for its acknowledgement at once. */
const FEW_PACKETS = 64;
/** May leave at once at any rate, in bytes. */
const MIN_BURST_BYTES = 4 * MAX_PACKET_BYTES;
/** Urgent frames may overdraw the pacer by so much, in bytes. */
const URGENT_DEBT_BYTES = 8 * MAX_PACKET_BYTES;
/** A number is left out about once in so many, so that who acknowledges unseen packets is caught. */
const SKIP_EVERY = 2_048;
/**
 * Nothing more to send with less of the window than this in flight: what is measured tells of us. With more it is the
 * path's: who refills us was late by a moment, and the estimate must be free to sink, or TCP beside us starves.
 */
const LIMITED_BY_US = 0.75;
/** When to try again after toxcore took no packet, in ms. */
const RETRY_MS: Record<Exclude<PacketResult, 'sent'>, number> = { full: 2, offline: 100, failed: 100 };

/** Sends packets: what goes, when the window and the pacer let it, with which header. */
export class Sender {
  readonly outgoing = new OutgoingBundles();
  readonly recovery: LossRecovery;
  readonly #host: ChannelHost;
  readonly #tag: number;
  readonly #acks: AckSchedule;
  readonly #bbr: Bbr;
  readonly #pacer = new Pacer(MIN_BURST_BYTES);
  readonly #random: Xorshift;
  readonly #packet = new Uint8Array(MAX_PACKET_BYTES);
  #skipAt: number;
  #retryAtMs = 0;

  packetsSent = 0;
  packetsResent = 0;
  acksSent = 0;

  constructor(host: ChannelHost, tag: number, seed: number, acks: AckSchedule, bbr: Bbr) {
    this.#host = host;
    this.#tag = tag;
    this.#acks = acks;
    this.#bbr = bbr;
    this.#random = new Xorshift(seed);
    this.#skipAt = this.#nextSkip(0);
    this.recovery = new LossRecovery(this.outgoing, bbr);
  }

  /** Sends what may go. @returns when to call again, if nothing else happens */
  pump(nowMs: number): number {
    if (nowMs < this.#retryAtMs) return this.#retryAtMs;
    if (nowMs >= this.recovery.timerAtMs) this.#sendProbes(this.recovery.onTimer(nowMs), nowMs);
    const againAtMs = this.#sendBundles(nowMs);
    if (nowMs >= this.#acks.dueAtMs) this.#sendAck(nowMs);
    if (nowMs < this.#retryAtMs) return this.#retryAtMs;
    return Math.min(againAtMs, this.#acks.dueAtMs, this.recovery.timerAtMs);
  }

  /** Asks the peer for a sign of life. */
  ping(nowMs: number): void {
    if (nowMs >= this.#retryAtMs) this.#sendPing(nowMs);
  }

  /** The path is another, or back: nothing holds sending back any more. */
  retryNow(): void {
    this.#retryAtMs = 0;
  }

  #sendBundles(nowMs: number): number {
    const { outgoing, recovery } = this;
    if (!outgoing.hasWork) return Number.POSITIVE_INFINITY;
    this.#pacer.refill(nowMs, this.#bbr.pacingRate);
    for (let packets = 0; packets < MAX_PUMP_PACKETS; packets++) {
      const slot = outgoing.next();
      if (slot < 0) {
        if (recovery.inFlightBytes < LIMITED_BY_US * this.#bbr.windowBytes) recovery.onAppLimited();
        return Number.POSITIVE_INFINITY;
      }
      const roomBytes = this.#bbr.windowBytes - recovery.inFlightBytes;
      if (roomBytes <= 0) return Number.POSITIVE_INFINITY;
      if (!this.#pacer.allows(outgoing.bundles.isUrgent(slot) ? URGENT_DEBT_BYTES : 0)) {
        return this.#pacer.readyAtMs(this.#bbr.pacingRate);
      }
      if (!recovery.hasNumber()) return Number.POSITIVE_INFINITY;
      const blocks = roomBytes <= MAX_PACKET_BYTES && recovery.inFlightPackets < FEW_PACKETS;
      if (!this.#sendBundle(slot, blocks, nowMs)) return this.#retryAtMs;
    }
    return nowMs;
  }

  #sendProbes(count: number, nowMs: number): void {
    for (let probe = 0; probe < count; probe++) {
      const waiting = this.outgoing.next();
      const slot = probe === 0 || waiting < 0 ? this.recovery.oldestBundle() : waiting;
      if (slot < 0) this.#sendPing(nowMs);
      else this.#sendBundle(slot, true, nowMs);
    }
  }

  #sendBundle(slot: number, ackNow: boolean, nowMs: number): boolean {
    const { bundles } = this.outgoing;
    const { sent } = this.recovery;
    const bytes = bundles.bytes(slot);
    const start = bundles.start(slot);
    const end = bundles.end(slot);
    const ackEnd = this.#acks.isOwed ? this.#acks.write(this.#packet, 0, PIGGYBACK_ACK_BYTES, nowMs) : 0;
    this.#skipSometimes();

    const lossy = bundles.isLossy(slot);
    const headerBytes = lossy ? LOSSY_HEADER_BYTES : BUNDLE_HEADER_BYTES;
    let flags = FLAG_NUMBERED | (lossy ? FLAG_LOSSY : FLAG_BUNDLE);
    if (ackEnd > 0) flags |= FLAG_ACK;
    if (ackNow) flags |= FLAG_ACK_NOW;
    if (bundles.frames(slot) > 1) flags |= FLAG_MANY;
    const head = start - ackEnd - headerBytes;
    const number = lossy ? -1 : this.outgoing.numberOf(slot);
    writePrefix(bytes, head, flags, this.#tag);
    writeU32(bytes, head + PREFIX_BYTES, sent.next);
    if (!lossy) writeU32(bytes, head + PREFIX_BYTES + 4, number);
    for (let at = 0; at < ackEnd; at++) bytes[head + headerBytes + at] = this.#packet[at]!;
    if (!this.#hand(bytes.subarray(head, end), nowMs)) return false;

    const packet = sent.next;
    const again = bundles.number(slot) >= 0;
    if (again) this.packetsResent++;
    const firstBytes = this.outgoing.onSent(slot, packet);
    // A lossy bundle's slot is free again: that its packet is lost or acknowledged means nothing for it.
    this.recovery.onSent(nowMs, end - head, lossy ? -1 : slot, number);
    this.#pacer.spend(end - head);
    if (ackEnd > 0) this.#acks.onSent(nowMs);
    if (firstBytes > 0) this.#host.drained(firstBytes);
    return true;
  }

  #sendPing(nowMs: number): void {
    this.#skipSometimes();
    writePrefix(this.#packet, 0, FLAG_NUMBERED | FLAG_ACK_NOW, this.#tag);
    writeU32(this.#packet, PREFIX_BYTES, this.recovery.sent.next);
    const bytes = PREFIX_BYTES + 4;
    if (this.#hand(this.#packet.subarray(0, bytes), nowMs)) this.recovery.onSent(nowMs, bytes, -1, -1);
  }

  #sendAck(nowMs: number): void {
    writePrefix(this.#packet, 0, FLAG_ACK, this.#tag);
    const end = this.#acks.write(this.#packet, PREFIX_BYTES, MAX_PACKET_BYTES, nowMs);
    if (end === PREFIX_BYTES || !this.#hand(this.#packet.subarray(0, end), nowMs)) return;
    this.acksSent++;
    this.#acks.onSent(nowMs);
  }

  #hand(packet: Uint8Array, nowMs: number): boolean {
    const result = this.#host.sendPacket(packet);
    if (result === 'sent') {
      this.packetsSent++;
      return true;
    }
    this.#retryAtMs = nowMs + RETRY_MS[result];
    return false;
  }

  #skipSometimes(): void {
    const { sent } = this.recovery;
    if (sent.next < this.#skipAt) return;
    sent.skip();
    this.#skipAt = this.#nextSkip(sent.next);
  }

  #nextSkip(number: number): number {
    return number + Math.ceil((0.5 + this.#random.next()) * SKIP_EVERY);
  }
}

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
