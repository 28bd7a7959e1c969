import * as v from 'valibot';
import { TunnelError } from '../../core/errors.js';
import { type IsName, type Rule, readRule } from '../../rules/expose.js';
import { parseReverseRule, type ReverseRule } from '../../rules/reverse_rule.js';
import { MAX_RULES } from '../../rules/rule_book.js';

const Texts = v.pipe(v.array(v.string()), v.maxLength(MAX_RULES));
const StateSchema = v.object({
  savedRules: v.optional(v.object({ expose: Texts, allowReverse: Texts })),
});

/** The option that a rule could be given by. */
export type RuleOption = 'expose' | 'allowReverse';

/**
 * The rules that `rule add --save` keeps, in the state file next to the tickets: encrypted like them, and replaced in
 * one step. Each is kept as its printed text.
 */
export class SavedRules {
  #texts: Record<RuleOption, readonly string[]>;
  #isKnown: boolean;

  /** @param state what {@link state} returned in an earlier run @throws {TunnelError} ERR_STATE_INVALID */
  constructor(state: unknown) {
    const read = v.safeParse(StateSchema, state ?? {});
    if (!read.success)
      throw new TunnelError('ERR_STATE_INVALID', 'the part about saved rules is damaged; nothing was opened');
    const { savedRules } = read.output;
    this.#isKnown = savedRules !== undefined;
    this.#texts = savedRules ?? { expose: [], allowReverse: [] };
  }

  /** Whether rules were ever saved. Even if none is left, the loopback is no longer open by default. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  texts(option: RuleOption): readonly string[] {
    return this.#texts[option];
  }

  /** What to save, as a part of the state. */
  get state(): object {
    return this.#isKnown ? { savedRules: this.#texts } : {};
  }

  /**
   * Reads the rules, and forgets those for names that no longer exist: another ticket may get such a name.
   *
   * @returns `forgotten`: their texts
   * @throws {TunnelError} ERR_STATE_INVALID for a rule that no version wrote
   */
  read(isName: IsName): { rules: Rule[]; reverseRules: ReverseRule[]; forgotten: string[] } {
    const forgotten: string[] = [];
    const readable = <Read>(option: RuleOption, parse: (text: string) => Read): Read[] => {
      const read = this.#texts[option].flatMap((text) => {
        try {
          return [{ text, rule: parse(text) }];
        } catch (error) {
          if (!TunnelError.is(error)) throw error;
          if (error.code !== 'ERR_USAGE')
            throw new TunnelError('ERR_STATE_INVALID', `a saved rule is damaged: ${error.message}`);
          forgotten.push(text);
          return [];
        }
      });
      this.#texts = { ...this.#texts, [option]: read.map(({ text }) => text) };
      return read.map(({ rule }) => rule);
    };
    const rules = readable('expose', (text) => readRule(text, isName).rule);
    const reverseRules = readable('allowReverse', (text) => parseReverseRule(text, isName));
    return { rules, reverseRules, forgotten };
  }

  /** @throws {TunnelError} ERR_LIMIT when the state file would be too long to be read again */
  add(option: RuleOption, text: string): void {
    this.#isKnown = true;
    const texts = this.#texts[option];
    if (texts.includes(text)) return;
    if (texts.length >= MAX_RULES)
      throw new TunnelError(
        'ERR_LIMIT',
        `the rule applies until the listener stops, but is not saved, because ${MAX_RULES} are saved already; remove one with rule remove --save`,
      );
    this.#texts = { ...this.#texts, [option]: [...texts, text] };
  }

  /** @returns false when it was not saved */
  remove(option: RuleOption, text: string): boolean {
    const before = this.#texts[option];
    const left = before.filter((each) => each !== text);
    this.#texts = { ...this.#texts, [option]: left };
    return left.length < before.length;
  }

  has(option: RuleOption, text: string): boolean {
    return this.#texts[option].includes(text);
  }
}
