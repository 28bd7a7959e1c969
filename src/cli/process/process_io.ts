import { once } from 'node:events';
import { close } from 'node:fs';
import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { systemTimers } from '../../core/clock.js';
import { interfacesNow } from '../../core/ip.js';
import { defaultStateFolder, systemHints, userUnitFolder } from './folders.js';
import type { CliIo, RunningProgram } from './io.js';
import type { Library } from './library.js';
import { isReaderGone, type Output, outputOf } from './output_stream.js';
import { takeSecretVariables } from './secret_variables.js';
import { hasTerminal, isPlain } from './terminal.js';

/** Any port will do where nothing is sent. Source: RFC 863. */
const DISCARD_PORT = 9;

/** The {@link CliIo} of this process. */
export function processIo(loadLibrary: () => Promise<Library>): CliIo {
  const secrets = takeSecretVariables(process.env);
  const stdout = outputOf(process.stdout);
  const stderr = outputOf(process.stderr);
  return {
    get stdin() {
      return process.stdin;
    },
    stdout,
    stderr,
    timers: systemTimers,
    wallClock: () => new Date(),
    onSignal: (signal, handler) => {
      process.on(signal, handler);
      return () => {
        process.off(signal, handler);
      };
    },
    endStdout: () => endOutput(stdout, process.stdout.fd),
    flushOutput: () => flushed([stdout, stderr]),
    pid: process.pid,
    startProgram,
    get ownCommand() {
      return ownCommand();
    },
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    unitFolder: async (scope) => {
      if (scope === 'system') return '/etc/systemd/system';
      return userUnitFolder(systemHints);
    },
    // Asked now, because a terminal that has closed no longer counts as one.
    hasTerminal: hasTerminal(process.env, isatty),
    isPlain: isPlain(process.env),
    exit: (code) => {
      process.exit(code);
    },
    takeEnv: (name) => {
      const value = secrets.get(name);
      secrets.delete(name);
      return value;
    },
    stateFolder: async () => defaultStateFolder(systemHints),
    localAddresses: () => Object.values(interfacesNow() ?? {}).flatMap((addresses) => addresses ?? []),
    answeringPorts: async (usual) => (await import('./answering_ports.js')).answeringPorts(usual),
    lookUp: async (name) => (await import('node:dns/promises')).lookup(name),
    routeError,
    loadLibrary,
  };
}

/** Asks the system by connecting a UDP socket, which looks up the route and sends nothing. */
async function routeError(address: string): Promise<Error | undefined> {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  try {
    return await new Promise<Error | undefined>((resolve) => {
      socket.on('error', resolve);
      socket.connect(DISCARD_PORT, address, (error?: Error) => resolve(error));
    });
  } finally {
    socket.close();
  }
}

async function startProgram(
  ...[call, variables]: Parameters<CliIo['startProgram']>
): Promise<RunningProgram> {
  // Few commands start programs, and this module takes time to load.
  const { spawn } = await import('node:child_process');
  const options = { stdio: 'inherit', env: { ...process.env, ...variables } } as const;
  const [file = '', ...args] = 'words' in call ? call.words : [];
  const child = 'shell' in call ? spawn(call.shell, { ...options, shell: true }) : spawn(file, args, options);
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 0) : 128 + constants.signals[signal]),
    );
  });
  // Rejects when the program cannot be started.
  await once(child, 'spawn');
  // Later errors, such as a signal that cannot be sent, change nothing.
  child.on('error', () => {});
  return {
    ended,
    kill: (signal) => {
      // A terminal sends Ctrl-C to all its programs. Using `process.stdin` here would open it a second
      // time, next to the program.
      if (signal !== 'SIGINT' || !isatty(0)) child.kill(signal);
    },
  };
}

/** Node, its options, and the script. */
function ownCommand(): string[] {
  // Two processes cannot share a debugger's port.
  const options = process.execArgv.filter((option) => !option.startsWith('--inspect'));
  return [process.execPath, ...options, process.argv[1] ?? ''];
}

/**
 * Node keeps descriptor 1 open after `process.stdout` has ended, and the reader of a pipe would wait for it.
 */
async function endOutput(stdout: Output, fd: number): Promise<void> {
  const settle = (resolve: () => void, reject: (error: Error) => void) => (error?: Error | null) => {
    if (error instanceof Error && !isReaderGone(error, stdout)) reject(error);
    else resolve();
  };
  await new Promise<void>((resolve, reject) => stdout.end(settle(resolve, reject)));
  // Some file systems report a full disk only on close.
  await new Promise<void>((resolve, reject) => close(fd, settle(resolve, reject)));
}

async function flushed(outputs: readonly Output[]): Promise<void> {
  for (const output of outputs) {
    if (output.writable) await new Promise<void>((resolve) => output.write('', () => resolve()));
  }
  // Streams emit errors one turn later.
  await new Promise(setImmediate);
}
