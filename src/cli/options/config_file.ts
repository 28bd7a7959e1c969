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
  isRuleOption,
  type StateOwner,
} from './config_options.js';
import { readBoundedFile } from './read_bounded.js';
import { usage } from './usage.js';

const MAX_FILE_BYTES = 1024 * 1024;

/** The value of one option in the file, as commander stores it. */
interface Setting {
  readonly name: string;
  /** Undefined keeps the default, whatever the section `all` says. */
  readonly value: unknown;
}

/** A member of an object in the file, with the place of its name: `FILE:LINE:COLUMN`. */
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
  text: 'a string or a whole number',
  list: 'a list of strings or whole numbers',
  count: 'a number from 0 to 3',
};

/**
 * Sets the options of a command from the file of `--config`. The command line overrides the file; a list
 * there replaces the list of the file.
 *
 * @param command the command that is about to run: `program` itself for the short forms
 * @param sections the keys that the file may have
 * @param stateOf the commands whose state folder the command uses, unless another is named
 * @throws {TunnelError} ERR_USAGE
 */
export async function applyConfig(
  program: Command,
  command: Command,
  file: string,
  sections: ConfigSections,
  stateOf: readonly StateOwner[],
): Promise<void> {
  const bytes = await readBoundedFile(file, { code: 'ERR_USAGE', maxBytes: MAX_FILE_BYTES });
  const settings = readConfig(bytes.toString('utf8'), file, sections);
  const isGiven = (name: string): boolean =>
    [command, program].some((where) => where.getOptionValueSource(name) === 'cli');
  const set = (name: string, value: unknown): void => {
    if (!isGiven(name) && value !== undefined) command.setOptionValueWithSource(name, value, 'config');
  };
  const own = settings.get(sectionOf(program, command)) ?? [];
  for (const { name, value } of own) set(name, value);
  if (isGiven('state') || isGiven('ephemeral')) return;
  const isKnown = (name: string): boolean =>
    command.options.some((option) => option.attributeName() === name);
  const owners = stateOf.map((owner) => stateIn(settings.get(owner) ?? [], owner));
  const { state } = stateIn(own, undefined);
  for (const [name, value] of inherited(owners, state, file))
    if (isKnown(name) || name === STATE_FOLDERS) set(name, value);
}

/** Where commands with several folders find them: the value of no option. */
export const STATE_FOLDERS = 'stateFolders';

/** Where a command keeps its state, according to the file. */
interface OwnerState {
  readonly owner: StateOwner | undefined;
  readonly state: string | undefined;
  readonly passphraseFile: string | undefined;
  readonly isEphemeral: boolean;
}

function stateIn(settings: readonly Setting[], owner: StateOwner | undefined): OwnerState {
  const settingNamed = (key: string): unknown => settings.find(({ name }) => name === key)?.value;
  const textOf = (key: string): string | undefined => {
    const value = settingNamed(key);
    return value === undefined ? undefined : String(value);
  };
  return {
    owner,
    state: textOf('state'),
    passphraseFile: textOf('passphraseFile'),
    isEphemeral: settingNamed('ephemeral') === true,
  };
}

/**
 * What a command takes over from the owners of its state folder, by attribute name.
 *
 * @param own the folder that the file names for the command itself
 */
function inherited(
  owners: readonly OwnerState[],
  own: string | undefined,
  file: string,
): ReadonlyMap<string, unknown> {
  const [only, other] = owners;
  // It would make a second identity, or look for a process that nobody can ask.
  if (own === undefined && only?.owner === 'listen' && only.isEphemeral && other === undefined)
    throw usage(`${file}: "listen" is ephemeral, so it has no state folder; name a folder with --state DIR`);
  const kept = owners.filter(
    ({ isEphemeral, state }) => !isEphemeral && (own === undefined || own === state),
  );
  const named = kept.find(({ state }) => state !== undefined) ?? kept[0];
  if (named === undefined)
    return new Map([['ephemeral', own === undefined && only?.isEphemeral ? true : undefined]]);
  return new Map<string, unknown>([
    ['state', named.state],
    ['passphraseFile', named.passphraseFile],
    [STATE_FOLDERS, kept.map(({ state }) => state)],
  ]);
}

/** The name of the command; for a short form, of the command that it abbreviates. */
function sectionOf(program: Command, command: Command): string {
  if (command !== program) return command.name();
  const connects = program.args.length > 0 || program.getOptionValue('ticketFile') !== undefined;
  return connects ? 'connect' : 'listen';
}

/**
 * Parses a whole configuration, so that every command reports every mistake. Errors name keys and places but
 * no values, since a value may be a password.
 *
 * @param sections the keys that the file may have
 * @returns the settings of each command
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
      throw fault(place, `${quoted(name)} is not a command${didYouMean(name, sections.keys())}`);
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
  // An empty list of rules opens nothing, but the default may open something.
  if (Array.isArray(value) && value.length === 0) return isRuleOption(option) ? value : undefined;
  return option.negate ? false : value;
}

/** Parses the file and returns its root value. */
function rootOf(text: string, file: string): ValueNode {
  try {
    // The parser below accepts control characters in strings.
    JSON.parse(text);
    return parse(text, { mode: 'json' }).body;
  } catch (error) {
    throw error instanceof RangeError
      ? fault(file, 'its lists or objects are nested too deeply')
      : notJson(text, file, error);
  }
}

/** Messages of the engine and the parser quote the file, so only the place is used. */
function notJson(text: string, file: string, error: unknown): TunnelError {
  const place = placeIn(text) ?? /\bline (\d+) column (\d+)/.exec(String(error))?.slice(1).join(':');
  return fault(place === undefined ? file : `${file}:${place}`, 'invalid JSON from here on');
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
  if (node.type !== 'Object') throw fault(placeOf(node, file), 'expected an object');
  const entries = new Map<string, Entry>();
  for (const { name, value } of node.members) {
    const key = nameOf(name);
    const place = placeOf(name, file);
    const first = entries.get(key);
    if (first !== undefined)
      throw fault(place, `${quoted(key)} is set twice, first at ${first.place}; keep one of the two`);
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
