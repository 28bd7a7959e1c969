import { TunnelError } from './errors.js';

// Tickets and Tox IDs are secrets that people paste, sometimes cut short or in the wrong place. No message repeats a
// secret, or part of one.

const RUN = /[0-9a-z]+/gi;
/** The characters of a ticket: no I, L, O and U. The hexadecimal digits of a Tox ID are among them. */
const TICKET_RUN = /^[0-9a-hjkmnp-tv-z]+$/i;
const TICKET_START = /^twt\d/i;
const UPPER_HEX = /^[0-9A-F]{8,}$/;
/** A word this long that has a digit, and no I, L, O or U, is unlikely to be a name. */
const LONG_RUN = 16;
/** The same for a word with several digits. */
const MIXED_RUN = 10;
const MIXED_DIGITS = 2;
/** Letters and then a number, as people name machines: `webserver01`. Part of a ticket rarely looks like that. */
const NUMBERED = /^[a-z]+\d{1,4}$/i;

/** The whole of a long ticket, or a long beginning of one. */
const LONG_TICKET = /twt\d[0-9a-hjkmnp-tv-z]{8,}/gi;

/** Guesses whether a string without blanks and punctuation is a ticket, a Tox ID or part of one. */
export function looksLikeTicket(text: string): boolean {
  if (!TICKET_RUN.test(text) || !/[a-z]/i.test(text)) return false;
  const digits = text.replaceAll(/\D/g, '').length;
  if (digits === 0) return false;
  if (TICKET_START.test(text) || UPPER_HEX.test(text)) return true;
  if (NUMBERED.test(text)) return false;
  return text.length >= (digits >= MIXED_DIGITS ? MIXED_RUN : LONG_RUN);
}

/** Replaces everything that looks like a ticket, a Tox ID or part of one. */
export function withoutTickets(text: string): string {
  return text.replaceAll(RUN, (run) => (looksLikeTicket(run) ? '...' : run));
}

/** Replaces only what is certainly a ticket: names and keys in the text remain. */
export function withoutLongTickets(text: string): string {
  return text.replaceAll(LONG_TICKET, 'twt1…');
}

/** What need not be hidden: public keys and Tox IDs. */
const PUBLIC_HEX = /^(?:[0-9A-F]{8,}|(?:[0-9a-f]{64}|[0-9a-f]{76}))$/;
/** Characters that no ticket contains, but that people mistake for others. */
const STRANGERS = /[ilou]+/gi;
/** Hardly any word has this many letters without I, L, O and U. */
const LONG_LETTERS = 20;
/** The user name and the password in a URL. They may contain any character, even an `@`. */
const URL_CREDENTIALS = /:\/\/\S*@/g;

/**
 * Replaces everything that may be part of a ticket, even of a mistyped one, and passwords in URLs. Public keys, Tox IDs
 * and ordinary names remain. It is for whole messages, which may quote anything from the command line.
 */
export function withoutSecrets(text: string): string {
  return withoutLongTickets(text.replaceAll(URL_CREDENTIALS, '://...@')).replaceAll(RUN, (run) =>
    !PUBLIC_HEX.test(run) && run.split(STRANGERS).some(isLongPiece) ? '...' : run,
  );
}

function isLongPiece(run: string): boolean {
  return (run.length >= LONG_RUN && /\d/.test(run) && /[a-z]/i.test(run)) || run.length >= LONG_LETTERS;
}

/** A word of the command line as a message quotes it. */
export function quotedWord(word: string): string {
  return JSON.stringify(withoutTickets(word));
}

/** The error for part of a ticket where a whole one belongs. It does not repeat the text. */
export function cutShort(text: string): TunnelError {
  return new TunnelError(
    'ERR_TICKET_INVALID',
    `this looks like a ticket or Tox ID that is cut short: it has ${text.length} characters, a ticket has 123 and a Tox ID 76; copy all of it`,
  );
}
