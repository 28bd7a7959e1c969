import type { Address } from '../forward/address.js';
import { opensReverse, printReverseRule, type ReverseRule } from '../forward/reverse_rule.js';
import type { Grant } from './grant.js';
import { NamedRules } from './named_rules.js';

/** The question before a port is opened for a peer. Asked anew each time. */
export interface ReverseRules {
  permitsListen(bind: Address, port: number): boolean;
}

/**
 * Where peers may have ports opened on this machine: nowhere, unless a rule says so. As with what they may
 * reach, a peer whose name or ticket has rules of its own (of either kind) has none of the general ones.
 */
export class ReverseBook extends NamedRules<ReverseRule> {
  constructor(rules: readonly ReverseRule[] = []) {
    super(printReverseRule);
    for (const rule of rules) this.add(rule);
  }

  /**
   * @param grantOf what the peer came in by, at that moment
   * @param hasOwnRules whether the other book has rules for that grant alone
   */
  rulesFor(grantOf: () => Grant | undefined, hasOwnRules: (grant: Grant) => boolean): ReverseRules {
    return {
      permitsListen: (bind, port) =>
        this.#now(grantOf(), hasOwnRules).some((rule) => opensReverse(rule, bind, port)),
    };
  }

  #now(grant: Grant | undefined, hasOwnRules: (grant: Grant) => boolean): readonly ReverseRule[] {
    if (grant === undefined) return this.general;
    const named = this.of(grant.name);
    if (grant.allowReverse === undefined && named === undefined && !hasOwnRules(grant)) return this.general;
    return [...(grant.allowReverse ?? []), ...(named ?? [])];
  }
}
