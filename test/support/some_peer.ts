import type { PeerInfo } from '../../src/index.js';

/** A peer that is online and has some history. */
export const SOME_PEER: PeerInfo = {
  publicKey: 'AB'.repeat(32),
  name: 'laptop',
  kind: 'peer',
  status: 'online',
  path: 'udp',
  onlineMs: 65_000,
  roundTripMs: 12.5,
  streams: 2,
  bytesIn: 1_500_000,
  bytesOut: 999,
  datagramsIn: 31,
  datagramsOut: 32,
  datagramsDropped: 4,
  opened: 7,
  denied: 3,
  failed: 0,
  limited: 1,
  reversePorts: ['127.0.0.1:8080'],
};

/** Who is at the other end of streams without a tunnel. */
export const STREAM_PEER = { publicKey: 'AB'.repeat(32), name: undefined } as const;
