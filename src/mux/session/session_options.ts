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

export const DEFAULT_KEEP_ALIVE_MS = 10_000;
export const DEFAULT_DEADLINE_MS = 30_000;

export interface SessionLimits {
  /** Streams that the peer may have opened at once, 1 to 4096; others wait. Default 4096. */
  readonly streams?: number;
  /** Window a stream starts with, in bytes; default 256 KiB. */
  readonly initialWindowBytes?: number;
  /** What a stream's window may grow to, in bytes; default 16 MiB. */
  readonly maxStreamWindowBytes?: number;
  /** What all windows together may grow by, in bytes; default 64 MiB. */
  readonly maxPeerWindowBytes?: number;
  /** Memory of bytes that wait for missing ones; a stream that needs more is reset. Default no bound but the windows. */
  readonly maxHeldBytes?: number;
  /** Streams that the peer may open in a second, and at once after a pause twice as many; others wait. Default no bound. */
  readonly opensPerSecond?: number;
  /** Frames other than DATA and DATAGRAM that it may send in a second, and twice as many at once; default no bound. */
  readonly controlFramesPerSecond?: number;
  /** Bytes written and not yet in frames at which `write` gives false; default 256 KiB. */
  readonly sendHighWaterBytes?: number;
}

export interface SessionOptions {
  readonly sink: FrameSink;
  readonly clock: Clock;
  /** 16 bytes from a CSPRNG, new ones each time. */
  readonly random16: () => Uint8Array;
  /** Longest frame that the handshake agreed on, in bytes. */
  readonly frameBytes: number;
  readonly role: 'connector' | 'listener';
  /** The peer asks for a stream. */
  readonly onOpen: (request: OpenRequest) => void;
  /** The peer said BYE and all it sent before has come; its streams were reset. The session is closed. */
  readonly onBye?: (reason: Reason, text: string) => void;
  /** `Session.tick` is due before the time that `Session.nextTickMs` said last: ask it again. */
  readonly onTickSooner?: () => void;
  readonly limits?: SessionLimits;
  /** Silence after which the peer is asked for a sign of life, in milliseconds; default 10 000. */
  readonly keepAliveMs?: number;
  /** Silence after which the peer counts as dead, in milliseconds; default 30 000. */
  readonly deadlineMs?: number;
}

export interface SessionStats {
  readonly streams: number;
  /** Those with datagrams are not counted: they may get lost. */
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Smoothed, in milliseconds; undefined until measured. */
  readonly roundTripMs: number | undefined;
  /** OPENs of the peer that were refused because of a limit. */
  readonly opensRefused: number;
  /** Datagrams put into frames, come whole, and dropped at this end. */
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
  readonly datagramsDropped: number;
  /** Memory of datagrams that wait to be sent, for their parts, or for their consumer, in bytes. */
  readonly datagramBytes: number;
  /** Memory that waits for missing bytes of streams, in bytes. */
  readonly heldBytes: number;
  /** Bytes written by our consumers and not yet in frames. */
  readonly backlogBytes: number;
  /** What windows may still grow by, in bytes. */
  readonly growthLeftBytes: number;
}

/** @throws {RangeError} when a window or a limit is below 1 */
export function withDefaults(limits: SessionLimits = {}): Required<SessionLimits> {
  const all = {
    streams: Math.min(limits.streams ?? MAX_STREAMS_PER_PEER, MAX_STREAMS_PER_PEER),
    initialWindowBytes: limits.initialWindowBytes ?? INITIAL_WINDOW_BYTES,
    maxStreamWindowBytes: limits.maxStreamWindowBytes ?? MAX_STREAM_WINDOW_BYTES,
    maxPeerWindowBytes: limits.maxPeerWindowBytes ?? MAX_PEER_WINDOW_BYTES,
    maxHeldBytes: limits.maxHeldBytes ?? Number.POSITIVE_INFINITY,
    opensPerSecond: limits.opensPerSecond ?? Number.POSITIVE_INFINITY,
    controlFramesPerSecond: limits.controlFramesPerSecond ?? Number.POSITIVE_INFINITY,
    sendHighWaterBytes: limits.sendHighWaterBytes ?? INITIAL_WINDOW_BYTES,
  };
  if (!(all.streams >= 1 && all.initialWindowBytes >= 1 && all.sendHighWaterBytes >= 1)) {
    throw new RangeError('streams, initialWindowBytes and sendHighWaterBytes are at least 1');
  }
  return { ...all, maxStreamWindowBytes: Math.max(all.initialWindowBytes, all.maxStreamWindowBytes) };
}
