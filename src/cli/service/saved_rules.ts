import * as v from 'valibot';
import { TunnelError } from '../../core/errors.js';
import { type IsName, printRule, type Rule, readRule } from '../../rules/expose.js';
import { parseReverseRule, printReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { MAX_RULES } from '../../rules/rule_book.js';

const Texts = v.pipe(v.array(v.string()), v.maxLength(MAX_RULES));
const StateSchema = v.object({
  savedRules: v.optional(v.object({ expose: Texts, allowReverse: Texts })),
});

/**
 * The rules that `rule add --save` keeps, in the state file next to the tickets: encrypted like them, and replaced in
 * one step.
 */
export class SavedRules {
  #expose: string[];
  #allowReverse: string[];
  #isKnown: boolean;
  /**
   * Whether the listener was started with `--expose none`, so that the saved rules of `--expose` open nothing. They stay
   * saved.
   */
  isIgnored = false;

  /** @param state what {@link state} returned in an earlier run @throws {TunnelError} ERR_STATE_INVALID */
  constructor(state: unknown) {
    const read = v.safeParse(StateSchema, state ?? {});
    if (!read.success)
      throw new TunnelError('ERR_STATE_INVALID', 'the part about saved rules is damaged; nothing was opened');
    const { savedRules } = read.output;
    this.#isKnown = savedRules !== undefined;
    this.#expose = [...(savedRules?.expose ?? [])];
    this.#allowReverse = [...(savedRules?.allowReverse ?? [])];
  }

  /** Whether rules were ever saved. Even if none is left, the loopback is no longer open by default. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** The rules that {@link read} leaves out, as options. */
  get ignored(): readonly string[] {
    return this.isIgnored ? this.#expose : [];
  }

  /** The rules that apply, as options. */
  get texts(): string[] {
    return [
      ...(this.isIgnored ? [] : this.#expose),
      ...this.#allowReverse.map((text) => `--allow-reverse ${text}`),
    ];
  }

  /** What to save, as a part of the state. */
  get state(): object {
    if (!this.#isKnown) return {};
    return { savedRules: { expose: this.#expose, allowReverse: this.#allowReverse } };
  }

  /**
   * Reads the rules, and forgets those for names that no longer exist: another ticket may get such a name.
   *
   * @returns `forgotten`: their texts
   * @throws {TunnelError} ERR_STATE_INVALID for a rule that no version wrote
   */
  read(isName: IsName): { rules: Rule[]; reverseRules: ReverseRule[]; forgotten: string[] } {
    const forgotten: string[] = [];
    const readable = <Read>(texts: readonly string[], parse: (text: string) => Read): [string, Read][] =>
      texts.flatMap((text) => {
        try {
          return [[text, parse(text)] as [string, Read]];
        } catch (error) {
          if (!TunnelError.is(error)) throw error;
          if (error.code !== 'ERR_USAGE')
            throw new TunnelError('ERR_STATE_INVALID', `a saved rule is damaged: ${error.message}`);
          forgotten.push(text);
          return [];
        }
      });
    const expose = readable(this.#expose, (text) => readRule(text, isName).rule);
    const reverse = readable(this.#allowReverse, (text) => parseReverseRule(text, isName));
    this.#expose = expose.map(([text]) => text);
    this.#allowReverse = reverse.map(([text]) => text);
    return {
      rules: this.isIgnored ? [] : expose.map(([, rule]) => rule),
      reverseRules: reverse.map(([, rule]) => rule),
      forgotten,
    };
  }

  /** @throws {TunnelError} ERR_LIMIT: the state file could not be read again */
  add(rule: Rule): void {
    keep(this.#expose, printRule(rule));
    this.#isKnown = true;
  }

  /** @throws {TunnelError} ERR_LIMIT, as {@link add} */
  addReverse(rule: ReverseRule): void {
    keep(this.#allowReverse, printReverseRule(rule));
    this.#isKnown = true;
  }

  /** @returns false when it was not saved */
  remove(rule: Rule): boolean {
    const before = this.#expose.length;
    this.#expose = this.#expose.filter((text) => text !== printRule(rule));
    return this.#expose.length < before;
  }

  /** @returns false when it was not saved */
  removeReverse(rule: ReverseRule): boolean {
    const before = this.#allowReverse.length;
    this.#allowReverse = this.#allowReverse.filter((text) => text !== printReverseRule(rule));
    return this.#allowReverse.length < before;
  }

  /** Whether the rule comes back at the next start. */
  has(rule: Rule): boolean {
    return !this.isIgnored && this.#expose.includes(printRule(rule));
  }

  hasReverse(rule: ReverseRule): boolean {
    return this.#allowReverse.includes(printReverseRule(rule));
  }
}

function keep(texts: string[], text: string): void {
  if (texts.includes(text)) return;
  if (texts.length >= MAX_RULES)
    throw new TunnelError(
      'ERR_LIMIT',
      `the rule applies until the listener stops, but is not saved, because ${MAX_RULES} are saved already; remove one with rule remove --save`,
    );
  texts.push(text);
}
