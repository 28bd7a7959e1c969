import * as v from 'valibot';
import { usage } from '../options/flags.js';
import { PeerSchema, peerRow } from '../output/peer_rows.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { Context } from '../service/serve.js';
import { type AskFlags, ask } from './ask.js';

const ACTIONS = ['allow', 'deny', 'remove'];

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
    reporter.result(
      peers.length === 0 ? 'nobody is connected' : peers.map((each) => peerRow(each)).join('\n'),
    );
    return EXIT.ok;
  }
  if (!ACTIONS.includes(action) || peer === undefined) {
    throw usage('peers takes nothing, or allow, deny or remove and a name or public key');
  }
  const { peers } = v.parse(ChangedSchema, await ask(context, flags, `peer.${action}`, { peer }));
  reporter.event({ event: 'changed', what: `peer.${action}`, items: peers });
  return EXIT.ok;
}
