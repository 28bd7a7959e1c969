import * as v from 'valibot';
import { EXIT, type ExitCode } from '../exit_codes.js';
import { usage } from '../flags.js';
import { humanBytes, humanDuration, printable } from '../human.js';
import type { Context } from '../serve.js';
import { type AskFlags, ask } from './ask.js';

const ACTIONS = ['allow', 'deny', 'remove'];

const PeerSchema = v.object({
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
  opened: v.number(),
  denied: v.number(),
  failed: v.number(),
  limited: v.number(),
});
type Peer = v.InferOutput<typeof PeerSchema>;

const PeersSchema = v.object({ peers: v.array(PeerSchema) });
const ChangedSchema = v.object({ peers: v.array(v.string()) });

/** Tells who is connected to the running listener, or changes who may be. */
export async function peersCommand(
  context: Context,
  action: string | undefined,
  peer: string | undefined,
  flags: AskFlags,
): Promise<ExitCode> {
  const { reporter } = context;
  if (action === undefined) {
    const { peers } = v.parse(PeersSchema, await ask(context, flags, 'peers'));
    reporter.event({ event: 'peers', peers });
    reporter.result(peers.length === 0 ? 'nobody is connected' : peers.map(row).join('\n'));
    return EXIT.ok;
  }
  if (!ACTIONS.includes(action) || peer === undefined) {
    throw usage('peers takes nothing, or allow, deny or remove and a name or public key');
  }
  const { peers } = v.parse(ChangedSchema, await ask(context, flags, `peer.${action}`, { peer }));
  reporter.event({ event: 'changed', what: `peer.${action}`, items: peers });
  return EXIT.ok;
}

function row(peer: Peer): string {
  const who = peer.name === undefined ? '-' : `${peer.name} (${peer.kind ?? ''})`;
  const path = peer.status === 'online' ? `${peer.path}, ${humanDuration(peer.onlineMs)}` : peer.status;
  const roundTrip = peer.roundTripMs === undefined ? '' : `, ${peer.roundTripMs} ms`;
  const refused = peer.denied + peer.failed + peer.limited;
  return printable(
    [
      peer.publicKey,
      who,
      `${path}${roundTrip}`,
      `${peer.streams} open of ${peer.opened}`,
      `${humanBytes(peer.bytesIn)} in, ${humanBytes(peer.bytesOut)} out`,
      refused === 0 ? '' : `${peer.denied} denied, ${peer.failed} failed, ${peer.limited} over a limit`,
    ]
      .filter((part) => part !== '')
      .join('  '),
  );
}
