import * as v from 'valibot';
import { callListener } from '../../control/client.js';
import { looksLikeName } from '../../core/host.js';
import { quotedWord } from '../../core/secret_text.js';
import { isPublicKey } from '../../core/tox_network.js';
import { type Context, defineCommand } from '../command.js';
import { actionOf } from '../options/action.js';
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
  stateOf: ['listen'],
  arguments: {
    '[ACTION]': 'allow, deny or remove; rm is short for remove; default: list the peers',
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

const PeersSchema = v.object({ peers: v.array(PeerSchema) });
const ChangedSchema = v.object({ peers: v.array(v.string()) });

/** Rejects what is neither a public key nor a name, before the listener is asked. */
function expectPeer(action: string, peer: string | undefined): void {
  const form = `give a name, for example laptop, or a public key of 64 hexadecimal digits`;
  if (peer === undefined) throw usage(`peers ${action} needs a peer: ${form}`);
  if (isPublicKey(peer)) return;
  if (/^[0-9a-f]{76}$/i.test(peer)) throw usage('PEER is a Tox ID; give its first 64 digits, the public key');
  if (!looksLikeName(peer))
    throw usage(`PEER ${quotedWord(peer)} is neither a name nor a public key; ${form}`);
}

async function runPeers(
  { io, reporter }: Context,
  word: string | undefined,
  peer: string | undefined,
  { state }: PeersFlags,
): Promise<ExitCode> {
  const action = word === undefined ? undefined : actionOf('peers', ['allow', 'deny', 'remove'], word);
  if (action !== undefined) expectPeer(action, peer);
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
