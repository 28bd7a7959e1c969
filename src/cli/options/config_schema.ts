import type { Command } from 'commander';
import { type ConfigKind, type ConfigOption, configSections } from './config_options.js';

const TEXT = { type: ['string', 'integer'] };

const SCHEMAS: Readonly<Record<ConfigKind, object>> = {
  flag: { type: 'boolean' },
  text: TEXT,
  list: { type: 'array', items: TEXT },
  count: { type: 'integer', minimum: 0, maximum: 3 },
};

/** The JSON schema of what `--config` takes. */
export function configSchema(program: Command): object {
  const sections = [...configSections(program)].map(([name, options]) => [name, section(options)] as const);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'tox-wasm-tunnel --config',
    description: 'Options by command; those of "all" count for every command that has them.',
    type: 'object',
    properties: { $schema: { type: 'string' }, ...Object.fromEntries(sections) },
    additionalProperties: false,
  };
}

function section(options: ReadonlyMap<string, ConfigOption>): object {
  return {
    type: 'object',
    properties: Object.fromEntries(
      [...options.values()].map(({ key, kind, option }) => [
        key,
        { description: option.description, ...SCHEMAS[kind] },
      ]),
    ),
    additionalProperties: false,
  };
}
