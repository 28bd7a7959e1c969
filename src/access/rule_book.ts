import { TunnelError } from '../core/errors.js';
import type { Address } from '../forward/address.js';
import { AllowRules, LOOPBACK_ONLY, type TargetRules } from '../forward/allow.js';
import type { ExposeSpec, Protocol } from '../forward/expose.js';
import type { Host } from '../forward/host.js';
import type { Grant } from './grant.js';
import { printRule, type Rule } from './rule.js';

/** Rules in one book; far more than anybody keeps an overview of. */
export const MAX_RULES = 1024;

/**
 * What peers may reach, changed while they are connected. A peer whose ticket or name has rules of its
 * own has those alone; others have the general ones. Where no rule was ever given, that is this
 * machine's own loopback.
 *
 * To take a rule away never opens anything: a name that lost its last rule reaches nothing, rather
 * than what the general rules open.
 */
export class RuleBook {
  #general: Rule[];
  /** True until the first general rule is given or taken away, when no rule was given at the start. */
  #isDefault: boolean;
  readonly #named = new Map<string, Rule[]>();
  readonly #onChange = new Set<() => void>();

  constructor(rules: readonly Rule[] = []) {
    this.#isDefault = rules.length === 0;
    this.#general = this.#isDefault ? [LOOPBACK_ONLY] : [];
    for (const rule of rules) this.add(rule);
  }

  /** True while nothing but the loopback is open because nobody said anything else. */
  get isDefault(): boolean {
    return this.#isDefault;
  }

  /** The general ones first. */
  list(): Rule[] {
    return [...this.#general, ...[...this.#named.values()].flat()];
  }

  /**
   * @returns false when it is there already
   * @throws {TunnelError} ERR_LIMIT
   */
  add(rule: Rule): boolean {
    if (this.list().length >= MAX_RULES) {
      throw new TunnelError('ERR_LIMIT', `${MAX_RULES} rules are there; remove one first`);
    }
    if (rule.name === undefined && this.#isDefault) {
      this.#isDefault = false;
      this.#general = [];
    }
    const rules = this.#rulesOf(rule.name) ?? [];
    if (rule.name !== undefined) this.#named.set(rule.name, rules);
    if (indexOf(rules, rule) >= 0) return false;
    rules.push(rule);
    this.#changed();
    return true;
  }

  /** @returns false when there is no such rule */
  remove(rule: Rule): boolean {
    const rules = this.#rulesOf(rule.name) ?? [];
    const at = indexOf(rules, rule);
    if (at < 0) return false;
    rules.splice(at, 1);
    if (rule.name === undefined) this.#isDefault = false;
    this.#changed();
    return true;
  }

  /** Takes away all that was told about a name, as when its ticket is gone and another may get it. */
  forget(name: string): void {
    if (this.#named.delete(name)) this.#changed();
  }

  /** Whether a peer has rules of its own, and so none of the general ones. */
  hasOwnRules(grant: Grant): boolean {
    return grant.rules !== undefined || this.#named.has(grant.name);
  }

  /** Calls `handler` after each change, until the answer is called. */
  onChange(handler: () => void): () => void {
    this.#onChange.add(handler);
    return () => this.#onChange.delete(handler);
  }

  /** What one peer may reach, as it stands at the moment of each question. @param grantOf its grant at that moment */
  rulesFor(grantOf: () => Grant | undefined): TargetRules {
    return {
      mayPermit: (host: Host, port: number, protocol?: Protocol) =>
        this.#now(grantOf()).mayPermit(host, port, protocol),
      permits: (host: Host, address: Address, port: number, protocol?: Protocol) =>
        this.#now(grantOf()).permits(host, address, port, protocol),
      permitsPath: (path: string) => this.#now(grantOf()).permitsPath(path),
      permitsName: (name: string, port: number) => this.#now(grantOf()).permitsName(name, port),
    };
  }

  #now(grant: Grant | undefined): AllowRules {
    if (grant === undefined || !this.hasOwnRules(grant)) return new AllowRules(this.#general);
    return new AllowRules([...(grant.rules ?? []), ...(this.#named.get(grant.name) ?? [])]);
  }

  #rulesOf(name: string | undefined): Rule[] | undefined {
    return name === undefined ? this.#general : this.#named.get(name);
  }

  #changed(): void {
    for (const handler of this.#onChange) handler();
  }
}

function indexOf(rules: readonly ExposeSpec[], rule: Rule): number {
  const text = printRule(rule);
  return rules.findIndex((each) => printRule(each) === text);
}
