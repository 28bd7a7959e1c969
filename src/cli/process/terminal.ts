import { basename } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Whether the process belongs to a terminal, so that SIGHUP means that the terminal has closed.
 *
 * nohup makes the system ignore SIGHUP, but Node undoes that before any of our code runs. What stays is that nohup
 * moves input and output away from the terminal (GNU moves all three), and that shells name it in `_`.
 */
export function hasTerminal(env: Environment, isTerminal: (descriptor: number) => boolean): boolean {
  if (basename(env['_'] ?? '') === 'nohup') return false;
  return [0, 1, 2].some((descriptor) => isTerminal(descriptor));
}

/** Whether a terminal understands no escape codes, or its user wants none. Source: https://no-color.org. */
export function isPlain(env: Environment): boolean {
  return env['TERM'] === 'dumb' || (env['NO_COLOR'] ?? '') !== '';
}
