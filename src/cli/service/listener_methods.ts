import * as v from 'valibot';
import { type ControlMethods, method } from '../../control/server.js';
import { TunnelError } from '../../core/errors.js';
import { type IsName, printRule, readRule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule } from '../../rules/reverse_rule.js';
import type { ListenerHandle } from '../api.js';
import { peerRows } from '../output/peer_rows.js';

/** What the control socket asks of a running listener about peers and rules; the answers are those of the CLI commands. */
export interface ListenerMethodsOptions {
  readonly listener: Pick<
    ListenerHandle,
    'peers' | 'removePeer' | 'allowPeer' | 'denyPeer' | 'rules' | 'reverseRules'
  >;
  readonly isName: IsName;
  readonly wallClock: () => Date;
}

/** A key of 64 digits, or a name. */
const PeerSchema = v.object({
  peer: v.pipe(v.string('a name or a public key is expected'), v.minLength(1), v.maxLength(64)),
});
const RuleSchema = v.object({ rule: v.string('a rule is expected') });

const DEFAULT_CLOSED =
  "this was the first rule: this machine's loopback is closed now, except for what rules open";

const KEY = /^[0-9a-f]{64}$/i;

export function listenerMethods({ listener, isName, wallClock }: ListenerMethodsOptions): ControlMethods {
  const { rules, reverseRules } = listener;
  const keysOf = (peer: string): string[] => {
    if (KEY.test(peer)) return [peer.toUpperCase()];
    const name = peer.toLowerCase();
    return listener.peers().flatMap((each) => (each.name?.toLowerCase() === name ? [each.publicKey] : []));
  };
  /** Does it for all who have the name: a ticket may have let in several. */
  const forEach = async (
    peer: string,
    act: (key: string) => unknown,
    wayOut = 'see peers',
  ): Promise<{ peers: string[] }> => {
    const peers = keysOf(peer);
    if (peers.length === 0)
      throw new TunnelError('ERR_USAGE', `no peer here is called ${JSON.stringify(peer)}; ${wayOut}`);
    for (const key of peers) await act(key);
    return { peers };
  };
  const ruleList = () => ({
    rules: rules.list().map((rule) => printRule(rule, isName)),
    isDefault: rules.isDefault,
    allowReverse: reverseRules.list().map(printReverseRule),
  });
  /** Changes a book, and says so when that has closed the loopback that was open by default. */
  const change = (act: () => boolean, note?: string) => {
    const wasDefault = rules.isDefault;
    const changed = act();
    const list = ruleList();
    const notes = [note, wasDefault && !list.isDefault ? DEFAULT_CLOSED : undefined].filter(
      (each) => each !== undefined,
    );
    return { ...list, changed, ...(notes.length === 0 ? {} : { note: notes.join('; ') }) };
  };
  return {
    peers: () => ({ peers: peerRows(listener.peers(), wallClock()) }),
    'peer.remove': method(PeerSchema, ({ peer }) =>
      forEach(peer, async (key) => {
        if (!(await listener.removePeer(key)))
          throw new TunnelError('ERR_USAGE', `no peer here has the key ${key}; see peers`);
      }),
    ),
    'peer.deny': method(PeerSchema, ({ peer }) => forEach(peer, (key) => listener.denyPeer(key))),
    'peer.allow': method(PeerSchema, ({ peer }) =>
      forEach(
        peer,
        (key) => {
          if (listener.allowPeer(key)) return;
          throw new TunnelError(
            'ERR_USAGE',
            `${key} is not denied, and this only takes a denial back; to let a peer in without a ticket start the listener with --allow-peer KEY`,
          );
        },
        'one that was denied is named by its public key',
      ),
    ),
    'rule.list': ruleList,
    'rule.add': method(RuleSchema, ({ rule }) => {
      const read = readRule(rule, isName);
      return change(() => rules.add(read.rule), read.note);
    }),
    'rule.remove': method(RuleSchema, ({ rule }) => {
      const read = readRule(rule, isName);
      if (!rules.remove(read.rule)) {
        throw new TunnelError('ERR_USAGE', `there is no rule ${printRule(read.rule, isName)}; see rule list`);
      }
      return { ...ruleList(), changed: true };
    }),
    'reverse.add': method(RuleSchema, ({ rule }) => {
      const read = parseReverseRule(rule, isName);
      return change(() => reverseRules.add(read));
    }),
    'reverse.remove': method(RuleSchema, ({ rule }) => {
      const read = parseReverseRule(rule, isName);
      if (!reverseRules.remove(read)) {
        throw new TunnelError(
          'ERR_USAGE',
          `there is no rule --allow-reverse ${printReverseRule(read)}; see rule list`,
        );
      }
      return { ...ruleList(), changed: true };
    }),
  };
}
