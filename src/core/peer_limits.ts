import { TunnelError } from './errors.js';
import {
  DEFAULT_PEERS,
  MAX_BYTES_PER_SECOND,
  MAX_DIALS_PER_PEER,
  MAX_PEER_WINDOW_BYTES,
  MAX_PEERS,
  MAX_REVERSE_PORTS_PER_PEER,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAMS_PER_PEER,
  UDP_IDLE_MS,
} from './limits.js';

/**
 * What one peer may use. Streams and dials beyond a limit wait for a while. Beyond the other limits, the peer is
 * refused. Other peers are not affected.
 */
export interface Limits {
  /** Friends of a listener at once. Further requests wait for a place. 1 to 8192, default 1024. */
  readonly maxPeers: number;
  /**
   * Streams that one peer may have open at once. Another one waits for a place. It is refused with `limit` when no
   * stream has ended for 10 s, or after 5 minutes in total. Streams that this end opens do not count. 1 to 4096,
   * default 4096.
   */
  readonly maxStreams: number;
  /**
   * Streams that one peer may open per second; after a pause, twice as many at once. Others wait, for at most 5 minutes.
   * Default 2,000.
   */
  readonly maxOpensPerSecond: number;
  /**
   * Dials in progress for one peer, at most half of them to one target. Others wait for their turn and are refused
   * with `limit` when none has ended for 10 s, or after 5 minutes. 1 to 4096, default 256.
   */
  readonly maxDials: number;
  /** Ports that one peer may have open here, if rules allow any. Another one is refused with `limit`. 0 to 1024, default 16. */
  readonly maxReversePorts: number;
  /**
   * Largest receive window of a stream in bytes: how much may wait for a slow consumer. 16 KiB to 1 GiB,
   * default 16 MiB.
   */
  readonly maxStreamBufferBytes: number;
  /**
   * All receive windows of one peer together, beyond 16 KiB for each, in bytes. With 32 KiB for each stream it bounds
   * what the peer's bytes may take in memory. 1 MiB to 16 GiB, default 64 MiB.
   */
  readonly maxPeerBufferBytes: number;
  /**
   * How long a friend of a listener may be online without a handshake before it is dropped, in milliseconds.
   * 1 s to 1 day, default 60 s.
   */
  readonly handshakeTimeoutMs: number;
  /**
   * How long a session may have no streams before it ends with `limit`, in milliseconds. 0 to 1 day, default 0: no
   * limit.
   */
  readonly idleTimeoutMs: number;
  /**
   * How long a UDP client and its target may be silent before they are forgotten, in milliseconds. The far end of a
   * forward waits twice as long as its own limit says. 1 s to 1 day, default 120 s.
   */
  readonly udpIdleMs: number;
  /**
   * Bytes per second of one peer's streams, in each direction. More waits: credit is given later, and sockets are paused.
   * Datagrams wait in their queues. 0 to 1 TiB, default 0: no limit.
   */
  readonly maxBytesPerSecond: number;
  /**
   * Frames other than DATA that a peer may send per second; after a pause, twice as many at once. One more ends its
   * session with `limit`. Default 20,000.
   */
  readonly maxControlFramesPerSecond: number;
}
/**
 * The limits of a peer that has none of its own.
 *
 * @example
 * ```ts
 * const listener = await listen({ limits: { maxStreams: DEFAULT_LIMITS.maxStreams / 2 } });
 * ```
 */
export const DEFAULT_LIMITS: Limits = {
  maxPeers: DEFAULT_PEERS,
  maxStreams: MAX_STREAMS_PER_PEER,
  // A sequential load test opens 1,000 to 3,000 streams a second. At this rate, one peer leaves about half of the main
  // thread to the others.
  maxOpensPerSecond: 2000,
  maxDials: MAX_DIALS_PER_PEER,
  maxReversePorts: MAX_REVERSE_PORTS_PER_PEER,
  maxStreamBufferBytes: MAX_STREAM_WINDOW_BYTES,
  maxPeerBufferBytes: MAX_PEER_WINDOW_BYTES,
  // A connector sends hello every 3 s until it gets an answer, and after a refusal at most 30 s later.
  handshakeTimeoutMs: 60_000,
  idleTimeoutMs: 0,
  udpIdleMs: UDP_IDLE_MS,
  maxBytesPerSecond: 0,
  // 100 MB/s into the smallest windows (16 KiB, one CREDIT for each half) need 12,800 CREDIT frames a second.
  maxControlFramesPerSecond: 20_000,
};

/** The range of each limit. */
export const LIMIT_RANGES: Readonly<Record<keyof Limits, { readonly least: number; readonly most: number }>> =
  {
    // docs/reference/protocol.md, section 4, fixes the number of streams.
    maxPeers: { least: 1, most: MAX_PEERS },
    maxStreams: { least: 1, most: MAX_STREAMS_PER_PEER },
    maxOpensPerSecond: { least: 1, most: 1_000_000 },
    maxDials: { least: 1, most: MAX_STREAMS_PER_PEER },
    maxReversePorts: { least: 0, most: 1024 },
    maxStreamBufferBytes: { least: 16 * 1024, most: 1024 * 1024 * 1024 },
    // With less, two streams that lose packets could not both continue.
    maxPeerBufferBytes: { least: 1024 * 1024, most: 16 * 1024 * 1024 * 1024 },
    handshakeTimeoutMs: { least: 1_000, most: 86_400_000 },
    idleTimeoutMs: { least: 0, most: 86_400_000 },
    udpIdleMs: { least: 1_000, most: 86_400_000 },
    maxBytesPerSecond: { least: 0, most: MAX_BYTES_PER_SECOND },
    maxControlFramesPerSecond: { least: 100, most: 10_000_000 },
  };

/** Fills in the defaults. @throws {TunnelError} ERR_USAGE for a limit outside its range */
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
