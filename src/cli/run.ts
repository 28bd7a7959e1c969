import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { TunnelError } from '../core/errors.js';
import { type OutputFlags, usage, verbosityOf } from './options/flags.js';
import { isReaderGone, outputError } from './output/output.js';
import { PROGRAM, Reporter, type Verbosity } from './output/reporter.js';
import { EXIT, type ExitCode, exitCodeOf } from './process/exit_codes.js';
import type { CliIo } from './process/io.js';
import { buildProgram } from './program.js';
import type { Context } from './service/serve.js';

/**
 * Runs the command to its end; never throws.
 *
 * @param args without the interpreter and the script
 */
export async function run(args: readonly string[], io: CliIo): Promise<ExitCode> {
  const output = watchOutput(io);
  const reporterFor = isPipeGuess(args) ? pipeReporterOf : reporterOf;
  let reporter = reporterFor(io, guessedVerbosity(args));
  let code: ExitCode = EXIT.ok;
  const begin = (flags: OutputFlags, toReporter = reporterOf): Context => {
    reporter = toReporter(io, verbosityOf(flags));
    return { io, reporter, onOutputLost: output.tell };
  };
  // The commands are loaded when they are called: --help needs none of them.
  const program = buildProgram(
    {
      listen: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/listen.js')).listenCommand(context, flags);
      },
      connect: async (first, second, flags) => {
        const isProgram = flags.exec !== undefined || flags.program !== undefined;
        const foreign = isProgram ? besideProgram : pipeReporterOf;
        const context = begin(flags, isProgram || flags.stdio !== undefined ? foreign : reporterOf);
        code = await (await import('./commands/connect.js')).connectCommand(context, first, second, flags);
      },
      node: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/node.js')).nodeCommand(context, flags);
      },
      nodes: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/nodes.js')).nodesCommand(context, flags);
      },
      peers: async (action, peer, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/peers.js')).peersCommand(context, action, peer, flags);
      },
      rule: async (action, rules, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/rule.js')).ruleCommand(context, action, rules, flags);
      },
      doctor: async (first, second, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/doctor.js')).doctorCommand(context, first, second, flags);
      },
      ping: async (first, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/ping.js')).pingCommand(context, first, flags);
      },
      status: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/status.js')).statusCommand(context, flags);
      },
      forward: async (action, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/forward.js')).forwardCommand(context, action, flags);
      },
      id: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/id.js')).idCommand(context, flags);
      },
      ticket: async (action, name, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/ticket.js')).ticketCommand(context, action, name, flags);
      },
      add: async (name, ticket, flags, commands) => {
        const context = begin(flags);
        code = await (await import('./commands/names.js')).addCommand(context, name, ticket, flags, commands);
      },
      remove: async (name, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/names.js')).removeCommand(context, name, flags);
      },
      list: async (flags) => {
        const context = begin(flags);
        code = await (await import('./commands/names.js')).listCommand(context, flags);
      },
      service: async (action, words, flags) => {
        const context = begin(flags);
        code = await (await import('./commands/service.js')).serviceCommand(context, action, words, flags);
      },
      completion: async (shell, grammar, flags) => {
        const context = begin(flags);
        code = (await import('./commands/completion.js')).completionCommand(context, shell, grammar);
      },
      ssh: async (destination, args, flags, words) => {
        const context = begin(flags);
        code = await (await import('./commands/ssh.js')).sshCommand(context, destination, args, flags, words);
      },
      sshConfig: async (destination, flags, words) => {
        const context = begin(flags);
        code = await (await import('./commands/ssh.js')).sshConfigCommand(context, destination, flags, words);
      },
    },
    packageVersion(),
    { out: (text) => io.stdout.write(text) },
    args,
  );
  let told: unknown;
  try {
    await program.parseAsync(args, { from: 'user' });
    reporter.flush();
  } catch (error) {
    reporter.flush();
    if (!(error instanceof CommanderError && error.exitCode === 0)) {
      told = error instanceof CommanderError ? usageOf(error, commandIn(args, program)) : error;
      reporter.error(told);
      code = exitCodeOf(told);
    }
  }
  output.dispose();
  await io.flushOutput();
  const failure = output.failure();
  const isTold = TunnelError.is(told) && told.code === failure?.code;
  if (failure === undefined || isTold) return code;
  reporter.error(failure);
  await io.flushOutput();
  return code === EXIT.ok ? EXIT.failure : code;
}

function reporterOf(io: CliIo, verbosity: Verbosity): Reporter {
  return new Reporter(io.stdout, io.stderr, verbosity, io);
}

/** Stdout belongs to the bytes of `-W`: events go to stderr, and people hear of errors alone unless they ask. */
function pipeReporterOf(io: CliIo, verbosity: Verbosity): Reporter {
  const quiet = verbosity.quiet || verbosity.verbose === 0;
  return new Reporter(io.stderr, io.stderr, { ...verbosity, quiet }, io);
}

/** Stdout belongs to the program that is run. */
function besideProgram(io: CliIo, verbosity: Verbosity): Reporter {
  return new Reporter(io.stderr, io.stderr, verbosity, io);
}

/** For errors of the command line itself, when its options could not be read. */
function guessedVerbosity(args: readonly string[]): Verbosity {
  return { json: args.includes('--json'), verbose: args.includes('-vv') ? 2 : 0, quiet: false };
}

function isPipeGuess(args: readonly string[]): boolean {
  return args.some((arg) => arg === '--' || /^(-W|--stdio|--exec)/.test(arg));
}

/** Commander's sentence in one line of ours. */
function usageOf(error: CommanderError, command: string | undefined): TunnelError {
  const what = error.message
    .replace(/^error: /, '')
    .replaceAll(/\s+/g, ' ')
    .replace(/\.? ?$/, '');
  return usage(`${what}; see ${[PROGRAM, ...(command === undefined ? [] : [command]), '--help'].join(' ')}`);
}

/** The command that is meant: a guess, as the value of an option before it may look like one. */
function commandIn(args: readonly string[], program: Command): string | undefined {
  const names = new Set(program.commands.map((command) => command.name()));
  return args.find((arg) => names.has(arg));
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const read: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const known = typeof read === 'object' && read !== null && 'version' in read;
  return known && typeof read.version === 'string' ? read.version : 'unknown';
}

/**
 * Watches for output that cannot be written, which must not throw. It ends the command: in peace where a reader has
 * gone, and as a failure where bytes of standard output are lost.
 */
function watchOutput({ stdout, stderr }: CliIo): {
  readonly tell: Context['onOutputLost'];
  /** Why standard output is incomplete, if it is. */
  failure(): TunnelError | undefined;
  dispose(): void;
} {
  let isLost = false;
  let failure: TunnelError | undefined;
  let tell = (): void => {};
  const lose = (): void => {
    isLost = true;
    tell();
  };
  stdout.on('error', (error) => {
    if (!isReaderGone(error, stdout)) failure ??= outputError(error);
    lose();
  });
  // There is nowhere to say that people cannot be told; what the command is for goes on.
  stderr.on('error', (error) => {
    if (isReaderGone(error, stderr)) lose();
  });
  return {
    tell: (handler) => {
      tell = handler;
      if (isLost) handler();
    },
    failure: () => failure,
    // The guard stays: what was written last may fail after us.
    dispose: () => {
      tell = () => {};
    },
  };
}
