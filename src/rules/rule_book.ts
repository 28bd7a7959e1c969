import type { Address } from './address.js';
import { AllowRules, LOOPBACK_ONLY, type TargetRules } from './allow.js';
import type { Protocol } from './expose.js';
import type { Grant } from './grant.js';
import type { Host } from './host.js';
import { NamedRules } from './named_rules.js';
import { printRule, type Rule } from './rule.js';

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
      permits: (host: Host, address: Address, port: number, protocol?: Protocol) =>
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
