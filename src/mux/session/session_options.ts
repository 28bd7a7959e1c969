import type { ByteRates } from '../../core/allowance.js';
import type { ByteBudget } from '../../core/byte_budget.js';
import type { Clock } from '../../core/clock.js';
import {
  INITIAL_WINDOW_BYTES,
  MAX_PEER_WINDOW_BYTES,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAMS_PER_PEER,
} from '../../core/limits.js';
import type { OpenRequest } from '../stream/stream_api.js';
import type { FrameSink } from '../wire/frame_sink.js';
import type { Reason } from '../wire/reasons.js';
import type { ToldLimits } from '../wire/told_limits.js';
import type { SessionRates } from './session_rates.js';

export const DEFAULT_KEEP_ALIVE_MS = 10_000;
export const DEFAULT_DEADLINE_MS = 30_000;

export interface SessionLimits {
  /** Maximum number of open streams that the peer opened, 1 to 4096; further ones wait. Default 4096. */
  readonly streams?: number;
  /** Initial window of a stream, in bytes. Default 256 KiB. */
  readonly initialWindowBytes?: number;
  /** Maximum window of a stream, in bytes. Default 16 MiB. */
  readonly maxStreamWindowBytes?: number;
  /** Maximum of all windows together, beyond 16 KiB for each, in bytes. Default 64 MiB. */
  readonly maxPeerWindowBytes?: number;
  /**
   * Streams that the peer may open per second, in a burst twice as many; further ones wait. Default: no
   * limit.
   */
  readonly opensPerSecond?: number;
  /**
   * Frames other than DATA and DATAGRAM that the peer may send per second, in a burst twice as many.
   * Default: no limit.
   */
  readonly controlFramesPerSecond?: number;
  /** `write` returns false once this many bytes wait to be put into frames. Default 256 KiB. */
  readonly sendHighWaterBytes?: number;
}

export interface SessionOptions {
  readonly sink: FrameSink;
  readonly clock: Clock;
  /** Returns 16 new bytes from a CSPRNG. */
  readonly random16: () => Uint8Array;
  /** Maximum frame length that the handshake agreed on, in bytes. */
  readonly frameBytes: number;
  readonly role: 'connector' | 'listener';
  /** The peer asks for a stream. */
  readonly onOpen: (request: OpenRequest) => void;
  /**
   * The peer's BYE and everything sent before it have arrived. The session has reset its streams and
   * closed.
   */
  readonly onBye?: (reason: Reason, text: string) => void;
  /** `Session.tick` is due earlier than `Session.nextTickMs` last returned: call it again. */
  readonly onTickSooner?: () => void;
  readonly limits?: SessionLimits;
  /** What the peer may do by the rates among {@link limits}. Default: full bursts. */
  readonly sessionRates?: SessionRates;
  /** Rates for the data in both directions; other sessions may share some of them. Default: none. */
  readonly rates?: readonly ByteRates[];
  /** What the peer lets us open: see the handshake. Default: as much as the protocol allows. */
  readonly told?: ToldLimits | undefined;
  /** This session's share of the memory for received bytes. Default: unlimited. */
  readonly memory?: ByteBudget;
  /** Whether the ends have agreed on GIVE_BACK frames. Default: no. */
  readonly givesBack?: boolean;
  /** Silence after which the session sends a PING, in milliseconds. Default 10,000. */
  readonly keepAliveMs?: number;
  /** Silence after which the peer counts as dead, in milliseconds. Default 30,000. */
  readonly deadlineMs?: number;
}

export interface SessionStats {
  readonly streams: number;
  /** Excludes frames with datagrams, which may be lost. */
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Smoothed round trip in milliseconds; undefined until measured. */
  readonly roundTripMs: number | undefined;
  /** The peer's OPENs that a limit refused. */
  readonly opensRefused: number;
  /** Datagrams put into frames, received whole, and dropped at this end. */
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
  readonly datagramsDropped: number;
  /** Memory of datagrams waiting to be sent, for missing parts, or for their consumer, in bytes. */
  readonly datagramBytes: number;
  /** Memory of what has arrived and its consumer has not taken, in bytes. */
  readonly heldBytes: number;
  /** Memory that is reserved for open streams, in bytes. */
  readonly reservedBytes: number;
  /** Bytes written by our consumers and not yet in frames, without datagrams. */
  readonly backlogBytes: number;
  /** Growth left for all windows, in bytes. */
  readonly growthLeftBytes: number;
}

/** @throws {RangeError} when a window or a limit is below 1 */
export function withDefaults(limits: SessionLimits = {}): Required<SessionLimits> {
  const all = {
    streams: Math.min(limits.streams ?? MAX_STREAMS_PER_PEER, MAX_STREAMS_PER_PEER),
    initialWindowBytes: limits.initialWindowBytes ?? INITIAL_WINDOW_BYTES,
    maxStreamWindowBytes: limits.maxStreamWindowBytes ?? MAX_STREAM_WINDOW_BYTES,
    maxPeerWindowBytes: limits.maxPeerWindowBytes ?? MAX_PEER_WINDOW_BYTES,
    opensPerSecond: limits.opensPerSecond ?? Number.POSITIVE_INFINITY,
    controlFramesPerSecond: limits.controlFramesPerSecond ?? Number.POSITIVE_INFINITY,
    sendHighWaterBytes: limits.sendHighWaterBytes ?? INITIAL_WINDOW_BYTES,
  };
  if (!(all.streams >= 1 && all.initialWindowBytes >= 1 && all.sendHighWaterBytes >= 1)) {
    throw new RangeError('streams, initialWindowBytes and sendHighWaterBytes must be at least 1');
  }
  return { ...all, maxStreamWindowBytes: Math.max(all.initialWindowBytes, all.maxStreamWindowBytes) };
}
