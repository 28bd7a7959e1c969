import { tenths } from '../core/clock.js';
import type { Path } from '../core/tox_network.js';
import type { ServeCounts } from '../forward/serve_log.js';
import type { Grant } from '../rules/rule_book.js';
import type { PeerLife } from './peer_life.js';
import type { Traffic } from './traffic.js';

/** The counts of a peer that opens nothing here. */
export const NO_COUNTS: ServeCounts = { opened: 0, denied: 0, limited: 0, failed: 0 };

/** The state of one peer of a listener or a connector. */
export interface PeerInfo extends Traffic {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** Name of the ticket or allowed peer that let it in; undefined when this end is a connector. */
  readonly name?: string;
  readonly kind?: Grant['kind'];
  /** online: connections can be opened. waiting: no handshake so far. away: the peer is offline. */
  readonly status: 'online' | 'waiting' | 'away';
  readonly path: Path;
  /** Milliseconds since it came online; 0 while it is not online. */
  readonly onlineMs: number;
  /** Smoothed round trip in milliseconds; undefined until measured. */
  readonly roundTripMs?: number;
  /** Open connections. */
  readonly streams: number;
  /** Connections so far: opened, denied by the rules, failed for other reasons, and refused by a limit. */
  readonly opened: number;
  readonly denied: number;
  readonly failed: number;
  readonly limited: number;
  /** `host:port` of each port open on this machine for the peer (`-R`). */
  readonly reversePorts: readonly string[];
}

export function peerInfo(
  publicKey: string,
  peer: Pick<PeerLife, 'isOnline' | 'currentPath' | 'onlineForMs' | 'sessionStats' | 'traffic'>,
  counts: ServeCounts,
  grant: Grant | undefined,
): PeerInfo {
  const path = peer.currentPath;
  const stats = peer.sessionStats;
  const roundTripMs = stats?.roundTripMs;
  return {
    publicKey,
    ...(grant === undefined ? {} : { name: grant.name, kind: grant.kind }),
    status: peer.isOnline ? 'online' : path === 'none' ? 'away' : 'waiting',
    path,
    onlineMs: Math.round(peer.onlineForMs ?? 0),
    ...(roundTripMs === undefined ? {} : { roundTripMs: tenths(roundTripMs) }),
    streams: stats?.streams ?? 0,
    ...peer.traffic,
    ...counts,
    limited: counts.limited + (stats?.opensRefused ?? 0),
    reversePorts: [],
  };
}
