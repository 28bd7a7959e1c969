import type { Command } from 'commander';
import * as v from 'valibot';
import type { TunnelError } from '../core/errors.js';
import { didYouMean } from '../core/nearest.js';
import {
  ALL,
  type ConfigKind,
  type ConfigOption,
  type ConfigSections,
  configSections,
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
 * Reads all of a configuration, so that a mistake is found whatever command is run.
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
  for (const [name, section] of entriesOf(parse(text, file), file)) {
    if (name === '$schema') continue;
    const options = sections.get(name);
    if (options === undefined) {
      throw fault(file, `${JSON.stringify(name)} is no command${didYouMean(name, sections.keys())}`);
    }
    found.set(name, settingsIn(section, `${file}: ${JSON.stringify(name)}`, options));
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
  section: unknown,
  place: string,
  options: ReadonlyMap<string, ConfigOption>,
): ReadonlyMap<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, json] of entriesOf(section, place)) {
    const known = options.get(key);
    if (known === undefined) {
      const bare = key.replace(/^-+/, '');
      const hint = options.has(bare)
        ? `; did you mean ${JSON.stringify(bare)}?`
        : didYouMean(key, options.keys());
      throw fault(place, `it has no option ${JSON.stringify(key)}${hint}`);
    }
    const read = v.safeParse(VALUES[known.kind], json);
    if (!read.success) throw fault(place, `${JSON.stringify(key)} must be ${EXPECTED[known.kind]}`);
    const { option } = known;
    const isSet = read.output !== false && !(Array.isArray(read.output) && read.output.length === 0);
    const value = isSet ? !option.negate && read.output : undefined;
    settings.set(key, { name: option.attributeName(), value });
  }
  return settings;
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The engine's own words repeat a piece of the text, line ends and all, and that may be a password.
    const position = /at position (\d+)/.exec(String(error))?.[1];
    const lines = text.slice(0, Number(position)).split(/\r\n?|\n/).length;
    throw fault(file, position === undefined ? 'it is not JSON' : `it is not JSON: look at line ${lines}`);
  }
}

function entriesOf(value: unknown, place: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault(place, 'an object is expected');
  return Object.entries(value);
}

function fault(place: string, what: string): TunnelError {
  return usage(`${place}: ${what}`);
}
