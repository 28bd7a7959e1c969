import { inspect } from 'node:util';
import { expectText } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { NOSPAM_BYTES, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import { formatToxId, makeToxId, parseToxId, quotedCharacter, type ToxId } from '../network/tox_id.js';
import { isSame, keyedHash } from './proof.js';

/**
 * Lets a connector in: the address of the listener, and a secret that proves the invitation. A ticket from
 * {@link parseTicket} shows only its Tox ID when it is logged or converted to JSON.
 */
export interface Ticket {
  readonly toxId: ToxId;
  /** 32 bytes. Never log it. */
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

/** Makes a ticket that hides its secret from logs and JSON. */
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

/** Beginning of every ticket; the digit is the version. */
const MARK = `twt${VERSION}`;
const TICKET_DIGITS = Math.ceil((TICKET_BYTES * 8) / 5);
/** Characters of a ticket, including its mark. */
export const TICKET_CHARACTERS = MARK.length + TICKET_DIGITS;

/** Digits that people do not confuse: no I, L, O and U. Source: Crockford, "Base 32". */
const BASE32_DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
/** Letters that people write for digits. */
const LOOKALIKES: Readonly<Record<string, string>> = { i: '1', l: '1', o: '0' };
const BITS_A_DIGIT = 5;

/** White space, hyphens, quotes and the marks of quoted mail, which a ticket may pick up on its way. */
const PICKED_UP = /[\s\-‐‑'"`‘’“”<>|\u00ad\u200b\ufeff]+/gu;
/** Longest text that is read, in characters: far more than a ticket with everything that it may pick up. */
const MAX_TEXT = 4096;

const CHECKSUM_LABEL = new TextEncoder().encode('tox-wasm-tunnel ticket checksum');

/**
 * Formats a ticket as one line of 123 lower-case letters and digits.
 *
 * @example
 * ```ts
 * const text = formatTicket(parseTicket(listener.ticket));
 * ```
 */
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
 * Reads a ticket as people pass it on: in either case, broken over several lines, quoted by a mail program, with `i`
 * or `l` for 1 and `o` for 0.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID; the message says what is wrong and never contains the ticket
 *
 * @example
 * ```ts
 * const { toxId } = parseTicket(process.env.TICKET);
 * ```
 */
export function parseTicket(text: string): Ticket {
  expectText(text, 'parseTicket()');
  if (text.length > MAX_TEXT)
    throw invalid(
      `the text has ${text.length} characters, a ticket ${TICKET_CHARACTERS}; copy only the ticket`,
    );
  const characters = [...text.replaceAll(PICKED_UP, '')];
  let digits = '';
  characters.forEach((character, at) => {
    const digit = base32Digit(character);
    if (digit === undefined)
      throw invalid(
        `${quotedCharacter(character)} at position ${at + 1} never occurs in a ticket; copy it again`,
      );
    digits += digit;
  });
  if (!digits.startsWith(MARK)) {
    throw /^twt\d/.test(digits) && digits.length > MARK.length
      ? invalid(`it has version ${digits[3]}, but this program reads version ${VERSION}; update this program`)
      : invalid(`it does not begin with ${MARK}; copy all of it`);
  }
  const missing = TICKET_CHARACTERS - digits.length;
  if (missing > 0) {
    throw invalid(
      `it is cut short: its last ${missing} of ${TICKET_CHARACTERS} characters are missing; copy all of it`,
    );
  }
  if (missing < 0) {
    throw invalid(`it has ${-missing} characters more than ${TICKET_CHARACTERS}; copy only the ticket`);
  }
  const bytes = fromBase32(digits.slice(MARK.length));
  if (bytes === undefined || !isSame(checksumOf(bytes), bytes.subarray(BODY_BYTES))) {
    throw invalid('its checksum does not match, so it is mistyped; copy it again');
  }
  if (bytes[0] !== VERSION || bytes[FLAGS_AT] !== 0) {
    throw invalid('it needs a feature of a later version; update this program');
  }
  return ticketOf(
    makeToxId(bytes.slice(1, 1 + PUBLIC_KEY_BYTES), bytes.slice(1 + PUBLIC_KEY_BYTES, SECRET_AT)),
    bytes.slice(SECRET_AT, FLAGS_AT),
  );
}

/**
 * Reads the address of a listener: a ticket, or the bare Tox ID of a listener that allows this connector by its key.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID, ERR_ADDRESS_INVALID
 *
 * @example
 * ```ts
 * const remote = parseRemote('447C54CE…'); // a ticket or a Tox ID
 * const tunnel = await connect({ remote });
 * ```
 */
export function parseRemote(text: string): Ticket | ToxId {
  expectText(text, 'parseRemote()');
  const start = text.replaceAll(PICKED_UP, '').slice(0, MARK.length).toLowerCase();
  // A Tox ID has only hexadecimal digits. A longer text was meant to be a ticket.
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

/** Encodes five bits per digit, in lower case. Zero bits fill up the last digit. */
function toBase32(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= BITS_A_DIGIT) {
      bits -= BITS_A_DIGIT;
      text += BASE32_DIGITS[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + BASE32_DIGITS[(held << (BITS_A_DIGIT - bits)) & 31];
}

/** Returns the digit that a character means; undefined when it means none. */
function base32Digit(character: string): string | undefined {
  const lower = character.toLowerCase();
  const digit = LOOKALIKES[lower] ?? lower;
  return digit.length === 1 && BASE32_DIGITS.includes(digit) ? digit : undefined;
}

/** Decodes a string of digits. @returns undefined when the bits that fill up the last digit are not zero */
function fromBase32(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * BITS_A_DIGIT) / 8));
  let held = 0;
  let bits = 0;
  let at = 0;
  for (const digit of text) {
    held = (held << BITS_A_DIGIT) | BASE32_DIGITS.indexOf(digit);
    bits += BITS_A_DIGIT;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = held >>> bits;
    held &= (1 << bits) - 1;
  }
  return held === 0 ? bytes : undefined;
}
