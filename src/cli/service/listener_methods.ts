import * as v from 'valibot';
import { type ControlMethods, method } from '../../control/server.js';
import { TunnelError } from '../../core/errors.js';
import { quotedWord } from '../../core/secret_text.js';
import { isPublicKey } from '../../core/tox_network.js';
import { type IsName, printRule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule } from '../../rules/reverse_rule.js';
import { readNamedRule } from '../options/rule_values.js';
import { peerRows } from '../output/peer_rows.js';
import type { ListenerHandle } from '../process/library.js';
import type { SavedRules } from './saved_rules.js';

export interface ListenerMethodsOptions {
  readonly listener: Pick<
    ListenerHandle,
    'peers' | 'removePeer' | 'allowPeer' | 'denyPeer' | 'rules' | 'reverseRules'
  >;
  readonly isName: IsName;
  readonly wallClock: () => Date;
  /** The rules that later runs have too. */
  readonly saved: SavedRules;
  /** Whether the listener runs with `--expose none`, so that saved rules of `--expose` open nothing. */
  readonly isNone: () => boolean;
  /** Saves them. Rejects when that fails. */
  readonly save: () => Promise<void>;
}

/** A public key of 64 digits, or a name. */
const PeerSchema = v.object({
  peer: v.pipe(v.string('expected a name or a public key'), v.minLength(1), v.maxLength(64)),
});
const RuleSchema = v.object({
  rule: v.string('expected a rule'),
  // Also for later runs.
  save: v.optional(v.boolean(), false),
});

const DEFAULT_CLOSED =
  "this was the first rule: it closes this machine's loopback except for what rules open";
const SAVE_IGNORED =
  'the listener was started with --expose none: a start with that ignores saved rules, so leave it out next time';

/** Methods of the control socket of a running listener, about peers and rules. */
export function listenerMethods({
  listener,
  isName,
  wallClock,
  saved,
  isNone,
  save,
}: ListenerMethodsOptions): ControlMethods {
  const { rules, reverseRules } = listener;
  const keysOf = (peer: string): string[] => {
    if (isPublicKey(peer)) return [peer.toUpperCase()];
    const name = peer.toLowerCase();
    return listener.peers().flatMap((each) => (each.name?.toLowerCase() === name ? [each.publicKey] : []));
  };
  /** Acts on all peers with the name: a ticket may have let in several. */
  const forEach = async (
    peer: string,
    act: (key: string) => unknown,
    wayOut = 'peers lists the connected ones',
  ): Promise<{ peers: string[] }> => {
    const peers = keysOf(peer);
    if (peers.length === 0)
      throw new TunnelError('ERR_USAGE', `no peer has the name ${quotedWord(peer)}; ${wayOut}`);
    for (const key of peers) await act(key);
    return { peers };
  };
  const ruleList = () => ({
    rules: rules.list().map(printRule),
    isDefault: rules.isDefault,
    allowReverse: reverseRules.list().map(printReverseRule),
  });
  /** Changes a rule book. Adds to the given notes when that closes the loopback, which was open by default. */
  const change = (act: () => boolean, ...given: (string | undefined)[]) => {
    const wasDefault = rules.isDefault;
    const changed = act();
    const list = ruleList();
    return { ...list, changed, ...noteOf(...given, wasDefault && !list.isDefault && DEFAULT_CLOSED) };
  };
  return {
    peers: () => ({ peers: peerRows(listener.peers(), wallClock()) }),
    'peer.remove': method(PeerSchema, ({ peer }) =>
      forEach(peer, async (key) => {
        if (!(await listener.removePeer(key)))
          throw new TunnelError('ERR_USAGE', `no peer has the key ${key}; peers lists the connected ones`);
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
            `${key} is not denied, and peers allow only revokes a denial; to accept a peer without a ticket, start the listener with --allow-peer KEY`,
          );
        },
        'a denied peer has only its public key',
      ),
    ),
    'rule.list': ruleList,
    'rule.add': method(RuleSchema, async ({ rule, save: keeps }) => {
      const read = readNamedRule(rule, isName);
      const ignored = keeps && isNone() ? SAVE_IGNORED : undefined;
      const result = change(() => rules.add(read.rule), read.note, ignored);
      if (keeps) {
        saved.add('expose', printRule(read.rule));
        await save();
      }
      return result;
    }),
    'rule.remove': method(RuleSchema, async ({ rule, save: keeps }) => {
      const { rule: read } = readNamedRule(rule, isName);
      const text = printRule(read);
      const wasSaved = keeps && saved.remove('expose', text);
      if (!rules.remove(read) && !wasSaved) throw noRule(text);
      if (wasSaved) await save();
      const others = rules.stillOpening(read).map(printRule);
      const comesBack = !isNone() && saved.has('expose', text);
      return { ...ruleList(), changed: true, ...noteOf(comesBack && BACK_AGAIN, stillOpen(others)) };
    }),
    'reverse.add': method(RuleSchema, async ({ rule, save: keeps }) => {
      const read = parseReverseRule(rule, isName);
      const result = change(() => reverseRules.add(read));
      if (keeps) {
        saved.add('allowReverse', printReverseRule(read));
        await save();
      }
      return result;
    }),
    'reverse.remove': method(RuleSchema, async ({ rule, save: keeps }) => {
      const read = parseReverseRule(rule, isName);
      const text = printReverseRule(read);
      const wasSaved = keeps && saved.remove('allowReverse', text);
      if (!reverseRules.remove(read) && !wasSaved) throw noRule(`--allow-reverse ${text}`);
      if (wasSaved) await save();
      const others = reverseRules
        .stillOpening(read)
        .map((each) => `--allow-reverse ${printReverseRule(each)}`);
      const comesBack = saved.has('allowReverse', text);
      return { ...ruleList(), changed: true, ...noteOf(comesBack && BACK_AGAIN, stillOpen(others)) };
    }),
  };
}

const noRule = (text: string): TunnelError =>
  new TunnelError('ERR_USAGE', `there is no rule ${text}; rule list shows all rules`);

const BACK_AGAIN = 'it is saved, so the next start brings it back; rule remove --save removes it for good';

function stillOpen(others: readonly string[]): string | undefined {
  return others.length === 0 ? undefined : `other rules still open all or part of it: ${others.join(' ')}`;
}

function noteOf(...notes: (string | false | undefined)[]): { note?: string } {
  const given = notes.filter((note) => typeof note === 'string');
  return given.length === 0 ? {} : { note: given.join('; ') };
}
