import { parseName } from '../../src/access/name.js';
import { parseAllowedPeer, parsePeerKey } from '../../src/access/peer_key.js';
import { AccessPolicy } from '../../src/access/policy.js';
import { helloProof } from '../../src/access/proof.js';
import { formatTicket } from '../../src/access/ticket.js';
import { listenerMethods } from '../../src/cli/service/listener_methods.js';
import { SavedRules } from '../../src/cli/service/saved_rules.js';
import { ticketMethods } from '../../src/cli/service/ticket_methods.js';
import { answerLine, parseQuestion, questionLine } from '../../src/control/protocol.js';
import { SAME_PROCESS } from '../../src/control/server.js';
import { TunnelError } from '../../src/core/errors.js';
import { formatToxId, makeToxId, upperHex } from '../../src/network/tox_id.js';
import { readRule } from '../../src/rules/expose.js';
import { ReverseBook, RuleBook } from '../../src/rules/rule_book.js';
import { publicKeyOf } from '../../src/state/identity.js';
import {
  parseStateFile,
  readStateText,
  sealedText,
  sealLabel,
  textToSeal,
} from '../../src/state/identity_file.js';
import { seal, sealKeyOf } from '../../src/state/sealed.js';
import { SPEC_PIECES } from './fuzz_forward.js';
import { bytesTarget, type FuzzTarget, refusing, same, textTarget, type Verdict } from './fuzz_target.js';
import { JSON_PIECES } from './fuzz_text.js';

const of = (byte: number, bytes = 32): Uint8Array => new Uint8Array(bytes).fill(byte);
const KEY = '77'.repeat(32);
const NOW_MS = 1000;

function policy(): AccessPolicy {
  return new AccessPolicy({
    state: {
      tickets: [
        { name: 'default', secret: '0A'.repeat(32) },
        { name: 'old', secret: '0B'.repeat(32), expiresAtMs: 1 },
      ],
      peers: [{ name: 'laptop', publicKey: KEY }],
      denied: [],
    },
    wallMs: () => NOW_MS,
    newSecret: () => of(12),
  });
}

/** Fuzzes the proof field of a hello from a stranger: only ticket holders may get in. */
function helloTarget(): FuzzTarget {
  const access = policy();
  const keys = { connector: of(2), listener: of(3) };
  const sessions = { connector: of(4, 16), listener: of(5, 16), binding: of(6) };
  const [genuine, expired, forged] = [10, 11, 9].map((secret) => helloProof(of(secret), keys, sessions));
  return bytesTarget('hello proof', 1, [genuine!, expired!, forged!], 100, (input) => {
    const verdict = access.hello(input, keys, sessions, false);
    if (verdict.kind === 'welcome') same('a proof that nobody made', genuine, input);
    return verdict.kind === 'welcome' ? 'accepted' : 'refused';
  });
}

function peerTarget(): FuzzTarget {
  const toxId = formatToxId(makeToxId(of(7), of(1, 4)));
  const isName = (name: string): boolean =>
    refusing(['ERR_USAGE'], () => same('name', parseName(name), name)) === 'accepted';
  return textTarget(
    'peer key',
    1,
    [KEY, toxId, `laptop=${KEY}`, `b-2=${toxId}`],
    ['=', ' ', '==', KEY, 'all', 'É', '\n', '-'],
    (text) =>
      refusing(['ERR_ADDRESS_INVALID', 'ERR_USAGE'], () => {
        const { name, publicKey } = parseAllowedPeer(text);
        if (publicKey.length !== 32) throw new Error(`a key of ${publicKey.length} bytes`);
        if (name !== undefined && !isName(name)) throw new Error(`an invalid name: ${name}`);
        const digits = upperHex(publicKey);
        same('key', parsePeerKey(digits), publicKey);
        const again = name === undefined ? digits : `${name}=${digits}`;
        same('peer', parseAllowedPeer(again), { ...(name === undefined ? {} : { name }), publicKey });
      }),
  );
}

/** The control methods of a listener without a network. */
function methods() {
  const access = policy();
  const listener = {
    peers: () => [],
    removePeer: async () => false,
    denyPeer: async (key: string) => {
      access.deny(parsePeerKey(key));
      return true;
    },
    allowPeer: (key: string) => access.undeny(parsePeerKey(key)),
    rules: new RuleBook(),
    reverseRules: new ReverseBook(),
  };
  const toxId = makeToxId(of(7), of(1, 4));
  const ticketOf = (name: string): string | undefined => {
    const secret = access.secretOf(name);
    return secret && formatTicket({ toxId, secret });
  };
  return {
    ...listenerMethods({
      listener,
      isName: (name) => access.isName(name),
      wallClock: () => new Date(NOW_MS),
      saved: new SavedRules(undefined),
      isNone: () => false,
      save: async () => {},
    }),
    ...ticketMethods({ access, ticketOf, warningOf: () => undefined }, async () => {}),
  };
}

const QUESTIONS: readonly (readonly [method: string, params: object])[] = [
  ['peers', {}],
  ['peer.remove', { peer: 'laptop' }],
  ['peer.deny', { peer: KEY }],
  ['peer.allow', { peer: KEY }],
  ['ticket.show', {}],
  ['ticket.list', {}],
  ['ticket.new', { name: 'ci', expiresAtMs: 2000, uses: 2, rules: ['localhost:22', '10.0.0.0/8:80'] }],
  ['ticket.new', { name: 'open', allowReverse: ['8080', '*:1-2'] }],
  ['ticket.rotate', { name: 'ci' }],
  ['ticket.revoke', { name: 'ci' }],
  ['rule.add', { rule: 'ci:80', save: true }],
  ['rule.remove', { rule: 'ci:80', save: true }],
  ['rule.list', {}],
  ['rule.add', { rule: 'laptop:10.0.0.0/24:80,443' }],
  ['rule.remove', { rule: '22' }],
  ['reverse.add', { rule: 'laptop:[::1]:8000-8010' }],
  ['reverse.remove', { rule: '*:*' }],
];

/** Asks every question that is well-formed enough; each must get an answer of one line. */
function questionTarget(): FuzzTarget {
  let asked = methods();
  let questions = 0;
  const run = async (text: string): Promise<Verdict> => {
    if (questions++ % 64 === 0) asked = methods();
    try {
      const { method, params } = parseQuestion(text);
      const ask = Object.hasOwn(asked, method) ? asked[method] : undefined;
      if (ask === undefined) return 'refused';
      const line = answerLine(await ask(params, SAME_PROCESS));
      if (line.indexOf('\n') !== line.length - 1) throw new Error(`an answer of two lines: ${line}`);
      return 'accepted';
    } catch (error) {
      if (TunnelError.is(error)) return 'refused';
      throw error;
    }
  };
  const seeds = QUESTIONS.map(([method, params]) => questionLine({ method, params }).trimEnd());
  const words = [...QUESTIONS.map(([method]) => `"${method}"`), '"name"', '"peer"', '"rules"', '"rule"'];
  return textTarget('control question', 0.5, seeds, [...words, ...JSON_PIECES, ...SPEC_PIECES], run);
}

/** How much a hostile file may cost here, in KiB of memory times passes; the minimum is 8. */
const MAX_WORK = 64;
const CHEAP = { kdf: 'argon2id', memoryKiB: 8, passes: 1, lanes: 1 } as const;

async function sealedTarget(): Promise<FuzzTarget> {
  const passphrase = of(0x61, 8);
  const secretKey = of(5);
  const state = { identity: { secretKey, nospam: of(0, 4) }, access: undefined };
  const parameters = { ...CHEAP, salt: Buffer.alloc(16).toString('base64') };
  const sealed = await seal(
    await sealKeyOf(passphrase, parameters),
    textToSeal(state),
    sealLabel('listener'),
  );
  const run = async (text: string): Promise<Verdict> => {
    try {
      const file = parseStateFile(text, 'listener');
      if (file.kind === 'sealed' && file.sealed.memoryKiB * file.sealed.passes > MAX_WORK) return 'refused';
    } catch {
      // Rejected again below, with the error that users see.
    }
    try {
      const read = await readStateText(text, 'listener.json', { role: 'listener', passphrase });
      same('the sealed content', publicKeyOf(read.state.identity.secretKey), publicKeyOf(secretKey));
      return 'accepted';
    } catch (error) {
      if (TunnelError.is(error)) return 'refused';
      throw error;
    }
  };
  return textTarget(
    'sealed file',
    0.05,
    [sealedText('listener', sealed)],
    [...JSON_PIECES, 'A', '=', '"passes": 2'],
    run,
  );
}

/** The rules and names of tickets, as they come out of a file or a question. */
function namedRuleTarget(): FuzzTarget {
  return textTarget('rules of a book', 1, ['22', '*:*', '10.0.0.0/8:1-9'], SPEC_PIECES, (text) =>
    refusing(['ERR_SPEC_INVALID', 'ERR_USAGE'], () => {
      const book = new RuleBook([]);
      const { rule } = readRule(text, () => false);
      book.add(rule);
      if (book.add(rule)) throw new Error('a rule that exists was added again');
      if (!book.remove(rule) || book.list().length !== 0) throw new Error('a rule cannot be removed');
    }),
  );
}

/** The targets for admission, rules, and the files that keep them. */
export async function accessTargets(): Promise<FuzzTarget[]> {
  return [helloTarget(), peerTarget(), questionTarget(), namedRuleTarget(), await sealedTarget()];
}
