import { isAbsolute, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { PROGRAM } from '../output/reporter.js';
import { usage } from './usage.js';

/**
 * Returns the options of a subcommand, including those before its name: `-v id` equals `id -v`. An option
 * that the subcommand does not have is rejected in either place.
 */
export function merged(program: Command, command: Command): Record<string, unknown> {
  const flags: Record<string, unknown> = command.opts();
  const known = new Set(command.options.map((option) => option.attributeName()));
  for (const option of program.options) {
    const name = option.attributeName();
    if (program.getOptionValueSource(name) !== 'cli') continue;
    if (!known.has(name))
      throw usage(
        `${command.name()} has no option ${option.long ?? option.flags}; see ${PROGRAM} ${command.name()} --help`,
      );
    const outer: unknown = program.getOptionValue(name);
    const inner: unknown = command.getOptionValue(name);
    if (Array.isArray(outer)) flags[name] = Array.isArray(inner) ? [...outer, ...inner] : outer;
    else if (typeof outer === 'number' && typeof inner === 'number') flags[name] = outer + inner;
    else if (command.getOptionValueSource(name) !== 'cli') flags[name] = outer;
  }
  return flags;
}

const collect = (value: string, previous: readonly string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
];

/** An option that may be given several times. Its values keep their order. */
export const repeatable = (flags: string, description: string): Option =>
  new Option(flags, description).argParser(collect);

/** True for options made by {@link repeatable}. */
export const isRepeatable = (option: Option): boolean => option.parseArg === collect;

/** True when the value of an option names a file or folder. */
export function isPathOption(option: Option): boolean {
  return /<(FILE|DIR)>/.test(option.flags);
}

/**
 * Turns flags back into arguments, for another call of this program in any folder: paths become absolute.
 *
 * @param flags by attribute name, as commander stores them
 */
export function wordsOf(options: readonly Option[], flags: Readonly<Record<string, unknown>>): string[] {
  return options.flatMap((option) => {
    const value = flags[option.attributeName()];
    const name = option.long ?? option.flags;
    if (option.negate) return value === false ? [name] : [];
    if (typeof value === 'boolean') return value ? [name] : [];
    if (typeof value === 'number') return Array.from({ length: value }, () => name);
    const texts: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return texts.flatMap((text) => [name, isPathOption(option) ? absolute(String(text)) : String(text)]);
  });
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(path);
}
