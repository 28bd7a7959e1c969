import type { Command, Option } from 'commander';
import { isRepeatable } from './grammar.js';

/** The section of a configuration that counts for every command that has the option. */
export const ALL = 'all';

/** How the value of an option is written in JSON: true or false, a text, a list of them, or a number of times. */
export type ConfigKind = 'flag' | 'text' | 'list' | 'count';

/** One key of a section. */
export interface ConfigOption {
  /** The long name without its dashes, as `no-udp`. */
  readonly key: string;
  readonly kind: ConfigKind;
  readonly option: Option;
}

/** What is to be done this once is no setting: it would be done again with every call. */
const ONLY_TYPED: Readonly<Record<string, readonly string[]>> = { rule: ['allow-reverse'] };

export type ConfigSections = ReadonlyMap<string, ReadonlyMap<string, ConfigOption>>;

/** What a configuration may hold: all that the options of the grammar do, by command. */
export function configSections(program: Command): ConfigSections {
  const sections = new Map<string, ReadonlyMap<string, ConfigOption>>();
  const all = new Map<string, ConfigOption>();
  sections.set(ALL, all);
  for (const command of program.commands) {
    const typed = ['config', ...(ONLY_TYPED[command.name()] ?? [])];
    const options = command.options.map(configOption).filter(({ key }) => !typed.includes(key));
    for (const option of options) if (!all.has(option.key)) all.set(option.key, option);
    sections.set(command.name(), new Map(options.map((option) => [option.key, option])));
  }
  return sections;
}

/** Whether the option holds rules: an empty list of them opens nothing, unlike no list at all. */
export function isRuleOption(option: Option): boolean {
  return ['expose', 'allowReverse'].includes(option.attributeName());
}

function configOption(option: Option): ConfigOption {
  return { key: (option.long ?? option.flags).replace(/^--/, ''), kind: kindOf(option), option };
}

function kindOf(option: Option): ConfigKind {
  if (isRepeatable(option)) return 'list';
  if (option.required || option.optional) return 'text';
  return typeof option.defaultValue === 'number' ? 'count' : 'flag';
}
