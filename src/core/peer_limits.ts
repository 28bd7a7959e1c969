import { TunnelError } from './errors.js';
import {
  MAX_DIALS_PER_PEER,
  MAX_PEER_WINDOW_BYTES,
  MAX_PEERS,
  MAX_REVERSE_PORTS_PER_PEER,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAMS_PER_PEER,
} from './limits.js';

/**
 * What a peer may ask of us. What it opens or dials past a limit waits for a while; past other limits it is
 * refused. Other peers do not notice.
 */
export interface Limits {
  /** Friends of a listener at once. Further requests wait for a place. */
  readonly maxPeers: number;
  /**
   * Streams that one peer may have opened at once. One more waits for a place. It is refused with `limit` when none has
   * ended for 10 s, or after 5 minutes in all. What we open ourselves is not limited by this.
   */
  readonly maxStreams: number;
  /** Streams that one peer may open in a second, and at once after a pause twice as many. Others wait, for 5 minutes at most. */
  readonly maxOpensPerSecond: number;
  /**
   * Dials under way for one peer, at most half of them to one target. Others wait for their turn, and after
   * 10 s are refused with `limit`.
   */
  readonly maxDials: number;
  /** Ports that one peer may have opened here, where that is allowed. One more is refused with `limit`. */
  readonly maxReversePorts: number;
  /** What a stream's receive window may grow to: what waits for a slow consumer. */
  readonly maxStreamBufferBytes: number;
  /**
   * What all windows of a peer may grow by, and what may wait for missing bytes: a stream that needs
   * more is reset with `limit`.
   */
  readonly maxPeerBufferBytes: number;
  /** A friend of a listener that is online so long without a handshake is dropped. */
  readonly handshakeTimeoutMs: number;
  /** A session without streams for so long is ended with `limit`; 0: never. */
  readonly idleTimeoutMs: number;
  /**
   * Frames other than DATA that a peer may send in a second, and at once after a pause twice as many. One
   * more ends its session with `limit`.
   */
  readonly maxControlFramesPerSecond: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxPeers: MAX_PEERS,
  maxStreams: MAX_STREAMS_PER_PEER,
  // A load test by one client after the other opens 1,000 to 3,000 a second; at this rate one peer leaves
  // about half of the main thread to the others.
  maxOpensPerSecond: 2000,
  maxDials: MAX_DIALS_PER_PEER,
  maxReversePorts: MAX_REVERSE_PORTS_PER_PEER,
  maxStreamBufferBytes: MAX_STREAM_WINDOW_BYTES,
  maxPeerBufferBytes: MAX_PEER_WINDOW_BYTES,
  // A connector says hello every 3 s until it is answered, and after a refusal at most 30 s later.
  handshakeTimeoutMs: 60_000,
  idleTimeoutMs: 0,
  // 100 MB/s into the smallest windows (16 KiB, told of each half) are 12,800 CREDITs a second.
  maxControlFramesPerSecond: 20_000,
};

/** What each may be set to. */
export const LIMIT_RANGES: Readonly<Record<keyof Limits, { readonly least: number; readonly most: number }>> =
  {
    // The rows of the ring's tables, and the streams of docs/reference/protocol.md, section 4, are fixed.
    maxPeers: { least: 1, most: MAX_PEERS },
    maxStreams: { least: 1, most: MAX_STREAMS_PER_PEER },
    maxOpensPerSecond: { least: 1, most: 1_000_000 },
    maxDials: { least: 1, most: MAX_STREAMS_PER_PEER },
    maxReversePorts: { least: 0, most: 1024 },
    maxStreamBufferBytes: { least: 16 * 1024, most: 1024 * 1024 * 1024 },
    // Below it two streams that lose packets could not go on beside each other.
    maxPeerBufferBytes: { least: 1024 * 1024, most: 16 * 1024 * 1024 * 1024 },
    handshakeTimeoutMs: { least: 1_000, most: 86_400_000 },
    idleTimeoutMs: { least: 0, most: 86_400_000 },
    maxControlFramesPerSecond: { least: 100, most: 10_000_000 },
  };

/** @throws {TunnelError} ERR_USAGE for a limit that is out of its range */
export function limitsOf(given: Partial<Limits> = {}): Limits {
  const limits = { ...DEFAULT_LIMITS, ...given };
  // Object.keys forgets the key type; the table has all of them.
  for (const name of Object.keys(LIMIT_RANGES) as (keyof Limits)[]) {
    const { least, most } = LIMIT_RANGES[name];
    const value = limits[name];
    if (Number.isInteger(value) && value >= least && value <= most) continue;
    throw new TunnelError(
      'ERR_USAGE',
      `the limit ${name} is ${value}; give a whole number from ${least} to ${most}`,
    );
  }
  return limits;
}
