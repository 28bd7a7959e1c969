import { type Command, Option } from 'commander';
import { usage } from './flags.js';

/** A command of the program, with its examples below its options. */
export function subcommand(program: Command, name: string, description: string, examples: string): Command {
  return program
    .command(name)
    .description(description)
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples);
}

export function addOptions(command: Command, ...options: readonly Option[]): void {
  for (const option of options) command.addOption(option);
}

/**
 * The options of a subcommand, with those that stand before its name: `-v id` is `id -v`. One
 * that the subcommand does not have is refused, as it would be after the name.
 */
export function merged<Flags>(program: Command, command: Command): Flags {
  const flags = command.opts();
  const known = new Set(command.options.map((option) => option.attributeName()));
  for (const option of program.options) {
    const name = option.attributeName();
    if (program.getOptionValueSource(name) !== 'cli') continue;
    if (!known.has(name)) throw usage(`${command.name()} has no option ${option.long ?? option.flags}`);
    const outer: unknown = program.getOptionValue(name);
    const inner: unknown = command.getOptionValue(name);
    if (Array.isArray(outer)) flags[name] = Array.isArray(inner) ? [...outer, ...inner] : outer;
    else if (typeof outer === 'number' && typeof inner === 'number') flags[name] = outer + inner;
    else if (command.getOptionValueSource(name) !== 'cli') flags[name] = outer;
  }
  // Commander knows the options by their text alone; Flags has what is added beside it.
  return flags as Flags;
}

const collect = (value: string, previous: readonly string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
];

/** Whether {@link repeatable} made it. */
export const isRepeatable = (option: Option): boolean => option.parseArg === collect;

/** An option whose values are collected in the order given. */
export const repeatable = (flags: string, description: string): Option =>
  new Option(flags, description).argParser(collect);
