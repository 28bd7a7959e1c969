import * as v from 'valibot';
import { EXIT, type ExitCode } from '../exit_codes.js';
import { usage } from '../flags.js';
import { printable } from '../human.js';
import type { Context } from '../serve.js';
import { type AskFlags, ask } from './ask.js';

const RulesSchema = v.object({
  rules: v.array(v.string()),
  isDefault: v.boolean(),
  note: v.optional(v.string()),
});

/** Lists and changes what peers of the running listener may reach. */
export async function ruleCommand(
  context: Context,
  action: string,
  rules: readonly string[],
  flags: AskFlags,
): Promise<ExitCode> {
  const { reporter } = context;
  if (action === 'list' && rules.length === 0) {
    const { note: _, ...all } = v.parse(RulesSchema, await ask(context, flags, 'rule.list'));
    reporter.event({ event: 'rules', ...all });
    reporter.result(all.rules.length === 0 ? 'nothing may be reached' : all.rules.map(printable).join('\n'));
    return EXIT.ok;
  }
  if ((action !== 'add' && action !== 'remove') || rules.length === 0) {
    throw usage('rule takes list, or add or remove and one rule or more, as --expose has them');
  }
  for (const rule of rules) {
    const { note } = v.parse(RulesSchema, await ask(context, flags, `rule.${action}`, { rule }));
    reporter.event({
      event: 'changed',
      what: `rule.${action}`,
      items: [rule],
      ...(note === undefined ? {} : { note }),
    });
  }
  return EXIT.ok;
}
