import { close } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemTimers } from '../core/clock.js';
import { interfacesNow } from '../core/interfaces.js';
import type { TunnelApi } from './api.js';
import type { CliIo } from './io.js';
import { takeSecretVariables } from './secret_variables.js';

/** The real process around the command. */
export function processIo(loadApi: () => Promise<TunnelApi>): CliIo {
  const secrets = takeSecretVariables(process.env);
  return {
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    timers: systemTimers,
    wallClock: () => new Date(),
    onSignal: (signal, handler) => {
      process.on(signal, handler);
      return () => {
        process.off(signal, handler);
      };
    },
    endStdout,
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
async function endStdout(): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.end(() => resolve()));
  await new Promise<void>((resolve) => close(process.stdout.fd, () => resolve()));
}

/** Waits until what was written is out of our hands, or nobody takes it. */
export async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
}
