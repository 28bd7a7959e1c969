import { Option } from 'commander';
import * as v from 'valibot';
import { callListener } from '../../control/client.js';
import { type Context, defineCommand } from '../command.js';
import { actionOf } from '../options/action.js';
import { allowReverse, output, stateFolder } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { expectReverseRules, expectRules } from '../options/rule_values.js';
import { usage } from '../options/usage.js';
import { printable } from '../output/human.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';

interface RuleFlags extends OutputFlags {
  readonly state?: string;
  readonly allowReverse?: readonly string[];
  readonly save?: boolean;
}

export const rule = defineCommand<RuleFlags>({
  name: 'rule',
  group: 'Running',
  summary: 'List or change what peers of the listener may reach',
  stateOf: ['listen'],
  arguments: {
    '[ACTION]': 'list, add or remove; rm is short for remove',
    '[RULE...]': 'rules in the syntax of --expose',
  },
  options: [
    allowReverse(),
    new Option('--save', 'keep the change: it applies to later starts of the listener too'),
    stateFolder(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel rule list
  $ tox-wasm-tunnel rule add 8080 db.lan:5432
  $ tox-wasm-tunnel rule add --save 8080       also after a restart
  $ tox-wasm-tunnel rule remove 8080           close it; open connections are cut
  $ tox-wasm-tunnel rule add laptop:22         give laptop (a peer or ticket) rules of its own
  $ tox-wasm-tunnel rule add --allow-reverse 8080      let peers open port 8080 here with -R
  $ tox-wasm-tunnel rule remove --allow-reverse 8080   close that port again`,
  run: (context, { words: [action, ...rules], flags }) => runRule(context, action, rules, flags),
});

const RulesSchema = v.object({
  rules: v.array(v.string()),
  isDefault: v.boolean(),
  // Listeners of older versions have no such rules.
  allowReverse: v.optional(v.array(v.string()), []),
  note: v.optional(v.string()),
});

async function runRule(
  { io, reporter }: Context,
  word: string | undefined,
  rules: readonly string[],
  flags: RuleFlags,
): Promise<ExitCode> {
  const action = actionOf('rule', ['list', 'add', 'remove'], word);
  const reverseRules = flags.allowReverse ?? [];
  const count = rules.length + reverseRules.length;
  const isList = action === 'list';
  if (isList !== (count === 0)) {
    throw usage(
      isList
        ? 'rule list takes no rules; rule add and rule remove do'
        : `rule ${action} needs a rule: in the syntax of --expose, for example rule ${action} 8080, or after --allow-reverse`,
    );
  }
  const saves = flags.save === true;
  if (saves && isList) throw usage('rule list takes no --save; rule add and rule remove do');
  expectRules('RULE', rules);
  expectReverseRules(reverseRules);
  const folder = flags.state ?? (await io.stateFolder());
  const ask = async (method: string, params: object) =>
    v.parse(RulesSchema, await callListener(folder, method, params, io.timers));
  if (isList) {
    const { note: _, ...all } = await ask('rule.list', {});
    reporter.event({ event: 'rules', ...all });
    const lines = all.rules.length === 0 ? ['peers may reach nothing'] : all.rules;
    reporter.result(
      [...lines, ...all.allowReverse.map((text) => `--allow-reverse ${text}`)].map(printable).join('\n'),
    );
    return EXIT.ok;
  }
  const change = async (what: string, text: string): Promise<void> => {
    const { note } = await ask(what, saves ? { rule: text, save: true } : { rule: text });
    reporter.event({
      event: 'changed',
      what,
      items: [text],
      ...(saves ? { saved: true } : {}),
      ...(note === undefined ? {} : { note }),
    });
  };
  for (const text of rules) await change(`rule.${action}`, text);
  for (const text of reverseRules) await change(`reverse.${action}`, text);
  return EXIT.ok;
}
