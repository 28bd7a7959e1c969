/** The command line as its users start it: a separate process, watched through `--json`. */
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { built } from './build.js';
import { hasEnded, startChild } from './child_process.js';
import { type Finished, type ProgramOptions, runProgram } from './run_program.js';

const mainFile = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The argument list that runs the command line from its sources, without its own arguments. */
export const FROM_SOURCES: readonly string[] = [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  mainFile,
];

const builtMain = built('cli/main.js');

/**
 * The argument list that runs the command line, from the build if there is one, without its own arguments. Node reads
 * source maps at each start, which costs more than a tenth of it: for stack traces, add `--enable-source-maps`.
 */
export const CLI: readonly string[] = builtMain === undefined ? FROM_SOURCES : [process.execPath, builtMain];

/** Runs the command line to its end. */
export async function runCli(args: readonly string[], options?: ProgramOptions): Promise<Finished> {
  const [command = '', ...rest] = CLI;
  return await runProgram(command, [...rest, ...args], options);
}

/** A line of `--json` output. */
export interface CliEvent {
  readonly event: string;
  readonly time: string;
  readonly [field: string]: unknown;
}

/**
 * How long a test waits for an event: friends find each other in 1 to 10 s, and a busy machine takes longer.
 */
const EVENT_TIMEOUT_MS = 90_000;

interface Waiter {
  readonly matches: (event: CliEvent) => boolean;
  readonly resolve: (event: CliEvent) => void;
  readonly reject: (error: Error) => void;
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The argument list that runs the program, without its own arguments. Default {@link CLI}. */
  readonly program?: readonly string[];
}

export class CliProcess {
  readonly child: ChildProcess;
  readonly events: CliEvent[] = [];
  /** Its stderr so far. */
  stderr = '';
  readonly #args: readonly string[];
  readonly #waiters = new Set<Waiter>();
  readonly #exited: Promise<number | null>;

  private constructor(args: readonly string[], { env, program = CLI }: CliOptions) {
    this.#args = args;
    const [command, ...rest] = [...program, ...args];
    if (command === undefined) throw new Error('the program to run has at least one word');
    const child = startChild(command, rest, env);
    this.child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line));
    this.#exited = once(child, 'close').then(() => {
      for (const waiter of this.#waiters) waiter.reject(this.#failure(`ended with ${this.#ending()}`));
      return child.exitCode;
    });
    // Anyone who waits for the exit sees a failed start; nobody else has to.
    this.#exited.catch(() => {});
  }

  static start(args: readonly string[], options: CliOptions = {}): CliProcess {
    return new CliProcess(args, options);
  }

  /** Returns the first event of this name, past or future, that `matches`. */
  async event(name: string, matches: (event: CliEvent) => boolean = () => true): Promise<CliEvent> {
    const wanted = (event: CliEvent): boolean => event.event === name && matches(event);
    const past = this.events.find(wanted);
    if (past !== undefined) return past;
    if (hasEnded(this.child)) throw this.#failure(`has already ended, with ${this.#ending()}`);
    return await new Promise((resolve, reject) => {
      const waiter: Waiter = {
        matches: wanted,
        resolve: (event) => {
          clearTimeout(timer);
          resolve(event);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(this.#failure(`reported no event "${name}" within ${EVENT_TIMEOUT_MS / 1000} s`));
      }, EVENT_TIMEOUT_MS);
      this.#waiters.add(waiter);
    });
  }

  /** Waits until `text` appears on its stderr, this many times. */
  async said(text: RegExp, times = 1): Promise<void> {
    const stderr = this.child.stderr;
    const every = new RegExp(text, 'g');
    const isSaid = (): boolean => (this.stderr.match(every)?.length ?? 0) >= times;
    if (stderr === null || isSaid()) return;
    for await (const _ of on(stderr, 'data', {
      close: ['end'],
      signal: AbortSignal.timeout(EVENT_TIMEOUT_MS),
    }))
      if (isSaid()) return;
    throw this.#failure(`never printed ${text}`);
  }

  /** Returns the next event of this name from now on. */
  async nextEvent(name: string, matches: (event: CliEvent) => boolean = () => true): Promise<CliEvent> {
    const past = new Set(this.events);
    return await this.event(name, (event) => !past.has(event) && matches(event));
  }

  /**
   * Stops it as a user would, with SIGTERM by default. Returns its exit code, or null when a signal killed
   * it.
   */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!hasEnded(this.child)) this.child.kill(signal);
    // A failed test may have left it stopped; it then handles no other signal.
    if (!hasEnded(this.child) && process.platform !== 'win32') this.child.kill('SIGCONT');
    return await this.exited();
  }

  async exited(): Promise<number | null> {
    return await this.#exited;
  }

  /** Resident memory now, in bytes. Linux only. */
  rssBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
  }

  /** User and system time so far, in seconds. Linux only. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  #ending(): string {
    return this.child.signalCode ?? `exit code ${this.child.exitCode}`;
  }

  #line(line: string): void {
    let event: CliEvent;
    try {
      event = JSON.parse(line) as CliEvent; // our own output: the tests that use an event check its name
    } catch {
      for (const waiter of this.#waiters)
        waiter.reject(this.#failure(`printed a line that is not JSON: ${line}`));
      return;
    }
    this.events.push(event);
    for (const waiter of this.#waiters) {
      if (!waiter.matches(event)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(event);
    }
  }

  #failure(what: string): Error {
    const told = this.events.map((event) => JSON.stringify(event)).join('\n');
    return new Error(`tox-wasm-tunnel ${this.#args.join(' ')}: ${what}\n${told}\n${this.stderr}`);
  }
}
