import type { Address } from '../forward/address.js';
import { opensReverse, type ReverseRule } from '../forward/reverse_rule.js';
import type { Grant } from './grant.js';

/** The question before a port is opened for a peer. Asked anew each time. */
export interface ReverseRules {
  permitsListen(bind: Address, port: number): boolean;
}

/**
 * Where peers may have ports opened on this machine: nowhere, unless a rule says so. As with what they may
 * reach, a peer whose name or ticket has rules of its own (of either kind) has none of the general ones.
 */
export class ReverseBook {
  #rules: readonly ReverseRule[];

  constructor(rules: readonly ReverseRule[] = []) {
    this.#rules = rules;
  }

  /** Takes away all that was told about names that nobody has any more, as another may get them. */
  keep(isName: (name: string) => boolean): void {
    this.#rules = this.#rules.filter(({ name }) => name === undefined || isName(name));
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
    const general = this.#rules.filter(({ name }) => name === undefined);
    if (grant === undefined) return general;
    const own = this.#rules.filter(({ name }) => name === grant.name);
    return own.length > 0 || hasOwnRules(grant) ? own : general;
  }
}
