import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { didYouMeanThen } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { quotedWord, withoutTickets } from '../core/secret_text.js';
import type { Call, CliCommand, Context } from './command.js';
import { type OutputFlags, verbosityOf } from './options/flags.js';
import { joinTickets } from './options/joined_ticket.js';
import { usage } from './options/usage.js';
import { PROGRAM, Reporter, type Verbosity } from './output/reporter.js';
import { EXIT, type ExitCode, exitCodeOf } from './process/exit_codes.js';
import type { CliIo } from './process/io.js';
import { isReaderGone, outputError } from './process/output_stream.js';
import { buildProgram, grammar, loadCommand } from './program.js';

/**
 * Runs a command to its end. Never throws.
 *
 * @param args without the interpreter and the script
 */
export async function run(args: readonly string[], io: CliIo): Promise<ExitCode> {
  const output = watchOutput(io);
  let reporter = reporterOf(io, guessedVerbosity(args), guessedOwner(args));
  let code: ExitCode = EXIT.ok;
  let reported: unknown;
  let program: Command | undefined;
  try {
    const words = withoutHelpCommand(joinTickets(args));
    program = await buildProgram({
      args: words,
      version: packageVersion(),
      out: (text) => io.stdout.write(text),
      onCall: async (command, call) => {
        reporter = reporterOf(io, verbosityOf(call.flags), command.stdoutOwner?.(call));
        const readAgain = () => parsedAgain(words);
        code = await command.run({ io, reporter, grammar, readAgain, onOutputLost: output.onLost }, call);
      },
    });
    await program.parseAsync(words, { from: 'user' });
    reporter.flush();
  } catch (error) {
    reporter.flush();
    if (!(error instanceof CommanderError && error.exitCode === 0)) {
      reported = error instanceof CommanderError ? await usageOf(error, args, program) : error;
      reporter.error(reported);
      code = exitCodeOf(reported);
    }
  }
  output.dispose();
  await io.flushOutput();
  const failure = output.failure();
  const isReported = TunnelError.is(reported) && reported.code === failure?.code;
  if (failure === undefined || isReported) return code;
  reporter.error(failure);
  await io.flushOutput();
  return code === EXIT.ok ? EXIT.failure : code;
}

/** Parses the same arguments, with the file of `--config` as it is now. @throws {TunnelError} ERR_USAGE */
async function parsedAgain(words: readonly string[]): Promise<Call<OutputFlags>> {
  const calls: Call<OutputFlags>[] = [];
  const program = await buildProgram({
    args: words,
    onCall: async (_command, call) => {
      calls.push(call);
    },
  });
  await program.parseAsync(words, { from: 'user' });
  const [call] = calls;
  if (call === undefined) throw new Error('the arguments of a running command no longer name a command');
  return call;
}

/**
 * When stdout belongs to a connection or a program, events go to stderr. A connection is part of another
 * command such as ssh, so little is printed for people, unless `-v` is given.
 */
function reporterOf(
  io: CliIo,
  verbosity: Verbosity,
  stdoutOwner: 'connection' | 'program' | undefined,
): Reporter {
  const stdout = stdoutOwner === undefined ? io.stdout : io.stderr;
  const isPart = stdoutOwner === 'connection' && verbosity.verbose === 0;
  return new Reporter(stdout, io.stderr, { ...verbosity, isPart }, io);
}

/** Guesses the verbosity for errors of the command line itself, when its options could not be parsed. */
function guessedVerbosity(args: readonly string[]): Verbosity {
  return { json: args.includes('--json'), verbose: args.includes('-vv') ? 2 : 0, quiet: false };
}

function guessedOwner(args: readonly string[]): 'connection' | undefined {
  return args.some((arg) => arg === '--' || /^(-W|--stdio|--exec)/.test(arg)) ? 'connection' : undefined;
}

/** `help` is `--help`, and `help COMMAND` is `COMMAND --help`. @throws {TunnelError} ERR_USAGE */
function withoutHelpCommand(args: readonly string[]): readonly string[] {
  const [first, about] = args;
  if (first !== 'help') return args;
  if (about === undefined || about === 'help' || about.startsWith('-')) return ['--help'];
  if (grammar.commandNames.includes(about)) return [about, '--help'];
  const hint = didYouMeanThen(about, grammar.commandNames);
  throw usage(`there is no command ${quotedWord(about)}${hint}${PROGRAM} --help lists all commands`);
}

/** Puts commander's message into our words, in one line with a pointer to the help. */
async function usageOf(
  error: CommanderError,
  args: readonly string[],
  program: Command | undefined,
): Promise<TunnelError> {
  // A guess: the value of an earlier option may look like a command.
  const commandIn = (words: readonly string[]): string | undefined =>
    words.find((word) => grammar.commandNames.includes(word));
  const first = commandIn(args);
  const dashes = args.indexOf('--');
  // The words after -- are a call of their own.
  const command = first === 'service' && dashes >= 0 ? (commandIn(args.slice(dashes)) ?? 'listen') : first;
  const loaded = command === undefined ? undefined : await loadCommand(command);
  if (error.code === 'commander.excessArguments' && loaded !== undefined)
    return usage(tooManyWords(loaded, wordsOf(program, loaded.name)));
  const help = loaded?.help ?? '';
  const see = `see ${[PROGRAM, ...(command === undefined ? [] : [command]), '--help'].join(' ')}`;
  const complaint = complaintOf(error, command ?? PROGRAM, help);
  return usage(`${complaint}${complaint.endsWith('?') ? '' : ';'} ${see}`);
}

/** The positional words of a command that the parser has refused. */
function wordsOf(program: Command | undefined, name: string): readonly string[] {
  return program?.commands.find((command) => command.name() === name)?.args ?? [];
}

/** Names the surplus words, and what the user probably wanted. */
function tooManyWords(command: CliCommand, words: readonly string[]): string {
  const most = Object.keys(command.arguments ?? {}).length;
  const extra = words.slice(most);
  const quoted = extra.map(quotedWord).join(' ');
  const takes = most === 0 ? 'no arguments' : `at most ${most} ${most === 1 ? 'argument' : 'arguments'}`;
  const see = `${PROGRAM} ${command.name} --help`;
  if (extra.includes('help')) return `for the help of ${command.name}, run ${see}`;
  const hint = command.hintForExtra?.(extra) ?? `see ${see}`;
  return `${command.name} takes ${takes}, so ${quoted} is too much; ${hint}`;
}

/** @param help the text below the options of the command, with its examples */
function complaintOf({ code, message }: CommanderError, command: string, help: string): string {
  const [, quoted = ''] = /'([^']*)'/.exec(message) ?? [];
  switch (code) {
    case 'commander.unknownOption': {
      const [, near] = /\(Did you mean (?:one of )?([^?]*)\?\)/.exec(message) ?? [];
      return `${command} has no option ${withoutTickets(quoted)}${near === undefined ? '' : `; did you mean ${near}?`}`;
    }
    case 'commander.missingArgument': {
      const [, example] = /\$ (.*?)(?: {2,}.*)?$/m.exec(help) ?? [];
      return `${command} needs ${quoted}${example === undefined ? '' : `, as in ${example}`}`;
    }
    case 'commander.optionMissingArgument': {
      const [, flags = quoted, value = 'a value'] = /^(.*?) <(.*)>$/.exec(quoted) ?? [];
      const example = flags
        .split(', ')
        .map((flag) => help.match(new RegExp(`${flag} [^\\s-]\\S*`))?.[0])
        .find((found) => found !== undefined);
      return `${flags} needs ${value}${example === undefined ? '' : `, as in ${example}`}`;
    }
    default:
      return message
        .replace(/^error: /, '')
        .replaceAll(/\s+/g, ' ')
        .replace(/\.? ?$/, '');
  }
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const read: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const known = typeof read === 'object' && read !== null && 'version' in read;
  return known && typeof read.version === 'string' ? read.version : 'unknown';
}

/**
 * Watches for output that cannot be written. Errors of the streams must not throw: they end the command,
 * without a failure when the reader has gone, and with a failure when stdout lost bytes.
 */
function watchOutput({ stdout, stderr }: CliIo): {
  readonly onLost: Context['onOutputLost'];
  /** Why stdout is incomplete, if it is. */
  failure(): TunnelError | undefined;
  dispose(): void;
} {
  let isLost = false;
  let failure: TunnelError | undefined;
  let onLost = (): void => {};
  const lose = (): void => {
    isLost = true;
    onLost();
  };
  stdout.on('error', (error) => {
    if (!isReaderGone(error, stdout)) failure ??= outputError(error);
    lose();
  });
  // A full disk behind stderr does not stop the command: there is no other place to report it.
  stderr.on('error', (error) => {
    if (isReaderGone(error, stderr)) lose();
  });
  return {
    onLost: (handler) => {
      onLost = handler;
      if (isLost) handler();
    },
    failure: () => failure,
    // The listeners stay: the last write may fail later.
    dispose: () => {
      onLost = () => {};
    },
  };
}
