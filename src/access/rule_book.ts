import type { Address } from '../forward/address.js';
import { AllowRules, LOOPBACK_ONLY, type TargetRules } from '../forward/allow.js';
import type { Protocol } from '../forward/expose.js';
import type { Host } from '../forward/host.js';
import type { Grant } from './grant.js';
import { NamedRules } from './named_rules.js';
import { printRule, type Rule } from './rule.js';

/**
 * What peers may reach, changed while they are connected. A peer whose ticket or name has rules of its
 * own has those alone; others have the general ones. Where no rule was ever given, that is this
 * machine's own loopback.
 *
 * To take a rule away never opens anything: a name that lost its last rule reaches nothing, rather
 * than what the general rules open.
 */
export class RuleBook extends NamedRules<Rule> {
  /** True until the first general rule is given or taken away, when no rule was given at the start. */
  #isDefault: boolean;

  constructor(rules: readonly Rule[] = []) {
    super((rule) => printRule(rule));
    this.#isDefault = rules.length === 0;
    if (this.#isDefault) this.general = [LOOPBACK_ONLY];
    for (const rule of rules) this.add(rule);
  }

  /** True while nothing but the loopback is open because nobody said anything else. */
  get isDefault(): boolean {
    return this.#isDefault;
  }

  override add(rule: Rule): boolean {
    if (rule.name === undefined && this.#isDefault) {
      this.#isDefault = false;
      this.general = [];
    }
    return super.add(rule);
  }

  override remove(rule: Rule): boolean {
    const wasThere = super.remove(rule);
    if (wasThere && rule.name === undefined) this.#isDefault = false;
    return wasThere;
  }

  /** Whether a peer has rules of its own, and so none of the general ones. */
  hasOwnRules(grant: Grant): boolean {
    return grant.rules !== undefined || this.of(grant.name) !== undefined;
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
    if (grant === undefined || !this.hasOwnRules(grant)) return new AllowRules(this.general);
    return new AllowRules([...(grant.rules ?? []), ...(this.of(grant.name) ?? [])]);
  }
}
