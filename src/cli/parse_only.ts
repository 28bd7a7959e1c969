import type { Option } from 'commander';
import { type Actions, buildProgram } from './program.js';

/** A call of this program that was understood, and not done. */
export interface ParsedCall {
  readonly command: string;
  /** Words that are no options. */
  readonly words: readonly string[];
  readonly options: readonly Option[];
  readonly flags: Readonly<Record<string, unknown>>;
  /** Whether an option stands on the command line, rather than in a file of `--config`. */
  isWritten(option: Option): boolean;
}

/** Reads a call of this program, a command's name first. @throws {CommanderError}, {TunnelError} ERR_USAGE */
export async function parseOnly(args: readonly string[]): Promise<ParsedCall> {
  const nothing = async (): Promise<void> => {};
  // Whatever is called, nothing happens.
  const program = buildProgram(new Proxy({} as Actions, { get: () => nothing }), '', { out: () => {} }, args);
  await program.parseAsync(args, { from: 'user' });
  const command = program.commands.find((each) => each.name() === args[0]) ?? program;
  return {
    command: command.name(),
    words: command.args,
    options: command.options,
    flags: command.opts(),
    isWritten: (option) => command.getOptionValueSource(option.attributeName()) === 'cli',
  };
}
