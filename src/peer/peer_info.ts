import { tenths } from '../core/clock.js';
import type { ServeCounts } from '../forward/serve_log.js';
import type { Grant } from '../rules/rule_book.js';
import type { PeerChange } from '../tunnel/events.js';
import type { PeerLife } from './peer_life.js';
import type { Traffic } from './traffic.js';

/** Of a peer that opens nothing here. */
export const NO_COUNTS: ServeCounts = { opened: 0, denied: 0, limited: 0, failed: 0 };

/** A peer of a listener or a connector, and what it does. */
export interface PeerInfo extends Traffic {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** What it came in by; undefined where everybody may, and of a listener. */
  readonly name?: string;
  readonly kind?: Grant['kind'];
  /** online: it may open connections. waiting: no handshake so far. away: its friend is offline. */
  readonly status: 'online' | 'waiting' | 'away';
  readonly path: PeerChange['path'];
  /** How long it is online; 0 when it is not. */
  readonly onlineMs: number;
  /** Smoothed; undefined until measured. */
  readonly roundTripMs?: number;
  /** Connections that are open. */
  readonly streams: number;
  /** Connections so far: opened, against the rules, failed otherwise, and refused by a limit. */
  readonly opened: number;
  readonly denied: number;
  readonly failed: number;
  readonly limited: number;
  /** `host:port` of each port that is open here for the peer (`-R`). */
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
