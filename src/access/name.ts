import { TunnelError } from '../core/errors.js';
import { looksLikeName, MAX_PEER_NAME_CHARS } from '../core/host.js';
import { looksLikeTicket, quotedWord } from '../core/secret_text.js';

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

/**
 * Reads the name of a peer or a ticket: 1 to 32 letters, digits, `-` and `_`, a letter first. It has no dots, so that
 * nobody confuses it with a full host name.
 *
 * @returns the name in lower case
 * @throws {TunnelError} ERR_USAGE
 */
export function parseName(text: string): string {
  const name = text.toLowerCase();
  if (!looksLikeName(name)) {
    const what = looksLikeTicket(text)
      ? 'this is a ticket or Tox ID, but a name belongs here'
      : `${quotedWord(text.slice(0, 2 * MAX_PEER_NAME_CHARS))} is not a valid name for a peer or a ticket`;
    throw new TunnelError(
      'ERR_USAGE',
      `${what}; give 1 to ${MAX_PEER_NAME_CHARS} letters, digits, - and _, a letter first, for example laptop`,
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
