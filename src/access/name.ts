import { TunnelError } from '../core/errors.js';

const MAX_NAME_CHARS = 32;
const NAME = /^[a-z][a-z0-9_-]*$/;

/** What means something else where a name may stand: the loopback, everybody, and the words of commands. */
const RESERVED: ReadonlySet<string> = new Set([
  'localhost',
  'all',
  'any',
  'everyone',
  'none',
  'tcp',
  'udp',
  'unix',
]);

/** Whether a word may be a name by its looks; what {@link parseName} refuses may be one too. */
export function looksLikeName(text: string): boolean {
  return text.length <= MAX_NAME_CHARS && NAME.test(text.toLowerCase());
}

/**
 * Reads the name of a peer or a ticket: letters, digits, `-` and `_`, a letter first. It has no dots, so
 * that a host of a full name is never taken for one.
 *
 * @returns in lower case
 * @throws {TunnelError} ERR_USAGE
 */
export function parseName(text: string): string {
  const name = text.toLowerCase();
  if (name.length > MAX_NAME_CHARS || !NAME.test(name)) {
    throw new TunnelError(
      'ERR_USAGE',
      `${JSON.stringify(text.slice(0, 2 * MAX_NAME_CHARS))} is no name for a peer or a ticket; it has 1 to ${MAX_NAME_CHARS} letters, digits, - and _, a letter first`,
    );
  }
  if (RESERVED.has(name)) {
    throw new TunnelError(
      'ERR_USAGE',
      `${JSON.stringify(name)} means something else in rules; choose another name`,
    );
  }
  return name;
}
