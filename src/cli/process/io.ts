import type { Readable } from 'node:stream';
import type { Timers } from '../../core/clock.js';
import type { TunnelApi } from '../api.js';
import type { MaybeTerminal } from '../output/live_line.js';
import type { Output } from '../output/output.js';
import type { ExitCode } from './exit_codes.js';

/** Signals that ask the command to end. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** A program to be run: words of its own, or a line for the system's shell. */
export type ProgramCall = { readonly words: readonly string[] } | { readonly shell: string };

export interface RunningProgram {
  /** Its exit code, or 128 and the number of the signal that killed it. Never rejects. */
  readonly ended: Promise<ExitCode>;
  /** Sends a signal, unless the terminal has sent it the same one. */
  kill(signal: EndSignal): void;
}

export interface LocalAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  /** Loopback, and what else never leaves the machine. */
  readonly internal: boolean;
}

/** All that the command touches outside of itself. */
export interface CliIo {
  /** Opened when asked for: of `-W`, and of a ticket or an identity that is read from `-`. */
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output & MaybeTerminal;
  readonly timers: Timers;
  wallClock(): Date;
  /** Calls `handler` at every such signal until the answer is called. */
  onSignal(signal: EndSignal, handler: () => void): () => void;
  /**
   * Nothing more comes on stdout: its reader sees the end, while the command runs on. Rejects when what was written
   * did not get there.
   */
  endStdout(): Promise<void>;
  /** Waits until what was written is out of our hands, or cannot be written: then the streams have said so. */
  flushOutput(): Promise<void>;
  /** The number of this process. */
  readonly pid: number;
  /**
   * Starts a program with this process's own stdin, stdout and stderr. Rejects with the system's error.
   *
   * @param variables what its environment has beside ours
   */
  startProgram(call: ProgramCall, variables: Readonly<Record<string, string>>): Promise<RunningProgram>;
  /** The words that run this very program, before its arguments. */
  readonly ownCommand: readonly string[];
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  /** Where units of systemd lie. */
  unitFolder(scope: 'system' | 'user'): Promise<string>;
  /** Ends the process at once. */
  exit(code: ExitCode): void;
  /**
   * The value of an environment variable that holds a secret, once. It is gone from the environment
   * already: neither worker threads nor Node's reports of a crash get to see it.
   */
  takeEnv(name: string): string | undefined;
  /** Where identities live when `--state` does not tell. */
  stateFolder(): Promise<string>;
  localAddresses(): readonly LocalAddress[];
  /** Loads the library, which takes a while: only when a command needs it. */
  loadApi(): Promise<TunnelApi>;
}
