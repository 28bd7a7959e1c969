import { TunnelError } from '../../core/errors.js';
import { IncomingBundles } from './bundles/incoming_bundles.js';
import type { Channel, ChannelHost, ChannelOptions, ChannelStats } from './channel.js';
import { Bbr } from './congestion/bbr.js';
import {
  FLAG_ACK,
  FLAG_ACK_NOW,
  FLAG_BUNDLE,
  FLAG_LOSSY,
  FLAG_MANY,
  FLAG_NUMBERED,
  flagsOf,
  invalid,
  PREFIX_BYTES,
  readU32,
  tagOf,
  widen,
} from './packet.js';
import { Ack } from './recovery/ack.js';
import { AckSchedule } from './recovery/ack_schedule.js';
import { Sender } from './sender.js';

/**
 * How many packet numbers may be missing before the next one. A window of 32 MiB has fewer packets, and the sender
 * stops when a window is lost.
 */
const MAX_SKIPPED = 2 ** 20;
/**
 * Numbers stay far below 2^53, above which they are not exact. At 50,000 packets a second, this limit is reached after
 * 180 years.
 */
const MAX_NUMBER = 2 ** 48;

/**
 * Time without a packet from the peer after which it is pinged, in ms. Our ping also counts as a sign of life
 * for the peer.
 */
export const KEEP_ALIVE_MS = 10_000;

/**
 * Silence, in ms, after which the channel looks for a peer that should answer; and the interval of further
 * attempts.
 */
export const SILENCE_MS = 1_000;
const SEEK_EVERY_MS = 500;
/** A peer that falls silent after this many bundles is pinged. */
const BUSY_BUNDLES = 32;

export interface ReliableChannelStats extends ChannelStats {
  readonly windowBytes: number;
  /** Smallest round-trip time since the path last changed, in ms; 0 while unknown. */
  readonly minRoundTripMs: number;
  /** Recent delivery rate of the path, in bytes per second of whole packets; 0 while unknown. */
  readonly deliveryRate: number;
  readonly packetsOut: number;
  readonly packetsIn: number;
  /** Packets that were declared lost but arrived late. */
  readonly packetsLate: number;
  readonly packetsResent: number;
  readonly acksOut: number;
  /** Bundles that arrived again. */
  readonly duplicatesIn: number;
  /** Bundles that were dropped unacknowledged because the ring had no room. The peer sends them again. */
  readonly refusedIn: number;
  /** Lossy frames that were dropped for lack of room, before sending and after receiving. */
  readonly lossyDroppedOut: number;
  readonly lossyDroppedIn: number;
  /** Packets of another channel, or of no channel. */
  readonly strayIn: number;
  /** How long the peer has owed an answer, in ms; 0 when it owes none. */
  readonly unansweredMs: number;
  readonly memoryBytes: number;
}

/** The channel over toxcore's lossy packets (`[0xdb]…`). docs/channel.md describes the protocol. */
export class ReliableChannel implements Channel {
  readonly #host: ChannelHost;
  readonly #tag: number;
  readonly #acks = new AckSchedule();
  readonly #ack = new Ack();
  readonly #sender: Sender;
  readonly #incoming: IncomingBundles;
  readonly #bbr: Bbr;

  #frozen: boolean;
  #failed = false;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #gaveFrameAtMs = Number.NEGATIVE_INFINITY;
  #soughtAtMs = Number.NEGATIVE_INFINITY;
  /**
   * Bundles received since the peer was last pinged because it was silent. Many of them mean that the peer was busy
   * sending.
   */
  #bundlesIn = 0;
  #lossyDroppedOut = 0;
  #packetsIn = 0;
  #strayIn = 0;

  /** @param bbr controls the speed; tests pass their own */
  constructor(host: ChannelHost, options: ChannelOptions, bbr = new Bbr(options.seed)) {
    this.#host = host;
    this.#tag = options.tag >>> 0;
    this.#frozen = !options.online;
    this.#bbr = bbr;
    this.#sender = new Sender(host, this.#tag, options.seed, this.#acks, bbr);
    this.#incoming = new IncomingBundles((frame) => host.deliver(frame));
  }

  get backlogBytes(): number {
    return this.#failed ? 0 : this.#sender.outgoing.backlogBytes;
  }

  /**
   * @throws {TunnelError} ERR_LIMIT when the frame does not fit a packet, or far exceeds the backlog limit
   */
  send(frame: Uint8Array, urgent: boolean, nowMs: number, lossy = false): void {
    this.#gaveFrameAtMs = nowMs;
    if (urgent) this.#bbr.onUrgent(nowMs);
    if (this.#failed) this.#host.drained(frame.length);
    else if (!lossy) this.#sender.outgoing.push(frame, urgent);
    else if (this.#frozen) this.#dropped(1, frame.length);
    else this.#sender.outgoing.pushLossy(frame, this.#dropped);
  }

  /** A packet that can only be the peer's fault ends the channel, and nothing else: `fail` gets ERR_PACKET_INVALID. */
  receive(packet: Uint8Array, nowMs: number): void {
    if (this.#failed) return;
    if (tagOf(packet) !== this.#tag) {
      this.#strayIn++;
      return;
    }
    try {
      this.#receive(packet, nowMs);
    } catch (error) {
      // A bug of ours that a peer has found must not end the tunnels of all other peers.
      this.#fail(TunnelError.is(error) ? error : faultOf(error));
    }
  }

  pump(nowMs: number): number {
    if (this.#failed) return Number.POSITIVE_INFINITY;
    this.#incoming.flush();
    if (this.#frozen) return Number.POSITIVE_INFINITY;
    if (this.#heardAtMs === Number.NEGATIVE_INFINITY) this.#heardAtMs = nowMs;
    const againAtMs = this.#sender.pump(nowMs);
    return Math.min(againAtMs, this.#keepAlive(nowMs), this.#seek(nowMs));
  }

  freeze(_nowMs: number): void {
    this.#frozen = true;
    // By the time the friend is back, any program that was waiting for an answer has sent its datagram again.
    if (!this.#failed) this.#sender.outgoing.dropLossy(this.#dropped);
  }

  thaw(nowMs: number): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    this.#heardAtMs = nowMs;
    this.#sender.recovery.loseAll(nowMs);
    this.#sender.retryNow();
    this.#bbr.onTimeout(nowMs);
  }

  pathChanged(nowMs: number): void {
    this.#sender.recovery.rtt.restart();
    this.#sender.retryNow();
    this.#bbr.onPathChanged(nowMs);
  }

  stats(nowMs: number): ReliableChannelStats {
    const { outgoing, recovery, packetsSent, packetsResent, acksSent } = this.#sender;
    const { rtt } = recovery;
    return {
      backlogBytes: this.backlogBytes,
      inFlightBytes: recovery.inFlightBytes,
      windowBytes: this.#bbr.windowBytes,
      roundTripMs: rtt.known ? rtt.smoothedMs : 0,
      minRoundTripMs: rtt.known ? rtt.minMs : 0,
      deliveryRate: recovery.deliveryRate * 1000,
      framesOut: outgoing.framesSent,
      framesIn: this.#incoming.framesDelivered,
      packetsOut: packetsSent,
      packetsIn: this.#packetsIn,
      packetsLost: recovery.packetsLost,
      packetsLate: recovery.packetsLate,
      packetsResent,
      acksOut: acksSent,
      duplicatesIn: this.#incoming.bundlesDuplicate,
      refusedIn: this.#incoming.bundlesRefused,
      lossyDroppedOut: this.#lossyDroppedOut,
      lossyDroppedIn: this.#incoming.lossyDropped,
      strayIn: this.#strayIn,
      unansweredMs: recovery.probes > 0 ? nowMs - this.#heardAtMs : 0,
      memoryBytes: outgoing.bundles.memoryBytes,
    };
  }

  #receive(packet: Uint8Array, nowMs: number): void {
    this.#packetsIn++;
    this.#heardAtMs = nowMs;
    const flags = flagsOf(packet);
    let at = PREFIX_BYTES;
    const headerBytes = (flags & FLAG_NUMBERED ? 4 : 0) + (flags & FLAG_BUNDLE ? 4 : 0);
    if (packet.length < at + headerBytes) throw invalid('its header is truncated');
    const numberAt = at;
    at += headerBytes;
    if ((flags & FLAG_ACK) !== 0) {
      at = this.#ack.read(packet, at, this.#sender.recovery.sent.next);
      this.#sender.recovery.onAck(this.#ack, nowMs);
    }
    if ((flags & (FLAG_BUNDLE | FLAG_LOSSY)) === 0 && at !== packet.length)
      throw invalid('bytes follow its last field');
    if ((flags & FLAG_NUMBERED) !== 0) this.#receiveNumbered(packet, flags, numberAt, at, nowMs);
  }

  #receiveNumbered(packet: Uint8Array, flags: number, numberAt: number, at: number, nowMs: number): void {
    const number = widen(readU32(packet, numberAt), this.#acks.received.largest + 1);
    if (number < 0 || number > MAX_NUMBER || number > this.#acks.received.largest + MAX_SKIPPED)
      throw invalid('its number is out of range');
    const ackNow = (flags & FLAG_ACK_NOW) !== 0;
    if ((flags & FLAG_BUNDLE) !== 0) {
      this.#bundlesIn++;
      const low = readU32(packet, numberAt + 4);
      if (!this.#incoming.take(packet, at, low, (flags & FLAG_MANY) !== 0)) return;
    } else if ((flags & FLAG_LOSSY) !== 0) {
      this.#bundlesIn++;
      // The network duplicated the packet. Lossy frames have no bundle number, so the packet number must
      // identify them.
      if (this.#acks.received.has(number)) return;
      this.#incoming.takeLossy(packet, at, (flags & FLAG_MANY) !== 0);
    }
    this.#acks.onPacket(number, ackNow, nowMs);
  }

  readonly #dropped = (frames: number, bytes: number): void => {
    this.#lossyDroppedOut += frames;
    this.#host.drained(bytes);
  };

  /** Gives the backlog's room back and stops. */
  #fail(error: TunnelError): void {
    const { backlogBytes } = this;
    this.#failed = true;
    if (backlogBytes > 0) this.#host.drained(backlogBytes);
    this.#host.fail(error);
  }

  /**
   * Looks for a peer that owes an answer, or that fell silent while busy sending. The end with the new
   * address must send first, and an end that only receives would not notice the silence before its
   * keep-alive.
   *
   * @returns when to look again
   */
  #seek(nowMs: number): number {
    const { recovery } = this.#sender;
    const wasBusy = this.#bundlesIn >= BUSY_BUNDLES;
    if (this.#host.seekPeer === undefined || (recovery.probes === 0 && !wasBusy)) {
      return Number.POSITIVE_INFINITY;
    }
    const atMs = Math.max(this.#heardAtMs + SILENCE_MS, this.#soughtAtMs + SEEK_EVERY_MS);
    if (nowMs < atMs) return atMs;
    this.#soughtAtMs = nowMs;
    this.#bundlesIn = 0;
    if (recovery.inFlightPackets === 0) this.#sender.ping(nowMs);
    this.#host.seekPeer();
    return nowMs + SEEK_EVERY_MS;
  }

  /** Pings a peer that has been quiet for long. @returns when to look again */
  #keepAlive(nowMs: number): number {
    // Measured from the last frame, not the last packet: the pings of the other end keep this end from ever
    // finding its peer quiet.
    if (nowMs - this.#gaveFrameAtMs >= KEEP_ALIVE_MS) this.#sender.outgoing.bundles.shrink();
    const quietSinceMs = Math.max(this.#heardAtMs, this.#askedAtMs);
    if (nowMs - quietSinceMs < KEEP_ALIVE_MS) return quietSinceMs + KEEP_ALIVE_MS;
    this.#askedAtMs = nowMs;
    if (this.#sender.recovery.inFlightPackets === 0) this.#sender.ping(nowMs);
    return nowMs + KEEP_ALIVE_MS;
  }
}

function faultOf(cause: unknown): TunnelError {
  return new TunnelError('ERR_PACKET_INVALID', 'it ran into a bug of this program; please report it', {
    cause,
    remote: true,
  });
}
