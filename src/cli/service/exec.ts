import { errnoOf, TunnelError } from '../../core/errors.js';
import { usage } from '../options/flags.js';
import type { Reporter } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo, ProgramCall, RunningProgram } from '../process/io.js';
import type { Lifetime } from '../process/lifetime.js';
import type { RunningForward } from './running_forwards.js';

export interface ExecFlags {
  /** Argument of `--exec`. */
  readonly exec?: string;
  /** The words after `--`. */
  readonly program?: readonly string[];
}

const WHY_NOT: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such program; is it installed?',
  EACCES: 'it may not be executed (EACCES); chmod +x makes it so, or name its interpreter before it',
};

/** The program that the command line names, if any. @throws {TunnelError} ERR_USAGE */
export function programOf({ exec, program }: ExecFlags): ProgramCall | undefined {
  if (exec !== undefined && program !== undefined)
    throw usage('--exec COMMAND and -- PROGRAM contradict each other');
  if (exec?.trim() === '') throw usage('--exec needs a command for the shell');
  if (program?.length === 0) throw usage('after -- a program is missing');
  if (exec !== undefined) return { shell: exec };
  return program && { words: program };
}

/**
 * Runs a program with the tunnel up. Signals go to it; when the tunnel ends first it is told by SIGTERM. Ends `lifetime`.
 *
 * @returns its exit code
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
  // It may have ended while the program was started.
  if (lifetime.signal.aborted) stop();
  try {
    return await program.ended;
  } finally {
    restore();
    lifetime.signal.removeEventListener('abort', stop);
  }
}

/**
 * `TOX_WASM_TUNNEL_ADDRESS` is where the first forward listens, `_HOST` and `_PORT` its parts where it is no path; of the
 * second one they end with `_2`, and so on.
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
