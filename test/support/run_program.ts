import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Finished {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and with what a program runs; by default, as this process does. */
export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Its standard input; empty by default. */
  readonly input?: string;
  /** How long it may take, in milliseconds; a minute and a half by default. */
  readonly limitMs?: number;
}

/** Runs a program to its end. Kills it and rejects when it takes too long. */
export async function runProgram(
  command: string,
  args: readonly string[],
  { input, limitMs = 90_000, ...options }: ProgramOptions = {},
): Promise<Finished> {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'], timeout: limitMs });
  // A program may exit without having read all of it.
  child.stdin.on('error', () => {}).end(input);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await once(child, 'close');
  if (child.signalCode !== null) {
    throw new Error(`${command} ${args.join(' ')}: ended by ${child.signalCode}\n${stdout}${stderr}`);
  }
  return { exitCode: child.exitCode, stdout, stderr };
}
