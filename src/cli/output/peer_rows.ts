import * as v from 'valibot';
import type { PeerInfo } from '../../index.js';
import { humanBytes, humanDuration, printable } from './human.js';

/** Datagrams of UDP forwards. Processes of older versions do not report them. */
export const DatagramCounts = {
  datagramsIn: v.optional(v.number(), 0),
  datagramsOut: v.optional(v.number(), 0),
  datagramsDropped: v.optional(v.number(), 0),
};

/** A peer, as the control socket describes it. */
export const PeerSchema = v.object({
  publicKey: v.string(),
  name: v.optional(v.string()),
  kind: v.optional(v.string()),
  status: v.string(),
  path: v.string(),
  onlineMs: v.number(),
  since: v.nullable(v.string()),
  roundTripMs: v.optional(v.number()),
  streams: v.number(),
  bytesIn: v.number(),
  bytesOut: v.number(),
  ...DatagramCounts,
  opened: v.number(),
  denied: v.number(),
  failed: v.number(),
  limited: v.number(),
  // Processes of older versions do not report these ports.
  reversePorts: v.optional(v.pipe(v.array(v.string()), v.readonly()), []),
});
export type Peer = v.InferOutput<typeof PeerSchema>;

/**
 * Whether a Tox node is joined to the network. A peer that is online proves it, even while toxcore has no path for
 * itself.
 */
export function isJoined(network: string, peers: readonly { readonly status: string }[]): boolean {
  return network !== 'none' || peers.some(({ status }) => status === 'online');
}

/** Peers, as the control socket describes them. @param now wall-clock time */
export function peerRows(
  peers: readonly PeerInfo[],
  now: Date,
): (PeerInfo & { readonly since: string | null })[] {
  return peers.map(({ onlineMs, ...peer }) => ({
    ...peer,
    onlineMs,
    since: peer.status === 'online' ? new Date(now.getTime() - onlineMs).toISOString() : null,
  }));
}

/**
 * One line about a peer.
 *
 * @param isListener leaves out the number of opened targets: a listener opens none for us
 */
export function peerRow(peer: Peer, isListener = false): string {
  const who = peer.name === undefined ? '-' : `${peer.name} (${peer.kind ?? ''})`;
  const path = peer.status === 'online' ? `${peer.path}, ${humanDuration(peer.onlineMs)}` : peer.status;
  const roundTrip = peer.roundTripMs === undefined ? '' : `, ${peer.roundTripMs} ms`;
  const refused = peer.denied + peer.failed + peer.limited;
  return printable(
    [
      peer.publicKey,
      who,
      `${path}${roundTrip}`,
      isListener ? `${peer.streams} open` : `${peer.streams} open of ${peer.opened}`,
      `${humanBytes(peer.bytesIn)} in, ${humanBytes(peer.bytesOut)} out`,
      refused === 0 ? '' : `${peer.denied} denied, ${peer.failed} failed, ${peer.limited} over a limit`,
      peer.reversePorts.length === 0 ? '' : `-R ${peer.reversePorts.join(' ')}`,
    ]
      .filter((part) => part !== '')
      .join('  '),
  );
}
