import { parseRemote, TICKET_CHARACTERS } from '../../access/ticket.js';

/** Blanks and line breaks that a chat or mail program puts into a ticket make fewer pieces than this. */
const MAX_PIECES = 12;

/**
 * Joins the pieces of a ticket or Tox ID that the shell has split at its blanks and line breaks. Pieces are joined
 * only when they make a valid one, whose checksum is right; other words are left alone. Words after `--` belong to
 * another program.
 */
export function joinTickets(args: readonly string[]): readonly string[] {
  const dashes = args.indexOf('--');
  const end = dashes < 0 ? args.length : dashes;
  const joined: string[] = [];
  for (let at = 0; at < end; ) {
    const pieces = piecesAt(args.slice(at, Math.min(end, at + MAX_PIECES)));
    joined.push(args.slice(at, at + pieces).join(''));
    at += pieces;
  }
  return [...joined, ...args.slice(end)];
}

/** How many of the first words are one ticket; 1 when the first word stands alone. */
function piecesAt(words: readonly string[]): number {
  let text = '';
  for (const [at, word] of words.entries()) {
    text += word;
    if (!/^[0-9a-z]+$/i.test(word) || text.length > TICKET_CHARACTERS) return 1;
    if (isValid(text)) return at + 1;
  }
  return 1;
}

function isValid(text: string): boolean {
  try {
    parseRemote(text);
    return true;
  } catch {
    return false;
  }
}
