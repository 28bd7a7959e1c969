import type { Command, Option } from 'commander';
import type { StateOwner } from './options/config_options.js';
import type { OutputFlags } from './options/flags.js';
import type { Reporter } from './output/reporter.js';
import type { ExitCode } from './process/exit_codes.js';
import type { CliIo } from './process/io.js';

/** The sections of the top-level help, in order. */
export const HELP_GROUPS = ['Tunnels', 'Names', 'Running', 'Access', 'Network', 'Setup'] as const;

/**
 * Everything that `--help`, the parser, `--config` and the shell completion need to know about a command, and
 * its handler.
 */
export interface CliCommand<Flags extends OutputFlags = OutputFlags> {
  readonly name: string;
  readonly group: (typeof HELP_GROUPS)[number];
  /** One line, imperative, without a full stop. */
  readonly summary: string;
  /** Positional arguments in commander's syntax, such as `[PORT]`, with their descriptions. Default: none. */
  readonly arguments?: Readonly<Record<string, string>>;
  readonly options: readonly Option[];
  /** Text below the options: examples, which a test parses, and notes. */
  readonly help: string;
  /**
   * The owners of the state folders that the command looks into, if not its own. With `--config` it uses the folder and
   * the passphrase that the file names for them, unless the call names a folder.
   */
  readonly stateOf?: readonly StateOwner[];
  /** What a user who writes too many words probably wants, as a clause. Default: to see the help. */
  hintForExtra?(words: readonly string[]): string | undefined;
  /** Further settings of the parser. */
  readonly configure?: (command: Command) => void;
  /** Who owns stdout, if not the events: bytes of a connection, or a program. */
  stdoutOwner?(call: Call<Flags>): 'connection' | 'program' | undefined;
  run(context: Context, call: Call<Flags>): ExitCode | Promise<ExitCode>;
}

/** Lets TypeScript infer and check a command. */
export function defineCommand<Flags extends OutputFlags>(command: CliCommand<Flags>): CliCommand {
  // Commander stores values by attribute name; each command declares the type of its own options.
  return command as CliCommand;
}

/** What the command line says. */
export interface Call<Flags> {
  /** Positional arguments. Those after `--` come last. */
  readonly words: readonly string[];
  /** How many of the words follow `--`; undefined without `--`. */
  readonly wordsAfterDashes: number | undefined;
  readonly flags: Flags;
}

/** What a handler works with. */
export interface Context {
  readonly io: CliIo;
  readonly reporter: Reporter;
  readonly grammar: Grammar;
  /**
   * Parses the call again, with the file of `--config` as it is now.
   *
   * @throws {TunnelError} ERR_USAGE, with the place in the file
   */
  readAgain(): Promise<Call<OutputFlags>>;
  /**
   * Calls back once the output has lost its reader. If that is a failure, the caller of the handler reports
   * it.
   */
  onOutputLost(handler: () => void): void;
}

/** The grammar of the whole command line, for commands that need it. */
export interface Grammar {
  readonly commandNames: readonly string[];
  /** Builds the commander program with all commands. */
  program(): Promise<Command>;
  /**
   * Parses a call of this program without running it.
   *
   * @param args start with the name of a command
   * @throws {CommanderError}
   * @throws {TunnelError} ERR_USAGE
   */
  parse(args: readonly string[]): Promise<ParsedCall>;
}

export interface ParsedCall {
  readonly command: string;
  /** Positional arguments. */
  readonly words: readonly string[];
  readonly options: readonly Option[];
  /** By attribute name, as commander stores them. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** True for options of the command line; false for those of a `--config` file. */
  isWritten(option: Option): boolean;
}
