import * as v from 'valibot';
import { callListener } from '../../control/client.js';
import { type Context, defineCommand } from '../command.js';
import { output, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { usage } from '../options/usage.js';
import { PeerSchema, peerRow } from '../output/peer_rows.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';

interface PeersFlags extends OutputFlags {
  readonly state?: string;
}

export const peers = defineCommand<PeersFlags>({
  name: 'peers',
  group: 'Running',
  summary: 'List, disconnect, deny or allow peers of the listener',
  arguments: {
    '[ACTION]': 'allow, deny or remove; default: list the peers',
    '[PEER]': 'name, or public key of 64 digits',
  },
  options: [stateFolder(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel peers                      list the connected peers and their paths
  $ tox-wasm-tunnel peers --json
  $ tox-wasm-tunnel peers remove KEY           disconnect it; it may come back
  $ tox-wasm-tunnel peers deny KEY             disconnect it, and reject it from now on`,
  run: (context, { words: [action, peer], flags }) => runPeers(context, action, peer, flags),
});

const ACTIONS = ['allow', 'deny', 'remove'];

const PeersSchema = v.object({ peers: v.array(PeerSchema) });
const ChangedSchema = v.object({ peers: v.array(v.string()) });

async function runPeers(
  { io, reporter }: Context,
  action: string | undefined,
  peer: string | undefined,
  { state }: PeersFlags,
): Promise<ExitCode> {
  if (action !== undefined && (!ACTIONS.includes(action) || peer === undefined))
    throw usage('peers takes no argument, or allow, deny or remove with a name or public key');
  const folder = state ?? (await io.stateFolder());
  if (action === undefined) {
    const answer = v.parse(PeersSchema, await callListener(folder, 'peers', {}, io.timers));
    reporter.event({ event: 'peers', peers: answer.peers });
    const rows = answer.peers.map((each) => peerRow(each));
    reporter.result(rows.length === 0 ? 'no peer is connected' : rows.join('\n'));
    return EXIT.ok;
  }
  const method = `peer.${action}`;
  const changed = v.parse(ChangedSchema, await callListener(folder, method, { peer }, io.timers));
  reporter.event({ event: 'changed', what: method, items: changed.peers });
  return EXIT.ok;
}
