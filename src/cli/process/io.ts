import type { Readable } from 'node:stream';
import type { Timers } from '../../core/clock.js';
import type { EndSignal, ExitCode } from './exit_codes.js';
import type { Library } from './library.js';
import type { MaybeTerminal, Output } from './output_stream.js';

/** A program to run: an argument list, or a line for the system's shell. */
export type ProgramCall = { readonly words: readonly string[] } | { readonly shell: string };

export interface RunningProgram {
  /** Resolves with its exit code, or 128 plus the number of the signal that killed it. Never rejects. */
  readonly ended: Promise<ExitCode>;
  /** Sends a signal, unless the terminal has already sent the same one. */
  kill(signal: EndSignal): void;
}

export interface LocalAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  /** Loopback, and other addresses that never leave the machine. */
  readonly internal: boolean;
}

/** Everything outside the command line that a command touches. */
export interface CliIo {
  /** Opened on first use: by `-W`, and by a ticket or an identity read from `-`. */
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output & MaybeTerminal;
  readonly timers: Timers;
  wallClock(): Date;
  /** Calls `handler` on every such signal. Returns a function that stops listening. */
  onSignal(signal: EndSignal, handler: () => void): () => void;
  /**
   * Closes stdout while the command continues, so that its reader sees the end of the file. Rejects when the
   * output could not be written.
   */
  endStdout(): Promise<void>;
  /** Waits until all output is written, or has failed: then the streams have emitted the error. */
  flushOutput(): Promise<void>;
  /** Process ID. */
  readonly pid: number;
  /**
   * Starts a program that inherits stdin, stdout and stderr. Rejects with the system's error.
   *
   * @param variables environment variables to add
   */
  startProgram(call: ProgramCall, variables: Readonly<Record<string, string>>): Promise<RunningProgram>;
  /** The argument list that runs this program, without its arguments. */
  readonly ownCommand: readonly string[];
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  /** The folder of systemd units. */
  unitFolder(scope: 'system' | 'user'): Promise<string>;
  /**
   * Whether a terminal was open when the process started, and nohup did not detach the process from it. When the
   * terminal closes, SIGHUP asks the process to end.
   */
  readonly hasTerminal: boolean;
  /** Whether to write no escape codes to a terminal: `TERM=dumb` or `NO_COLOR`. */
  readonly isPlain: boolean;
  /** Ends the process at once. */
  exit(code: ExitCode): void;
  /**
   * Returns the value of an environment variable that holds a secret, once. The environment no longer has it
   * by then, so neither worker threads nor Node's crash reports see it.
   */
  takeEnv(name: string): string | undefined;
  /** The state folder when `--state` is missing. */
  stateFolder(): Promise<string>;
  localAddresses(): readonly LocalAddress[];
  /**
   * The TCP ports of the loopback on which a program listens, in ascending order. @param usual where the system cannot
   * list them: the ports to try
   */
  answeringPorts(usual: readonly number[]): Promise<readonly number[]>;
  /** Looks a name up as the system does. Rejects with the system's error when it has no address. */
  lookUp(name: string): Promise<unknown>;
  /**
   * Returns why the system has no route to a numeric address; undefined when it has one. Sends no packet.
   */
  routeError(address: string): Promise<Error | undefined>;
  /** Loads the library. Slow, so only commands that need it call this. */
  loadLibrary(): Promise<Library>;
}
