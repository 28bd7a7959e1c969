import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import type { CliIo, RunningProgram } from './io.js';

/** {@link CliIo.startProgram} of a real process. */
export const startProgram: CliIo['startProgram'] = async (call, variables): Promise<RunningProgram> => {
  const options = { stdio: 'inherit', env: { ...process.env, ...variables } } as const;
  const [file = '', ...args] = 'words' in call ? call.words : [];
  const child = 'shell' in call ? spawn(call.shell, { ...options, shell: true }) : spawn(file, args, options);
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 0) : 128 + constants.signals[signal]),
    );
  });
  // Rejects with an error that comes before.
  await once(child, 'spawn');
  // A signal that cannot be sent, say.
  child.on('error', () => {});
  return {
    ended,
    kill: (signal) => {
      // Ctrl-C reaches all programs of a terminal. Not by `process.stdin`, which would open it beside the program.
      if (signal !== 'SIGINT' || !isatty(0)) child.kill(signal);
    },
  };
};
