import type { Command, Option } from 'commander';
import { isRepeatable } from './grammar.js';

/** The section of a configuration that applies to every command with the option. */
export const ALL = 'all';

/** Commands that run with a state folder, into which other commands look. */
export type StateOwner = 'listen' | 'connect';

/** The JSON form of an option's value: a boolean, a string, a list of strings, or a count. */
export type ConfigKind = 'flag' | 'text' | 'list' | 'count';

/** One key of a section. */
export interface ConfigOption {
  /** The long name without its dashes, such as `no-udp`. */
  readonly key: string;
  readonly kind: ConfigKind;
  readonly option: Option;
}

/** Options that act once are not settings: from a file they would act on every call. */
const COMMAND_LINE_ONLY: Readonly<Record<string, readonly string[]>> = { rule: ['allow-reverse', 'save'] };

export type ConfigSections = ReadonlyMap<string, ReadonlyMap<string, ConfigOption>>;

/** Returns the keys that a configuration may have, by command. */
export function configSections(program: Command): ConfigSections {
  const sections = new Map<string, ReadonlyMap<string, ConfigOption>>();
  const all = new Map<string, ConfigOption>();
  sections.set(ALL, all);
  for (const command of program.commands) {
    const excluded = ['config', ...(COMMAND_LINE_ONLY[command.name()] ?? [])];
    const options = command.options.map(configOption).filter(({ key }) => !excluded.includes(key));
    for (const option of options) if (!all.has(option.key)) all.set(option.key, option);
    sections.set(command.name(), new Map(options.map((option) => [option.key, option])));
  }
  return sections;
}

/**
 * True for options that hold rules: an empty list of rules opens nothing, but a missing list may open
 * something.
 */
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

const TEXT = { type: ['string', 'integer'] };

const SCHEMAS: Readonly<Record<ConfigKind, object>> = {
  flag: { type: 'boolean' },
  text: TEXT,
  list: { type: 'array', items: TEXT },
  count: { type: 'integer', minimum: 0, maximum: 3 },
};

/** The JSON schema of a `--config` file. */
export function configSchema(program: Command): object {
  const sections = [...configSections(program)].map(([name, options]) => [name, schemaOf(options)] as const);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'tox-wasm-tunnel --config',
    description: 'Options by command. The section "all" applies to every command that has the option.',
    type: 'object',
    properties: { $schema: { type: 'string' }, ...Object.fromEntries(sections) },
    additionalProperties: false,
  };
}

function schemaOf(section: ReadonlyMap<string, ConfigOption>): object {
  return {
    type: 'object',
    properties: Object.fromEntries(
      [...section.values()].map(({ key, kind, option }) => [
        key,
        { description: option.description, ...SCHEMAS[kind] },
      ]),
    ),
    additionalProperties: false,
  };
}
