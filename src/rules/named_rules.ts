import { TunnelError } from '../core/errors.js';

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
