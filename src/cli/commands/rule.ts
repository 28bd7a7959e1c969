import * as v from 'valibot';
import { usage } from '../options/flags.js';
import { printable } from '../output/human.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { Context } from '../service/serve.js';
import { type AskFlags, ask } from './ask.js';

const RulesSchema = v.object({
  rules: v.array(v.string()),
  isDefault: v.boolean(),
  // Of a listener of an older version there are none to change.
  allowReverse: v.optional(v.array(v.string()), []),
  note: v.optional(v.string()),
});

export interface RuleFlags extends AskFlags {
  readonly allowReverse?: readonly string[];
}

/** Lists and changes what peers of the running listener may reach, and which ports they may have opened. */
export async function ruleCommand(
  context: Context,
  action: string,
  rules: readonly string[],
  flags: RuleFlags,
): Promise<ExitCode> {
  const { reporter } = context;
  const { allowReverse = [] } = flags;
  const count = rules.length + allowReverse.length;
  if (action === 'list' && count === 0) {
    const { note: _, ...all } = v.parse(RulesSchema, await ask(context, flags, 'rule.list'));
    reporter.event({ event: 'rules', ...all });
    const lines = all.rules.length === 0 ? ['nothing may be reached'] : all.rules;
    reporter.result(
      [...lines, ...all.allowReverse.map((rule) => `--allow-reverse ${rule}`)].map(printable).join('\n'),
    );
    return EXIT.ok;
  }
  if ((action !== 'add' && action !== 'remove') || count === 0) {
    throw usage(
      'rule takes list, or add or remove and one rule or more: as --expose has them, or behind --allow-reverse',
    );
  }
  const change = async (what: string, rule: string): Promise<void> => {
    const { note } = v.parse(RulesSchema, await ask(context, flags, what, { rule }));
    reporter.event({ event: 'changed', what, items: [rule], ...(note === undefined ? {} : { note }) });
  };
  for (const rule of rules) await change(`rule.${action}`, rule);
  for (const rule of allowReverse) await change(`reverse.${action}`, rule);
  return EXIT.ok;
}
