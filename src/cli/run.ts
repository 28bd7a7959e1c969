import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { TunnelError } from '../core/errors.js';
import type { Context } from './command.js';
import { verbosityOf } from './options/flags.js';
import { usage } from './options/usage.js';
import { PROGRAM, Reporter, type Verbosity } from './output/reporter.js';
import { EXIT, type ExitCode, exitCodeOf } from './process/exit_codes.js';
import type { CliIo } from './process/io.js';
import { isReaderGone, outputError } from './process/output_stream.js';
import { buildProgram, grammar } from './program.js';

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
  try {
    const program = await buildProgram({
      args,
      version: packageVersion(),
      out: (text) => io.stdout.write(text),
      onCall: async (command, call) => {
        reporter = reporterOf(io, verbosityOf(call.flags), command.stdoutOwner?.(call));
        code = await command.run({ io, reporter, grammar, onOutputLost: output.onLost }, call);
      },
    });
    await program.parseAsync(args, { from: 'user' });
    reporter.flush();
  } catch (error) {
    reporter.flush();
    if (!(error instanceof CommanderError && error.exitCode === 0)) {
      reported = error instanceof CommanderError ? usageOf(error, args) : error;
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

/**
 * When stdout belongs to a connection or a program, events go to stderr. A connection is part of another
 * command such as ssh, so only errors are printed for people, unless `-v` is given.
 */
function reporterOf(
  io: CliIo,
  verbosity: Verbosity,
  stdoutOwner: 'connection' | 'program' | undefined,
): Reporter {
  const stdout = stdoutOwner === undefined ? io.stdout : io.stderr;
  const quiet = verbosity.quiet || (stdoutOwner === 'connection' && verbosity.verbose === 0);
  return new Reporter(stdout, io.stderr, { ...verbosity, quiet }, io);
}

/** Guesses the verbosity for errors of the command line itself, when its options could not be parsed. */
function guessedVerbosity(args: readonly string[]): Verbosity {
  return { json: args.includes('--json'), verbose: args.includes('-vv') ? 2 : 0, quiet: false };
}

function guessedOwner(args: readonly string[]): 'connection' | undefined {
  return args.some((arg) => arg === '--' || /^(-W|--stdio|--exec)/.test(arg)) ? 'connection' : undefined;
}

/** Rewrites commander's message as one line with a pointer to the help. */
function usageOf(error: CommanderError, args: readonly string[]): TunnelError {
  const what = error.message
    .replace(/^error: /, '')
    .replaceAll(/\s+/g, ' ')
    .replace(/\.? ?$/, '');
  // A guess: the value of an earlier option may look like a command.
  const command = args.find((arg) => grammar.commandNames.includes(arg));
  return usage(`${what}; see ${[PROGRAM, ...(command === undefined ? [] : [command]), '--help'].join(' ')}`);
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
