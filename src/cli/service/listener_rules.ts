import type { AccessState } from '../../access/access_state.js';
import { type AllowedPeer, parseAllowedPeer, parsePeerKey } from '../../access/peer_key.js';
import { type IsName, printRule, type Rule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { exposedBy } from '../options/flags.js';
import { readValue, readValues } from '../options/named_value.js';
import { expectReverseRules, expectRules, readNamedRule } from '../options/rule_values.js';
import { printable } from '../output/human.js';
import type { Reporter } from '../output/reporter.js';
import type { ListenerHandle } from '../process/library.js';
import { KnownNames } from './known_names.js';
import { SavedRules } from './saved_rules.js';

/** The options that say who may reach what. */
export interface RuleFlags {
  readonly expose?: readonly string[];
  readonly allowReverse?: readonly string[];
  readonly allowPeer?: readonly string[];
  readonly denyPeer?: readonly string[];
}

/** Names of the options of {@link RuleFlags}. */
export const RULE_FLAGS: readonly (keyof RuleFlags)[] = ['expose', 'allowReverse', 'allowPeer', 'denyPeer'];

/** What the options say. */
interface Written {
  readonly expose: readonly string[];
  readonly reverse: readonly string[];
  /** No rule is given. */
  readonly isDefault: boolean;
  /** `--expose none`: no saved rule opens anything either. */
  readonly isNone: boolean;
  readonly allowPeers: readonly AllowedPeer[];
  readonly denyPeers: readonly Uint8Array[];
}

interface BothRules {
  readonly rules: readonly Rule[];
  readonly reverseRules: readonly ReverseRule[];
}

/** What the texts of {@link Written} mean, as long as the names of tickets and peers stay the same. */
interface Meaning extends BothRules {
  /** The rules of the options that apply, as they were written, by a string that is equal for equal rules. */
  readonly given: ReadonlyMap<string, string>;
  /** Warnings about rules whose name is gone. */
  readonly gone: readonly string[];
}

/**
 * Who may reach what at a listener: the rules and peers of its options, which a reload replaces, and the rules that
 * `rule add --save` kept. They are added to what tickets open.
 */
export class ListenerRules {
  readonly #reporter: Reporter;
  #flags: RuleFlags;
  #written: Written;
  #meaning: Meaning = { rules: [], reverseRules: [], given: new Map(), gone: [] };
  #saved = new SavedRules(undefined);
  #known = new KnownNames(undefined);
  /** A reload applies everything together, so what it changes on the way is no reason to apply rules. */
  #isReloading = false;

  /**
   * @param reporter is told about rules that open nothing, and about ambiguous ones
   * @throws {TunnelError} for mistakes that show without the names of tickets
   */
  constructor(reporter: Reporter, flags: RuleFlags) {
    this.#reporter = reporter;
    this.#flags = flags;
    this.#written = writtenIn(flags);
  }

  /** Whether no option gives a rule, so that the whole loopback is open unless rules were ever saved. */
  get isDefault(): boolean {
    return this.#written.isDefault;
  }

  /** Whether the listener runs with `--expose none`. */
  get isNone(): boolean {
    return this.#written.isNone;
  }

  get saved(): SavedRules {
    return this.#saved;
  }

  /** The saved rules that apply, as options. */
  get savedTexts(): string[] {
    return [
      ...(this.isNone ? [] : this.#saved.texts('expose')),
      ...this.#saved.texts('allowReverse').map((text) => `--allow-reverse ${text}`),
    ];
  }

  /**
   * Reads what an earlier run saved, and returns what the listener starts with.
   *
   * @param state what {@link stateWith} returned
   * @param access the tickets and peers in it
   * @throws {TunnelError} ERR_STATE_INVALID; ERR_SPEC_INVALID or ERR_USAGE for a rule of an option
   */
  open(state: unknown, { tickets, peers }: AccessState) {
    const { allowPeers, denyPeers } = this.#written;
    this.#saved = new SavedRules(state);
    this.#known = new KnownNames(state);
    for (const owners of [tickets, peers, allowPeers]) this.#known.learn(owners);
    const isName = nameIn(allowPeers, tickets, peers);
    const { notes, ...meaning } = readBoth(this.#written, isName, this.#known);
    this.#tell([...notes, ...meaning.gone]);
    const { forgotten, ...saved } = this.#saved.read(isName);
    this.#tell([
      ...forgotten.map(
        (text) => `The saved rule ${text} is dropped: no ticket and no peer has its name any more.`,
      ),
      ...this.#ignored(),
    ]);
    this.#meaning = withSaved(this.#written, meaning, saved);
    return {
      allowPeers,
      denyPeers,
      expose: this.isDefault && !this.#saved.isKnown ? ('loopback' as const) : this.#meaning.rules,
      allowReverse: this.#meaning.reverseRules,
    };
  }

  /** Follows the names of tickets and peers: a rule for a name applies while one of them has it. */
  follow(listener: ListenerHandle): void {
    const { access } = listener;
    const isName = (name: string): boolean => access.isName(name);
    access
      .on('revoked', () => this.#saved.read(isName))
      .on('admission', () => {
        if (this.#isReloading) return;
        this.#known.learn(access.tickets());
        const { notes: _, ...meaning } = readBoth(this.#written, isName, this.#known);
        this.#tell(meaning.gone.filter((line) => !this.#meaning.gone.includes(line)));
        this.#apply(listener, this.#written, withSaved(this.#written, meaning, this.#saved.read(isName)));
      });
  }

  /** What to save. */
  stateWith({ access }: ListenerHandle): object {
    // Before another ticket can get the name of one that is revoked: the file must not give it the old rules.
    this.#saved.read((name) => access.isName(name));
    this.#known.learn(access.tickets());
    this.#known.learn(access.state.peers);
    return { ...access.state, ...this.#saved.state, ...this.#known.state };
  }

  /**
   * Applies options that were read again.
   *
   * @returns what has changed, for people
   * @throws {TunnelError} before it has changed anything
   */
  reload(listener: ListenerHandle, flags: RuleFlags): string[] {
    const { access, rules, reverseRules } = listener;
    const written = writtenIn(flags);
    this.#known.learn(written.allowPeers);
    const isName = nameIn(written.allowPeers, access.tickets(), access.state.peers);
    const { notes, ...read } = readBoth(written, isName, this.#known);
    const before = { flags: this.#flags, given: this.#meaning.given, isDefault: this.isDefault };
    try {
      this.#isReloading = true;
      const meaning = withSaved(
        written,
        read,
        this.#saved.read((name) => access.isName(name)),
      );
      rules.expectRoom(this.#meaning.rules, meaning.rules);
      reverseRules.expectRoom(this.#meaning.reverseRules, meaning.reverseRules);
      access.configure(written);
      this.#apply(listener, written, meaning);
    } finally {
      this.#isReloading = false;
    }
    this.#flags = flags;
    // Keep the names of peers that the configuration may no longer have at the next start.
    listener.emit('access');
    this.#tell([...notes, ...read.gone, ...this.#ignored()]);
    const isEmptied = rules.list().length === 0 && this.isDefault && !rules.isDefault && !before.isDefault;
    return [
      ...changesOf(before.given, this.#meaning.given),
      ...changesOf(
        asOptions('--allow-peer', before.flags.allowPeer),
        asOptions('--allow-peer', flags.allowPeer),
      ),
      ...changesOf(asOptions('--deny-peer', before.flags.denyPeer), asOptions('--deny-peer', flags.denyPeer)),
      ...(isEmptied ? ['no rule is left, so nothing is open; only a restart opens the whole loopback'] : []),
    ];
  }

  #apply({ rules, reverseRules }: ListenerHandle, written: Written, meaning: Meaning): void {
    // Together: rules of either kind decide whether a peer has rules of its own.
    rules.batch(() => {
      reverseRules.batch(() => {
        rules.replace(this.#meaning.rules, meaning.rules);
        reverseRules.replace(this.#meaning.reverseRules, meaning.reverseRules);
        if (!written.isDefault || this.#saved.isKnown) rules.closeDefault();
      });
    });
    this.#written = written;
    this.#meaning = meaning;
  }

  /** Returns a warning about saved rules that open nothing. */
  #ignored(): string[] {
    const ignored = this.isNone ? this.#saved.texts('expose') : [];
    if (ignored.length === 0) return [];
    return [
      `Because of --expose none, the rules saved with rule add --save open nothing: ${ignored.join(' ')}; rule remove --save removes them for good.`,
    ];
  }

  #tell(lines: readonly string[]): void {
    for (const line of lines) this.#reporter.people(printable(line));
  }
}

function writtenIn(flags: RuleFlags): Written {
  const exposed = exposedBy(flags.expose);
  expectRules('--expose', exposed);
  expectReverseRules(flags.allowReverse);
  return {
    expose: exposed ?? [],
    reverse: flags.allowReverse ?? [],
    isDefault: exposed === undefined && flags.allowReverse === undefined,
    isNone: exposed?.length === 0,
    allowPeers: readValues('--allow-peer', flags.allowPeer, parseAllowedPeer),
    denyPeers: readValues('--deny-peer', flags.denyPeer, parsePeerKey),
  };
}

interface Named {
  readonly name?: string | undefined;
}

function nameIn(...owners: (readonly Named[])[]): IsName {
  const names = new Set(owners.flat().map(({ name }) => name));
  return (name) => names.has(name);
}

/**
 * Parses `--expose` and `--allow-reverse`, whose rules may name peers and tickets. Leaves out the rules for names that
 * are gone.
 *
 * @returns `notes`: about ambiguous rules
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for a name that never existed
 */
function readBoth(
  { expose, reverse }: Pick<Written, 'expose' | 'reverse'>,
  isName: IsName,
  known: KnownNames,
): Meaning & { readonly notes: readonly string[] } {
  const given = new Map<string, string>();
  const gone: string[] = [];
  const notes: string[] = [];
  const readAll = <Read>(
    option: string,
    texts: readonly string[],
    read: (text: string, isName: IsName) => Read,
  ): Read[] =>
    texts.flatMap((text) => {
      const [word = '', ...rest] = text.toLowerCase().split(':');
      const isGone = rest.length > 0 && known.has(word) && !isName(word);
      const rule = readValue(option, text, (each) =>
        read(each, (name) => isName(name) || (isGone && name === word)),
      );
      if (!isGone) return [rule];
      gone.push(
        `Warning: ${option} ${text} opens nothing, because ${word} is no longer a ticket or an allowed peer; remove the rule, or for the host of that name write ${word}.:PORT`,
      );
      return [];
    });
  const rules = readAll('--expose', expose, (text, isKnown) => {
    const { rule, note } = readNamedRule(text, isKnown);
    if (note !== undefined && rule.name !== undefined && isName(rule.name)) notes.push(note);
    return { rule, text };
  });
  const reverseRules = readAll('--allow-reverse', reverse, (text, isKnown) => ({
    rule: parseReverseRule(text, isKnown),
    text,
  }));
  for (const { rule, text } of rules) given.set(`--expose ${printRule(rule)}`, text);
  for (const { rule, text } of reverseRules)
    given.set(`--allow-reverse ${printReverseRule(rule)}`, `--allow-reverse ${text}`);
  return {
    rules: rules.map(({ rule }) => rule),
    reverseRules: reverseRules.map(({ rule }) => rule),
    given,
    gone,
    notes,
  };
}

const withSaved = ({ isNone }: Written, meaning: Meaning, saved: BothRules): Meaning => ({
  ...meaning,
  rules: isNone ? meaning.rules : [...meaning.rules, ...saved.rules],
  reverseRules: [...meaning.reverseRules, ...saved.reverseRules],
});

/** @param before strings to show, by a string that is equal for equal values */
function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const added = [...after].filter(([key]) => !before.has(key)).map(([, text]) => `added ${text}`);
  const removed = [...before].filter(([key]) => !after.has(key)).map(([, text]) => `removed ${text}`);
  return [...added, ...removed];
}

const asOptions = (option: string, values: readonly string[] = []): Map<string, string> =>
  new Map(values.map((value) => [value, `${option} ${value}`]));
