import type { Reader } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import type { IpAddress } from '../core/ip.js';
import { AllowRules, LOOPBACK_ONLY, overlap, type TargetRules } from './allow.js';
import type { ExposeSpec } from './expose.js';
import { printRule, type Rule } from './expose.js';
import type { ReverseRule } from './reverse_rule.js';
import { opensReverse, overlapReverse, printReverseRule } from './reverse_rule.js';
import { reverseRuleObject, ruleObject } from './rule_arguments.js';

/**
 * The permission of a peer that was let in by a ticket or by its key. It stays the same object for as long as
 * that ticket or key is valid.
 */
export interface Grant {
  /** Name of the ticket or of the allowed peer. */
  readonly name: string;
  readonly kind: 'ticket' | 'peer';
  /**
   * What this grant opens, in addition to the rules for its name. Undefined: it has no such rules of its own.
   * A grant with rules of its own of either kind, even an empty list, gets none of the general rules.
   */
  readonly rules: readonly ExposeSpec[] | undefined;
  /** Bytes per second of all peers with this grant together, in each direction. Undefined: no limit. */
  readonly bytesPerSecond?: number;
  /** The ports that this grant may open, in addition to the rules for its name. Undefined: like {@link rules}. */
  readonly allowReverse?: readonly ReverseRule[] | undefined;
}

/** Maximum number of rules in one book. */
export const MAX_RULES = 1024;

/**
 * A list of rules that changes while peers are connected: general rules, and rules for one name each.
 * Removing a rule never opens anything: a name that loses its last rule keeps its own, empty list.
 */
export class NamedRules<Rule extends { readonly name?: string }> {
  /** Rules for all peers without rules of their own. */
  protected general: Rule[] = [];
  readonly #named = new Map<string, Rule[]>();
  readonly #onChange = new Set<() => void>();
  readonly #print: (rule: Rule) => string;
  protected readonly read: Reader<Rule>;
  /** See {@link batch}. */
  #isHeld = false;
  #hasNews = false;

  /**
   * @param print gives equal strings for equal rules, and different strings for different rules
   * @param read checks a rule from the program
   */
  constructor(print: (rule: Rule) => string, read: Reader<Rule>) {
    this.#print = print;
    this.read = read;
  }

  /** Returns all rules, the general ones first. */
  list(): Rule[] {
    return [...this.general, ...[...this.#named.values()].flat()];
  }

  /**
   * @returns false when the book has this rule already
   * @throws {TunnelError} ERR_LIMIT when the book is full; ERR_ARGUMENT_INVALID for anything but a rule
   */
  add(given: Rule): boolean {
    const rule = this.read(given, 'add(): rule');
    if (this.list().length >= MAX_RULES) {
      throw new TunnelError('ERR_LIMIT', `there are ${MAX_RULES} rules already; remove one first`);
    }
    const rules = this.#rulesOf(rule.name) ?? [];
    if (rule.name !== undefined) this.#named.set(rule.name, rules);
    if (this.#indexOf(rules, rule) >= 0) return false;
    rules.push(rule);
    this.changed();
    return true;
  }

  /** @returns false when the book has no such rule. @throws {TunnelError} ERR_ARGUMENT_INVALID */
  remove(given: Rule): boolean {
    const rule = this.read(given, 'remove(): rule');
    const rules = this.#rulesOf(rule.name) ?? [];
    const at = this.#indexOf(rules, rule);
    if (at < 0) return false;
    rules.splice(at, 1);
    this.changed();
    return true;
  }

  /**
   * Replaces rules by others in one step. Rules that were added by other means stay. A name that no longer has rules
   * loses its own list, and so gets the general rules, as if the book had been made with the new rules.
   *
   * @throws {TunnelError} ERR_LIMIT when the book cannot hold them; then nothing has changed
   */
  replace(old: readonly Rule[], next: readonly Rule[]): void {
    this.expectRoom(old, next);
    const { gone, news } = this.#differences(old, next);
    this.batch(() => {
      for (const rule of gone) this.remove(rule);
      for (const rule of news) this.add(rule);
      for (const { name } of gone)
        if (name !== undefined && this.#named.get(name)?.length === 0) this.forget(name);
    });
  }

  /** Throws what {@link replace} would throw. */
  expectRoom(old: readonly Rule[], next: readonly Rule[]): void {
    const { gone, news } = this.#differences(old, next);
    if (this.list().length - gone.length + news.length > MAX_RULES)
      throw new TunnelError('ERR_LIMIT', `there would be more than ${MAX_RULES} rules; remove some`);
  }

  /** Reports all changes that `act` makes as one, when it is done. */
  batch(act: () => void): void {
    if (this.#isHeld) {
      act();
      return;
    }
    this.#isHeld = true;
    try {
      act();
    } finally {
      this.#isHeld = false;
      if (this.#hasNews) this.changed();
    }
  }

  /** Removes the rules for names that no longer exist, because another peer or ticket may get such a name. */
  keep(isName: (name: string) => boolean): void {
    for (const name of [...this.#named.keys()]) if (!isName(name)) this.forget(name);
  }

  /** Removes all rules for a name. Afterwards the name no longer has its own list. */
  forget(name: string): void {
    if (this.#named.delete(name)) this.changed();
  }

  /** Calls `handler` after each change. @returns a function that unregisters it */
  onChange(handler: () => void): () => void {
    this.#onChange.add(handler);
    return () => this.#onChange.delete(handler);
  }

  /** @returns undefined for a name that never had a rule in this book */
  protected of(name: string): readonly Rule[] | undefined {
    return this.#named.get(name);
  }

  protected changed(): void {
    this.#hasNews = this.#isHeld;
    if (this.#isHeld) return;
    for (const handler of this.#onChange) handler();
  }

  #differences(old: readonly Rule[], next: readonly Rule[]): { gone: Rule[]; news: Rule[] } {
    const before = new Set(old.map(this.#print));
    const after = new Set(next.map(this.#print));
    return {
      gone: old.filter((rule) => !after.has(this.#print(rule))),
      news: next.filter((rule) => !before.has(this.#print(rule))),
    };
  }

  #rulesOf(name: string | undefined): Rule[] | undefined {
    return name === undefined ? this.general : this.#named.get(name);
  }

  #indexOf(rules: readonly Rule[], rule: Rule): number {
    const text = this.#print(rule);
    return rules.findIndex((each) => this.#print(each) === text);
  }
}

/**
 * The rules about what peers may reach. A peer whose ticket or name has rules of its own gets only those; other
 * peers get the general rules. Without any rule, nothing is open.
 */
export class RuleBook extends NamedRules<Rule> {
  #isDefault: boolean;

  /**
   * @param opensLoopback whether peers without rules of their own may also reach every port of this machine's
   *   loopback, until the first change
   */
  constructor(rules: readonly Rule[] = [], opensLoopback = false) {
    super(printRule, ruleObject());
    for (const rule of rules) this.add(rule);
    this.#isDefault = opensLoopback;
    if (opensLoopback) this.general.push(LOOPBACK_ONLY);
  }

  /** True while all of the loopback is open because no rule has been added or removed yet. */
  get isDefault(): boolean {
    return this.#isDefault;
  }

  /**
   * Ends {@link isDefault}: closes the loopback unless a rule opens it. The first change to any rule does the
   * same.
   */
  closeDefault(): void {
    if (this.#dropDefault()) this.changed();
  }

  override add(given: Rule): boolean {
    // Before anything changes.
    const rule = this.read(given, 'add(): rule');
    // Report the change after the rule is added, so that connections that the rule allows stay open.
    const dropped = this.#dropDefault();
    try {
      return super.add(rule);
    } finally {
      if (dropped) this.changed();
    }
  }

  override remove(rule: Rule): boolean {
    const wasThere = super.remove(rule);
    if (wasThere) this.closeDefault();
    return wasThere;
  }

  /** Returns the rules that open part of what `removed` opened, to the same peers. */
  stillOpening(removed: Rule): Rule[] {
    return this.list().filter((rule) => rule.name === removed.name && overlap(rule, removed));
  }

  /** Whether this book has rules for this grant only, so that none of the general rules applies to it. */
  hasOwnRules(grant: Grant): boolean {
    return grant.rules !== undefined || this.of(grant.name) !== undefined;
  }

  /**
   * Returns the rules of one peer. They always answer from the current state of the book.
   *
   * @param grantOf returns the peer's current grant
   * @param hasOtherRules whether the book of reverse rules has rules for that grant only
   */
  rulesFor(
    grantOf: () => Grant | undefined,
    hasOtherRules: (grant: Grant) => boolean = () => false,
  ): TargetRules {
    const now = (): AllowRules => this.#now(grantOf(), hasOtherRules);
    // Whole lists of arguments: the compiler would accept a function that leaves some out.
    return {
      mayPermit: (...asked) => now().mayPermit(...asked),
      mayTell: (...asked) => now().mayTell(...asked),
      permits: (...asked) => now().permits(...asked),
      permitsPath: (...asked) => now().permitsPath(...asked),
      permitsName: (...asked) => now().permitsName(...asked),
    };
  }

  #now(grant: Grant | undefined, hasOtherRules: (grant: Grant) => boolean): AllowRules {
    if (grant === undefined || !(this.hasOwnRules(grant) || hasOtherRules(grant)))
      return new AllowRules(this.general);
    return new AllowRules([...(grant.rules ?? []), ...(this.of(grant.name) ?? [])]);
  }

  #dropDefault(): boolean {
    if (!this.#isDefault) return false;
    this.#isDefault = false;
    this.general = this.general.filter((rule) => rule !== LOOPBACK_ONLY);
    return true;
  }
}

/** Decides whether a peer may open a port. Checked at every request. */
export interface ReverseRules {
  permitsListen(bind: IpAddress, port: number): boolean;
}

/**
 * The rules about the ports that peers may open on this machine. Without any rule, peers may open none. A peer whose
 * name or ticket has rules of its own, in this book or in the {@link RuleBook}, gets none of the general rules.
 */
export class ReverseBook extends NamedRules<ReverseRule> {
  constructor(rules: readonly ReverseRule[] = []) {
    super(printReverseRule, reverseRuleObject());
    for (const rule of rules) this.add(rule);
  }

  /**
   * Returns the rules of one peer. They always answer from the current state of the book.
   *
   * @param grantOf returns the peer's current grant
   * @param hasOtherRules whether the {@link RuleBook} has rules for that grant only
   */
  rulesFor(grantOf: () => Grant | undefined, hasOtherRules: (grant: Grant) => boolean): ReverseRules {
    return {
      permitsListen: (bind, port) =>
        this.#now(grantOf(), hasOtherRules).some((rule) => opensReverse(rule, bind, port)),
    };
  }

  /** Returns the rules that let the same peers open some of the ports of `removed`. */
  stillOpening(removed: ReverseRule): ReverseRule[] {
    return this.list().filter((rule) => rule.name === removed.name && overlapReverse(rule, removed));
  }

  /** Whether this book has rules for this grant only, so that none of the general rules applies to it. */
  hasOwnRules(grant: Grant): boolean {
    return grant.allowReverse !== undefined || this.of(grant.name) !== undefined;
  }

  #now(grant: Grant | undefined, hasOtherRules: (grant: Grant) => boolean): readonly ReverseRule[] {
    if (grant === undefined || !(this.hasOwnRules(grant) || hasOtherRules(grant))) return this.general;
    return [...(grant.allowReverse ?? []), ...(this.of(grant.name) ?? [])];
  }
}
