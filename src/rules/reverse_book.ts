import type { Address } from './address.js';
import type { Grant } from './grant.js';
import { NamedRules } from './named_rules.js';
import { opensReverse, printReverseRule, type ReverseRule } from './reverse_rule.js';

/** The question before a port is opened for a peer. Asked anew each time. */
export interface ReverseRules {
  permitsListen(bind: Address, port: number): boolean;
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
