import { evaluate, type MemberNode, parse, type ValueNode } from '@humanwhocodes/momoa';
import type { Command } from 'commander';
import * as v from 'valibot';
import { didYouMean } from '../../core/arguments.js';
import type { TunnelError } from '../../core/errors.js';
import {
  ALL,
  type ConfigKind,
  type ConfigOption,
  type ConfigSections,
  configSections,
  isRuleOption,
} from './config_options.js';
import { usage } from './flags.js';
import { readBoundedFile } from './read_bounded.js';

const MAX_FILE_BYTES = 1024 * 1024;

/** What the file says about one option, as commander would have it. */
interface Setting {
  readonly name: string;
  /** Undefined where the default shall stay, whatever the section for all says. */
  readonly value: unknown;
}

/** A member of an object in the file, and where its name stands: `FILE:LINE:COLUMN`. */
interface Entry {
  readonly value: ValueNode;
  readonly place: string;
}

const Text = v.pipe(v.union([v.string(), v.pipe(v.number(), v.safeInteger())]), v.transform(String));

const VALUES: Readonly<Record<ConfigKind, v.GenericSchema<unknown, unknown>>> = {
  flag: v.boolean(),
  text: Text,
  list: v.array(Text),
  count: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3)),
};

const EXPECTED: Readonly<Record<ConfigKind, string>> = {
  flag: 'true or false',
  text: 'a text or a whole number',
  list: 'a list of texts or whole numbers',
  count: 'a number from 0 to 3',
};

/**
 * Gives a command the options that the file of `--config` has for it; those of the command line count more,
 * and a list there takes the place of the file's.
 *
 * @param command what is about to be run: `program` itself for the short forms
 * @throws {TunnelError} ERR_USAGE
 */
export async function applyConfig(program: Command, command: Command): Promise<void> {
  const file: unknown = command.getOptionValue('config') ?? program.getOptionValue('config');
  if (typeof file !== 'string') return;
  const bytes = await readBoundedFile(file, { code: 'ERR_USAGE', maxBytes: MAX_FILE_BYTES });
  const settings = readConfig(bytes.toString('utf8'), file, configSections(program));
  for (const { name, value } of settings.get(sectionOf(program, command)) ?? []) {
    const isGiven = [command, program].some((where) => where.getOptionValueSource(name) === 'cli');
    if (!isGiven && value !== undefined) command.setOptionValueWithSource(name, value, 'config');
  }
}

/** The command that a short form stands for. */
function sectionOf(program: Command, command: Command): string {
  if (command !== program) return command.name();
  const connects = program.args.length > 0 || program.getOptionValue('ticketFile') !== undefined;
  return connects ? 'connect' : 'listen';
}

/**
 * Reads all of a configuration, so that a mistake is found whatever command is run. Errors name keys
 * and places, never values: one of them may be a password.
 *
 * @param sections what it may hold
 * @returns what counts for each command
 * @throws {TunnelError} ERR_USAGE
 */
export function readConfig(
  text: string,
  file: string,
  sections: ConfigSections,
): ReadonlyMap<string, readonly Setting[]> {
  const found = new Map<string, ReadonlyMap<string, Setting>>();
  for (const [name, { value, place }] of entriesOf(rootOf(text, file), file)) {
    if (name === '$schema') continue;
    const options = sections.get(name);
    if (options === undefined)
      throw fault(place, `${quoted(name)} is no command${didYouMean(name, sections.keys())}`);
    found.set(name, settingsIn(value, name, options, file));
  }
  const general = found.get(ALL) ?? new Map<string, Setting>();
  return new Map(
    [...sections].map(([name, options]) => {
      const shared = [...general].filter(([key]) => options.has(key));
      return [name, [...new Map([...shared, ...(found.get(name) ?? [])]).values()]];
    }),
  );
}

function settingsIn(
  section: ValueNode,
  sectionName: string,
  options: ReadonlyMap<string, ConfigOption>,
  file: string,
): ReadonlyMap<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, { value: node, place }] of entriesOf(section, file)) {
    const known = options.get(key);
    if (known === undefined) {
      const bare = key.replace(/^-+/, '');
      const hint = options.has(bare) ? `; did you mean ${quoted(bare)}?` : didYouMean(key, options.keys());
      throw fault(place, `${quoted(sectionName)} has no option ${quoted(key)}${hint}`);
    }
    const read = v.safeParse(VALUES[known.kind], evaluate(node));
    if (!read.success) throw fault(place, `${quoted(key)} must be ${EXPECTED[known.kind]}`);
    settings.set(key, { name: known.option.attributeName(), value: settingOf(known, read.output) });
  }
  return settings;
}

function settingOf({ option }: ConfigOption, value: unknown): unknown {
  if (value === false) return undefined;
  // An empty list of rules opens nothing, while their default may open something.
  if (Array.isArray(value) && value.length === 0) return isRuleOption(option) ? value : undefined;
  return option.negate ? false : value;
}

/** The file's one value, once it is known to be JSON. */
function rootOf(text: string, file: string): ValueNode {
  try {
    // The parser below lets control characters in strings pass.
    JSON.parse(text);
    return parse(text, { mode: 'json' }).body;
  } catch (error) {
    throw error instanceof RangeError
      ? fault(file, 'its lists or objects are nested too deeply')
      : notJson(text, file, error);
  }
}

/** The words of the engine and the parser repeat a piece of the text, so only their place is taken. */
function notJson(text: string, file: string, error: unknown): TunnelError {
  const place = placeIn(text) ?? /\bline (\d+) column (\d+)/.exec(String(error))?.slice(1).join(':');
  return fault(place === undefined ? file : `${file}:${place}`, 'it is not JSON from here on');
}

function placeIn(text: string): string | undefined {
  try {
    parse(text, { mode: 'json' });
    return undefined;
  } catch (error) {
    const isPlaced = error instanceof Error && 'line' in error && 'column' in error;
    return isPlaced ? `${String(error.line)}:${String(error.column)}` : undefined;
  }
}

function entriesOf(node: ValueNode, file: string): ReadonlyMap<string, Entry> {
  if (node.type !== 'Object') throw fault(placeOf(node, file), 'an object is expected');
  const entries = new Map<string, Entry>();
  for (const { name, value } of node.members) {
    const key = nameOf(name);
    const place = placeOf(name, file);
    const first = entries.get(key);
    if (first !== undefined)
      throw fault(place, `${quoted(key)} is set a second time, after ${first.place}; keep one of the two`);
    entries.set(key, { value, place });
  }
  return entries;
}

function nameOf(name: MemberNode['name']): string {
  return name.type === 'String' ? name.value : name.name;
}

function placeOf({ loc }: Pick<ValueNode, 'loc'>, file: string): string {
  return `${file}:${loc.start.line}:${loc.start.column}`;
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}

function fault(place: string, what: string): TunnelError {
  return usage(`${place}: ${what}`);
}
