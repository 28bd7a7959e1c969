import { TunnelError } from '../core/errors.js';
import type { Host } from '../core/host.js';
import type { IpAddress } from '../core/ip.js';
import { AllowRules, LOOPBACK_ONLY, type TargetRules } from './allow.js';
import type { ExposeSpec, Protocol } from './expose.js';
import { printRule, type Rule } from './expose.js';
import type { ReverseRule } from './reverse_rule.js';
import { opensReverse, printReverseRule } from './reverse_rule.js';

/** What a peer has once it was let in. The same object as long as what let it in is in force. */
export interface Grant {
  /** Of the ticket, or of the allowed peer. */
  readonly name: string;
  readonly kind: 'ticket' | 'peer';
  /**
   * What this alone may reach, beside rules for its name. With rules of its own of either kind, even empty ones, none
   * of the general rules counts for it. Undefined: no rules of its own.
   */
  readonly rules: readonly ExposeSpec[] | undefined;
  /** Where this alone may have ports opened, beside rules for its name; otherwise as {@link rules}. */
  readonly allowReverse?: readonly ReverseRule[] | undefined;
}

/** Rules in one book; far more than anybody keeps an overview of. */
export const MAX_RULES = 1024;

/**
 * Rules for all, and rules for one name each, changed while peers are connected. To take a rule away never
 * opens anything: a name that lost its last rule keeps having rules of its own, which are none.
 */
export class NamedRules<Rule extends { readonly name?: string }> {
  /** For all that have no rules of their own. */
  protected general: Rule[] = [];
  readonly #named = new Map<string, Rule[]>();
  readonly #onChange = new Set<() => void>();
  readonly #print: (rule: Rule) => string;

  /** @param print the same text for the same rule, and for no other */
  constructor(print: (rule: Rule) => string) {
    this.#print = print;
  }

  /** The general ones first. */
  list(): Rule[] {
    return [...this.general, ...[...this.#named.values()].flat()];
  }

  /**
   * @returns false when it is there already
   * @throws {TunnelError} ERR_LIMIT
   */
  add(rule: Rule): boolean {
    if (this.list().length >= MAX_RULES) {
      throw new TunnelError('ERR_LIMIT', `${MAX_RULES} rules are there; remove one first`);
    }
    const rules = this.#rulesOf(rule.name) ?? [];
    if (rule.name !== undefined) this.#named.set(rule.name, rules);
    if (this.#indexOf(rules, rule) >= 0) return false;
    rules.push(rule);
    this.changed();
    return true;
  }

  /** @returns false when there is no such rule */
  remove(rule: Rule): boolean {
    const rules = this.#rulesOf(rule.name) ?? [];
    const at = this.#indexOf(rules, rule);
    if (at < 0) return false;
    rules.splice(at, 1);
    this.changed();
    return true;
  }

  /** Takes away all that was told about names that nobody has any more, as another may get them. */
  keep(isName: (name: string) => boolean): void {
    for (const name of [...this.#named.keys()]) if (!isName(name)) this.forget(name);
  }

  /** Takes away all that was told about a name. */
  forget(name: string): void {
    if (this.#named.delete(name)) this.changed();
  }

  /** Calls `handler` after each change, until the answer is called. */
  onChange(handler: () => void): () => void {
    this.#onChange.add(handler);
    return () => this.#onChange.delete(handler);
  }

  /** @returns undefined for a name that never had a rule here */
  protected of(name: string): readonly Rule[] | undefined {
    return this.#named.get(name);
  }

  protected changed(): void {
    for (const handler of this.#onChange) handler();
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
 * What peers may reach, changed while they are connected. A peer whose ticket or name has rules of its
 * own has those alone; others have the general ones. Without any rule, nothing is open.
 *
 * Removing a rule never opens anything: a name that lost its last rule reaches nothing, rather
 * than what the general rules open.
 */
export class RuleBook extends NamedRules<Rule> {
  #isDefault: boolean;

  /**
   * @param opensLoopback whether peers without rules of their own may also reach all of this
   *   machine's loopback, until the first change
   */
  constructor(rules: readonly Rule[] = [], opensLoopback = false) {
    super((rule) => printRule(rule));
    for (const rule of rules) this.add(rule);
    this.#isDefault = opensLoopback;
    if (opensLoopback) this.general.push(LOOPBACK_ONLY);
  }

  /** True while all of the loopback is open because no rule has been added or removed yet. */
  get isDefault(): boolean {
    return this.#isDefault;
  }

  /** Closes the loopback unless a rule opens it. The first change of any rule does the same. */
  closeDefault(): void {
    if (this.#dropDefault()) this.changed();
  }

  override add(rule: Rule): boolean {
    // Listeners hear of it after the rule is there: connections that the rule allows stay open.
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

  /** Whether this book has rules for this peer alone, so that no general rule counts for it. */
  hasOwnRules(grant: Grant): boolean {
    return grant.rules !== undefined || this.of(grant.name) !== undefined;
  }

  /**
   * Returns what one peer may reach. Each question is answered by the rules of that moment.
   *
   * @param grantOf the peer's grant at that moment
   * @param hasOtherRules whether the book of reverse rules has rules for that grant alone
   */
  rulesFor(
    grantOf: () => Grant | undefined,
    hasOtherRules: (grant: Grant) => boolean = () => false,
  ): TargetRules {
    const now = (): AllowRules => this.#now(grantOf(), hasOtherRules);
    return {
      mayPermit: (host: Host, port: number, protocol?: Protocol) => now().mayPermit(host, port, protocol),
      permits: (host: Host, address: IpAddress, port: number, protocol?: Protocol) =>
        now().permits(host, address, port, protocol),
      permitsPath: (path: string) => now().permitsPath(path),
      permitsName: (name: string, port: number) => now().permitsName(name, port),
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

/** The question before a port is opened for a peer. Asked anew each time. */
export interface ReverseRules {
  permitsListen(bind: IpAddress, port: number): boolean;
}

/**
 * Where peers may have ports opened on this machine: nowhere, unless a rule says so. As with what they may
 * reach, a peer whose name or ticket has rules of its own, of either kind, has none of the general ones.
 */
export class ReverseBook extends NamedRules<ReverseRule> {
  constructor(rules: readonly ReverseRule[] = []) {
    super(printReverseRule);
    for (const rule of rules) this.add(rule);
  }

  /**
   * @param grantOf the peer's grant at that moment
   * @param hasOtherRules whether the book of rules about targets has rules for that grant alone
   */
  rulesFor(grantOf: () => Grant | undefined, hasOtherRules: (grant: Grant) => boolean): ReverseRules {
    return {
      permitsListen: (bind, port) =>
        this.#now(grantOf(), hasOtherRules).some((rule) => opensReverse(rule, bind, port)),
    };
  }

  /** Whether this book has rules for this peer alone, so that no general rule counts for it. */
  hasOwnRules(grant: Grant): boolean {
    return grant.allowReverse !== undefined || this.of(grant.name) !== undefined;
  }

  #now(grant: Grant | undefined, hasOtherRules: (grant: Grant) => boolean): readonly ReverseRule[] {
    if (grant === undefined || !(this.hasOwnRules(grant) || hasOtherRules(grant))) return this.general;
    return [...(grant.allowReverse ?? []), ...(this.of(grant.name) ?? [])];
  }
}
