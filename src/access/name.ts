import { TunnelError } from '../core/errors.js';
import { looksLikeTicket, quotedWord } from '../core/secret_text.js';

const MAX_NAME_CHARS = 32;
const NAME = /^[a-z][a-z0-9_-]*$/;

/** Words that already have a meaning in rules or commands. */
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

/** Whether a word has the form of a name. {@link parseName} may still refuse it. */
export function looksLikeName(text: string): boolean {
  return text.length <= MAX_NAME_CHARS && NAME.test(text.toLowerCase());
}

/**
 * Reads the name of a peer or a ticket: 1 to 32 letters, digits, `-` and `_`, a letter first. It has no dots, so that
 * nobody confuses it with a full host name.
 *
 * @returns the name in lower case
 * @throws {TunnelError} ERR_USAGE
 */
export function parseName(text: string): string {
  const name = text.toLowerCase();
  if (name.length > MAX_NAME_CHARS || !NAME.test(name)) {
    const what = looksLikeTicket(text)
      ? 'a ticket or Tox ID stands where a name belongs'
      : `${quotedWord(text.slice(0, 2 * MAX_NAME_CHARS))} is not a valid name for a peer or a ticket`;
    throw new TunnelError(
      'ERR_USAGE',
      `${what}; give 1 to ${MAX_NAME_CHARS} letters, digits, - and _, a letter first, for example laptop`,
    );
  }
  if (RESERVED.has(name)) {
    throw new TunnelError(
      'ERR_USAGE',
      `${JSON.stringify(name)} has another meaning in rules; choose another name, for example laptop`,
    );
  }
  return name;
}
