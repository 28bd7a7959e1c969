/**
 * The connection of `-W`, and the program of `--exec` or `--`: each owns stdin and stdout, and the command
 * ends with it.
 */
import type { Duplex } from 'node:stream';
import { errnoOf, TunnelError } from '../../core/errors.js';
import type { HostPort } from '../../rules/endpoint.js';
import { usage } from '../options/usage.js';
import type { RunningForward } from '../output/forward_text.js';
import { refusalText } from '../output/human.js';
import type { Reporter } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo, ProgramCall, RunningProgram } from '../process/io.js';
import type { ConnectorHandle } from '../process/library.js';
import type { Lifetime } from '../process/lifetime.js';
import { outputError } from '../process/output_stream.js';

/**
 * Connects stdin and stdout to a target of the listener, passes on half-closes, and ends the command with the
 * connection. Waits for the peer without a limit.
 */
export function joinStdio(io: CliIo, connector: ConnectorHandle, target: HostPort, lifetime: Lifetime): void {
  const stream = connector.dial({
    ...target,
    allowHalfOpen: true,
    sessionWaitMs: Number.POSITIVE_INFINITY,
  });
  let code: 'ERR_OPEN_REFUSED' | 'ERR_STREAM_RESET' = 'ERR_OPEN_REFUSED';
  stream.on('connect', () => {
    code = 'ERR_STREAM_RESET';
  });
  joinStream(io, stream, lifetime, (cause) => new TunnelError(code, refusalText(cause), { cause }));
}

/**
 * {@link joinStdio} for a stream that exists. It must allow half-open connections.
 *
 * @param failure turns the stream's error into that of the command
 */
export function joinStream(
  { stdin, stdout, endStdout }: CliIo,
  stream: Duplex,
  lifetime: Lifetime,
  failure: (cause: Error) => TunnelError,
): void {
  let openHalves = 2;
  const onHalfClosed = (): void => {
    openHalves--;
    if (openHalves === 0) lifetime.stop();
  };
  stream.on('error', (cause) => lifetime.fail(failure(cause)));
  stream.on('finish', onHalfClosed);
  stream.on('end', () => {
    // Otherwise a person at a terminal would have to close an input that leads nowhere.
    if (stdin.isTTY === true) stream.end();
    endStdout().then(onHalfClosed, (error: Error) => lifetime.fail(outputError(error)));
  });
  stdin.on('error', (error) => stream.destroy(error));
  stdin.pipe(stream);
  stream.pipe(stdout, { end: false });
  lifetime.signal.addEventListener('abort', () => {
    stdin.unpipe(stream);
    stdin.destroy();
  });
}

export interface ExecFlags {
  /** Argument of `--exec`. */
  readonly exec?: string;
  /** The words after `--`. */
  readonly program?: readonly string[];
}

const WHY_NOT: Readonly<Record<string, string>> = {
  ENOENT: 'no such program; install it or correct its name',
  EACCES: 'it is not executable (EACCES); run chmod +x on it, or put its interpreter before it',
};

/** Returns the program of the command line, if any. @throws {TunnelError} ERR_USAGE */
export function programOf({ exec, program }: ExecFlags): ProgramCall | undefined {
  if (exec !== undefined && program !== undefined)
    throw usage('--exec COMMAND and -- PROGRAM cannot be combined');
  if (exec?.trim() === '') throw usage('--exec needs a command for the shell');
  if (program?.length === 0) throw usage('the program after -- is missing');
  if (exec !== undefined) return { shell: exec };
  return program && { words: program };
}

/**
 * Runs a program while the tunnel is up, and ends `lifetime` after it. Signals go to the program. When the
 * tunnel ends first, the program gets SIGTERM.
 *
 * @returns the exit code of the program
 */
export async function runProgram(
  { io, reporter }: { readonly io: CliIo; readonly reporter: Reporter },
  call: ProgramCall,
  forwards: readonly RunningForward[],
  lifetime: Lifetime,
): Promise<ExitCode> {
  reporter.hush();
  try {
    const program = await io.startProgram(call, variablesOf(forwards));
    return await endOf(program, lifetime);
  } catch (error) {
    const code = errnoOf(error);
    const name = 'words' in call ? JSON.stringify(call.words[0]) : 'the shell';
    const why = WHY_NOT[code ?? ''] ?? String(error);
    reporter.error(new TunnelError('ERR_PROGRAM', `${name}: ${why}`, { cause: error }));
    return code === 'ENOENT' ? EXIT.programNotFound : EXIT.programNotRun;
  } finally {
    lifetime.stop();
  }
}

async function endOf(program: RunningProgram, lifetime: Lifetime): Promise<ExitCode> {
  const restore = lifetime.divert((signal) => program.kill(signal));
  const stop = (): void => program.kill('SIGTERM');
  lifetime.signal.addEventListener('abort', stop);
  // The tunnel may have ended while the program was starting.
  if (lifetime.signal.aborted) stop();
  try {
    return await program.ended;
  } finally {
    restore();
    lifetime.signal.removeEventListener('abort', stop);
  }
}

/**
 * Environment variables for the program. `TOX_WASM_TUNNEL_ADDRESS` is where the first forward listens;
 * `_HOST` and `_PORT` are its parts, unless it is a path. The names for the second forward end with `_2`, and
 * so on.
 */
function variablesOf(forwards: readonly RunningForward[]): Record<string, string> {
  const variables: Record<string, string> = {};
  const here = forwards.filter(({ kind }) => kind !== 'reverse');
  for (const [index, { listen }] of here.entries()) {
    const suffix = index === 0 ? '' : `_${index + 1}`;
    variables[`TOX_WASM_TUNNEL_ADDRESS${suffix}`] = listen;
    const [, host, port] = /^\[?([^/\\]*?)\]?:(\d+)$/.exec(listen) ?? [];
    if (host === undefined || port === undefined) continue;
    variables[`TOX_WASM_TUNNEL_HOST${suffix}`] = host;
    variables[`TOX_WASM_TUNNEL_PORT${suffix}`] = port;
  }
  return variables;
}
