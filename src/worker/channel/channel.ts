import type { ChannelStats } from '../../bridge/contract.js';
import type { TunnelError } from '../../core/errors.js';

export type { ChannelStats };

/** What came of handing a packet to toxcore: `full` and `offline` are worth a later try. */
export type PacketResult = 'sent' | 'full' | 'offline' | 'failed';

/** What a channel needs of the worker. All calls are synchronous. */
export interface ChannelPort {
  /** Sends one custom packet, its id byte first. The bytes are copied before it returns. */
  sendPacket(packet: Uint8Array): PacketResult;
  /**
   * Hands a frame up, into the inbound ring; copies it. False when the ring is full: nothing was
   * taken, and `pump` is called once there is room.
   */
  deliver(frame: Uint8Array): boolean;
  /** So many bytes of frames have left the backlog: the main thread may write as many more. */
  drained(bytes: number): void;
  /**
   * Nothing is heard although something should be: an end's address may have changed. Told every
   * half second for as long as that lasts.
   */
  seekPeer?(): void;
  /** The channel cannot go on. It is closed soon after; until then it does nothing more. */
  fail(error: TunnelError): void;
}

/**
 * Delivery of frames to one peer: each exactly once, in any order; lossy ones once at most. Sans-IO: it is called with
 * packets and the time, and calls back with packets and frames. It sends packets in `pump` alone,
 * as toxcore may be called in none of its own handlers; `pump` is called in the turn of, or
 * after, each `send`, `receive`, `freeze` and `thaw`.
 */
export interface Channel {
  /**
   * Takes a frame for the peer; copies it. The main thread keeps to the backlog's limit, so there is room.
   *
   * @param lossy it is sent once at most, and dropped when too many such wait or the friend is offline. Default false
   */
  send(frame: Uint8Array, urgent: boolean, nowMs: number, lossy?: boolean): void;
  /** A packet of the peer's that belongs to the channel, its id byte first; the view is good during the call. */
  receive(packet: Uint8Array, nowMs: number): void;
  /**
   * Sends what may go now and hands up what waits.
   * @returns when it wants to be called again at the latest, in ms on the same clock; Infinity: not by itself
   */
  pump(nowMs: number): number;
  /** The friend is offline: stop sending, keep everything. */
  freeze(nowMs: number): void;
  /** The friend is back. */
  thaw(nowMs: number): void;
  /** The packets take another way from now on: relay or direct. */
  pathChanged(nowMs: number): void;
  stats(nowMs: number): ChannelStats;
  /** Bytes of frames taken by `send` and not yet told by `drained`: they are given back when it is closed. */
  readonly backlogBytes: number;
}

export interface ChannelOptions {
  /** Longest frame both ends agreed on, in bytes. */
  readonly frameBytes: number;
  /** Whether the friend is online now. A channel starts thawed, or frozen when it is not. */
  readonly online: boolean;
  /** Names the channel on the wire, 32 bits: both ends derive the same one, and no two channels of a pair share it. */
  readonly tag: number;
  /** 32 random bits, told to nobody. */
  readonly seed: number;
}

export type CreateChannel = (port: ChannelPort, options: ChannelOptions) => Channel;
