import { close } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemTimers } from '../../core/clock.js';
import { interfacesNow } from '../../core/ip.js';
import type { TunnelApi } from '../api.js';
import { isReaderGone, type Output, outputOf } from '../output/output.js';
import type { CliIo } from './io.js';
import { takeSecretVariables } from './secret_variables.js';

/** The real process around the command. */
export function processIo(loadApi: () => Promise<TunnelApi>): CliIo {
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
    startProgram: async (...call) => (await import('./child_program.js')).startProgram(...call),
    get ownCommand() {
      return ownCommand();
    },
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    unitFolder: async (scope) => {
      if (scope === 'system') return '/etc/systemd/system';
      return join(process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'systemd', 'user');
    },
    exit: (code) => {
      process.exit(code);
    },
    takeEnv: (name) => {
      const value = secrets.get(name);
      secrets.delete(name);
      return value;
    },
    stateFolder: async () => {
      const { default: envPaths } = await import('env-paths');
      return envPaths('tox-wasm-tunnel', { suffix: '' }).data;
    },
    localAddresses: () => Object.values(interfacesNow() ?? {}).flatMap((addresses) => addresses ?? []),
    loadApi,
  };
}

/** Node, what it was told, and the script. */
function ownCommand(): string[] {
  // A debugger has one port.
  const options = process.execArgv.filter((option) => !option.startsWith('--inspect'));
  return [process.execPath, ...options, process.argv[1] ?? ''];
}

/** Node keeps file 1 open when `process.stdout` has ended, and so would a pipe's reader wait on. */
async function endOutput(stdout: Output, fd: number): Promise<void> {
  const settle = (resolve: () => void, reject: (error: Error) => void) => (error?: Error | null) => {
    if (error instanceof Error && !isReaderGone(error, stdout)) reject(error);
    else resolve();
  };
  await new Promise<void>((resolve, reject) => stdout.end(settle(resolve, reject)));
  // Some file systems find only now that the disk is full.
  await new Promise<void>((resolve, reject) => close(fd, settle(resolve, reject)));
}

async function flushed(outputs: readonly Output[]): Promise<void> {
  for (const output of outputs) {
    if (output.writable) await new Promise<void>((resolve) => output.write('', () => resolve()));
  }
  // Errors have been emitted a turn later.
  await new Promise(setImmediate);
}
