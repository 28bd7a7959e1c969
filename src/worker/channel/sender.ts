import { MAX_PACKET_BYTES } from '../../core/packets.js';
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

/** Maximum number of packets per call of {@link Sender.pump}, to keep turns of the event loop short. */
const MAX_PUMP_PACKETS = 64;
/**
 * When the window is full with fewer packets than this in flight, each one asks for an immediate
 * acknowledgement.
 */
const FEW_PACKETS = 64;
/** Bytes that may leave at once at any rate. */
const MIN_BURST_BYTES = 4 * MAX_PACKET_BYTES;
/** Bytes by which urgent frames may overdraw the pacer. */
const URGENT_DEBT_BYTES = 8 * MAX_PACKET_BYTES;
/**
 * About one in this many packet numbers is skipped, to catch peers that acknowledge packets they have not
 * seen.
 */
const SKIP_EVERY = 2_048;
/**
 * When there is nothing to send and less than this part of the window is in flight, we are the limit, and
 * rate samples do not describe the path. With more in flight they do: our source was only a moment late, and
 * the estimate must be free to fall, or TCP flows on the same path starve.
 */
const LIMITED_BY_US = 0.75;
/** Delay before the next attempt when toxcore took no packet, in ms. */
const RETRY_MS: Record<Exclude<PacketResult, 'sent'>, number> = { full: 2, offline: 100, failed: 100 };

/** Decides which packet leaves when, as the window and the pacer allow, and writes its header. */
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

  /** Sends what may leave now. @returns when to call again if nothing else happens */
  pump(nowMs: number): number {
    if (nowMs < this.#retryAtMs) return this.#retryAtMs;
    if (nowMs >= this.recovery.timerAtMs) this.#sendProbes(this.recovery.onTimer(nowMs), nowMs);
    const againAtMs = this.#sendBundles(nowMs);
    if (nowMs >= this.#acks.dueAtMs) this.#sendAck(nowMs);
    if (nowMs < this.#retryAtMs) return this.#retryAtMs;
    return Math.min(againAtMs, this.#acks.dueAtMs, this.recovery.timerAtMs);
  }

  /** Sends a ping, which the peer must acknowledge at once. */
  ping(nowMs: number): void {
    if (nowMs >= this.#retryAtMs) this.#sendPing(nowMs);
  }

  /** Cancels the delay before the next attempt: the path has changed or is back. */
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
    // A lossy bundle has already freed its slot. Whether its packet arrives makes no difference to it.
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

/** Timers fire up to about this late, in ms. Credit for that time is kept. */
const MAX_CREDIT_MS = 4;
/** How much credit to collect before the sender wakes again, in ms. Timers are no finer. */
const QUANTUM_MS = 1;

/**
 * A token bucket: bytes leave at a rate, in bursts of one to a few milliseconds. The last packet of a burst
 * may overdraw it.
 */
export class Pacer {
  readonly #minBurstBytes: number;
  #creditBytes: number;
  #atMs = 0;

  /** @param minBurstBytes bytes that may leave at once at any rate */
  constructor(minBurstBytes: number) {
    this.#minBurstBytes = minBurstBytes;
    this.#creditBytes = minBurstBytes;
  }

  /** Adds the credit for the time since the last call. @param rate in bytes per ms */
  refill(nowMs: number, rate: number): void {
    const earned = (nowMs - this.#atMs) * rate;
    this.#atMs = nowMs;
    const most = Math.max(this.#minBurstBytes, rate * MAX_CREDIT_MS);
    this.#creditBytes = Math.min(this.#creditBytes + earned, most);
  }

  /** Whether a packet may leave now. @param debtBytes by how much the bucket may be overdrawn */
  allows(debtBytes: number): boolean {
    return this.#creditBytes + debtBytes > 0;
  }

  spend(bytes: number): void {
    this.#creditBytes -= bytes;
  }

  /** When there will be credit for a burst, if nothing else happens. */
  readyAtMs(rate: number): number {
    const wanted = Math.min(Math.max(this.#minBurstBytes / 2, rate * QUANTUM_MS), rate * MAX_CREDIT_MS);
    return this.#atMs + Math.max((wanted - this.#creditBytes) / rate, 0);
  }
}
