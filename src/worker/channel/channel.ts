import type { ChannelStats } from '../../bridge/contract.js';
import type { TunnelError } from '../../core/errors.js';

export type { ChannelStats };

/** Result of handing a packet to toxcore. After `full` or `offline` a later attempt may succeed. */
export type PacketResult = 'sent' | 'full' | 'offline' | 'failed';

/** What a channel needs from the worker. All calls are synchronous. */
export interface ChannelHost {
  /** Sends one custom packet, which starts with its id byte. Copies the bytes before it returns. */
  sendPacket(packet: Uint8Array): PacketResult;
  /**
   * Copies a frame into the inbound ring. Returns false, without taking anything, when the ring is full; the
   * channel's `pump` is then called once there is room.
   */
  deliver(frame: Uint8Array): boolean;
  /**
   * Reports that `bytes` bytes of frames have left the backlog, so the main thread may write as many more.
   */
  drained(bytes: number): void;
  /**
   * Reports that the peer is silent although the channel expects to hear from it: either end may have a new
   * address. Called every half second while this lasts.
   */
  seekPeer?(): void;
  /** Reports that the channel cannot continue. The channel does nothing more, and is closed soon after. */
  fail(error: TunnelError): void;
}

/**
 * Delivery of frames to one peer. Every frame arrives exactly once, in any order; lossy frames arrive at most
 * once. The channel does no I/O: its owner passes in packets and the time, and gets packets and frames
 * through {@link ChannelHost}. Only `pump` sends packets, because toxcore must not be called from its own
 * handlers. The owner calls `pump` soon after each `send`, `receive`, `freeze` and `thaw`, in the same turn
 * or later.
 */
export interface Channel {
  /**
   * Copies a frame for the peer. There is always room, because the main thread keeps within the backlog
   * limit.
   *
   * @param lossy sends the frame at most once; drops it when too many lossy frames wait, or when the friend
   *   is offline. Default false
   */
  send(frame: Uint8Array, urgent: boolean, nowMs: number, lossy?: boolean): void;
  /**
   * Takes a packet from the peer that belongs to the channel, and starts with its id byte. The view is valid
   * only during the call.
   */
  receive(packet: Uint8Array, nowMs: number): void;
  /**
   * Sends what may leave now, and hands up what waits for room in the ring.
   *
   * @returns the time of the next necessary call, in ms on the same clock; Infinity when none is needed
   */
  pump(nowMs: number): number;
  /** Stops sending and keeps everything: the friend is offline. */
  freeze(nowMs: number): void;
  /** Resumes sending: the friend is back. */
  thaw(nowMs: number): void;
  /** Tells the channel that its packets now take another path: relayed or direct. */
  pathChanged(nowMs: number): void;
  stats(nowMs: number): ChannelStats;
  /**
   * Bytes of frames that `send` took and `drained` has not reported. Their room is given back when the
   * channel closes.
   */
  readonly backlogBytes: number;
}

export interface ChannelOptions {
  /** Longest frame that both ends agreed on, in bytes. */
  readonly frameBytes: number;
  /** Whether the friend is online. If it is not, the channel starts frozen. */
  readonly online: boolean;
  /**
   * The channel's 32-bit name on the wire. Both ends derive the same one, and no two channels of a pair share
   * it.
   */
  readonly tag: number;
  /**
   * 32 secret random bits. They spread probes in time and select the packet numbers to skip.
   */
  readonly seed: number;
}

export type CreateChannel = (host: ChannelHost, options: ChannelOptions) => Channel;
