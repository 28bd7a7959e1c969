import { inspect } from 'node:util';
import { TunnelError } from '../core/errors.js';
import {
  formatToxId,
  makeToxId,
  NOSPAM_BYTES,
  PUBLIC_KEY_BYTES,
  parseToxId,
  type ToxId,
} from '../network/tox_id.js';
import { base32Digit, fromBase32, toBase32 } from './base32.js';
import { isSame, keyedHash } from './blake2b.js';

/**
 * What lets a connector in: whom to call, and a secret that proves the invitation. Those that {@link parseTicket} makes
 * show the Tox ID alone when they are logged or put into JSON.
 */
export interface Ticket {
  readonly toxId: ToxId;
  /** 32 bytes; never to be logged. */
  readonly secret: Uint8Array;
}

export const SECRET_BYTES = 32;

/** A ticket that keeps its secret out of logs, `console.dir` and JSON. */
class HiddenTicket implements Ticket {
  readonly toxId: ToxId;
  readonly #secret: Uint8Array;

  constructor(toxId: ToxId, secret: Uint8Array) {
    this.toxId = toxId;
    this.#secret = secret;
  }

  get secret(): Uint8Array {
    return this.#secret;
  }

  toJSON(): { readonly toxId: string } {
    return { toxId: formatToxId(this.toxId) };
  }

  [inspect.custom](): string {
    return `Ticket { toxId: '${formatToxId(this.toxId)}' }`;
  }
}

/** A ticket of these two parts that hides its secret. */
export function ticketOf(toxId: ToxId, secret: Uint8Array): Ticket {
  return new HiddenTicket(toxId, secret);
}

// docs/reference/protocol.md, section 2.1: version, public key, nospam, secret, flags, checksum.
const VERSION = 1;
const CHECKSUM_BYTES = 4;
const SECRET_AT = 1 + PUBLIC_KEY_BYTES + NOSPAM_BYTES;
const FLAGS_AT = SECRET_AT + SECRET_BYTES;
const BODY_BYTES = FLAGS_AT + 1;
const TICKET_BYTES = BODY_BYTES + CHECKSUM_BYTES;

/** What every ticket begins with; the digit is the version. */
const MARK = `twt${VERSION}`;
const DIGITS = Math.ceil((TICKET_BYTES * 8) / 5);
/** Characters of a ticket, its mark counted. */
export const TICKET_CHARACTERS = MARK.length + DIGITS;

/** White space, hyphens, quotes and the marks of quoted mail: what a ticket may pick up on its way. */
const PICKED_UP = /[\s\-‐‑'"`‘’“”<>|\u00ad\u200b\ufeff]+/gu;
/** Far more than a ticket with all that it may pick up. */
const MAX_TEXT = 4096;

const CHECKSUM_LABEL = new TextEncoder().encode('tox-wasm-tunnel ticket checksum');

/** One line of 123 lower-case letters and digits. */
export function formatTicket({ toxId, secret }: Ticket): string {
  if (secret.length !== SECRET_BYTES) throw new RangeError(`a secret of ${secret.length} bytes`);
  const bytes = new Uint8Array(TICKET_BYTES);
  bytes[0] = VERSION;
  bytes.set(toxId.publicKey, 1);
  bytes.set(toxId.nospam, 1 + PUBLIC_KEY_BYTES);
  bytes.set(secret, SECRET_AT);
  bytes.set(checksumOf(bytes), BODY_BYTES);
  return MARK + toBase32(bytes);
}

/**
 * Reads a ticket as people hand it on: in either case, broken over lines, quoted by a mail program,
 * with `i` or `l` for 1 and `o` for 0.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID: says what is wrong, never what the ticket is
 */
export function parseTicket(text: string): Ticket {
  if (text.length > MAX_TEXT) throw invalid(`this is a text of ${text.length} characters`);
  const characters = [...text.replaceAll(PICKED_UP, '')];
  let digits = '';
  characters.forEach((character, at) => {
    const digit = base32Digit(character);
    if (digit === undefined) throw invalid(`${shown(character)} at position ${at + 1} is in no ticket`);
    digits += digit;
  });
  if (!digits.startsWith(MARK)) {
    throw /^twt\d/.test(digits) && digits.length > MARK.length
      ? invalid(`it is of version ${digits[3]}, and this program knows version ${VERSION}: update it`)
      : invalid(`it does not begin with ${MARK}: copy all of it`);
  }
  const missing = TICKET_CHARACTERS - digits.length;
  if (missing > 0) throw invalid(`its last ${missing} of ${TICKET_CHARACTERS} characters are missing`);
  if (missing < 0) throw invalid(`it has ${-missing} characters more than ${TICKET_CHARACTERS}`);
  const bytes = fromBase32(digits.slice(MARK.length));
  if (bytes === undefined || !isSame(checksumOf(bytes), bytes.subarray(BODY_BYTES))) {
    throw invalid('its checksum does not match, so it is mistyped: copy it again');
  }
  if (bytes[0] !== VERSION || bytes[FLAGS_AT] !== 0) {
    throw invalid('it asks for something that only a later version knows: update this program');
  }
  return ticketOf(
    makeToxId(bytes.slice(1, 1 + PUBLIC_KEY_BYTES), bytes.slice(1 + PUBLIC_KEY_BYTES, SECRET_AT)),
    bytes.slice(SECRET_AT, FLAGS_AT),
  );
}

/**
 * Reads what a connector is given: a ticket, or the bare Tox ID of a listener that allows it by key.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID, ERR_ADDRESS_INVALID
 */
export function parseRemote(text: string): Ticket | ToxId {
  const start = text.replaceAll(PICKED_UP, '').slice(0, MARK.length).toLowerCase();
  // A Tox ID has hexadecimal digits only; what is longer than one was meant to be a ticket.
  const isTicket = /[^0-9a-f]/u.test(start) || text.length > TICKET_CHARACTERS - MARK.length;
  return isTicket ? parseTicket(text) : parseToxId(text);
}

export function isTicket(remote: Ticket | ToxId): remote is Ticket {
  return 'secret' in remote;
}

function checksumOf(bytes: Uint8Array): Uint8Array {
  return keyedHash(CHECKSUM_LABEL, bytes.subarray(0, BODY_BYTES)).slice(0, CHECKSUM_BYTES);
}

function invalid(what: string): TunnelError {
  return new TunnelError('ERR_TICKET_INVALID', what);
}

/** A character in quotes; by its number when it cannot be seen. */
function shown(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const visible = code > 0x20 && code < 0x7f;
  return visible ? `"${character}"` : `the character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}
