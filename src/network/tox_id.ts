import { expectText } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { parseAddress } from '../core/ip.js';
import { CHECKSUM_BYTES, NOSPAM_BYTES, PUBLIC_KEY_BYTES, TOX_ID_BYTES } from '../core/tox_network.js';

const HEX_DIGITS = TOX_ID_BYTES * 2;

/**
 * Prefix of {@link keyAddress}: the range for identifiers that are made from keys. No router forwards them, and no
 * program takes them for the local network. Source: RFC 7343 (ORCHIDv2), 2001:20::/28.
 */
const KEY_ADDRESS_PREFIX = '2001:2f';
/** Groups of an IPv6 address after the prefix, of two bytes each. */
const KEY_GROUPS = 6;

/** The address of a listener: its public key, and a nospam that strangers do not know. */
export interface ToxId {
  /** The whole Tox ID, 38 bytes: public key, nospam, checksum. */
  readonly bytes: Uint8Array;
  /** 32 bytes: identifies the peer. */
  readonly publicKey: Uint8Array;
  /** 4 bytes that a friend request to the peer must contain. Their owner can change them. */
  readonly nospam: Uint8Array;
}

/**
 * Returns the two bytes that end a Tox ID: the exclusive or of the 16-bit words before them.
 *
 * @param body public key and nospam, 36 bytes. Source: address_checksum, toxcore/Messenger.c.
 */
export function toxIdChecksum(body: Uint8Array): Uint8Array {
  const checksum = new Uint8Array(CHECKSUM_BYTES);
  body.forEach((byte, at) => {
    checksum[at % CHECKSUM_BYTES]! ^= byte;
  });
  return checksum;
}

/** Makes a Tox ID from copies of a public key (32 bytes) and a nospam (4 bytes). */
export function makeToxId(publicKey: Uint8Array, nospam: Uint8Array): ToxId {
  if (publicKey.length !== PUBLIC_KEY_BYTES || nospam.length !== NOSPAM_BYTES) {
    throw new RangeError(`a Tox ID is made of 32 and 4 bytes, not ${publicKey.length} and ${nospam.length}`);
  }
  const bytes = new Uint8Array(TOX_ID_BYTES);
  bytes.set(publicKey);
  bytes.set(nospam, PUBLIC_KEY_BYTES);
  const body = bytes.subarray(0, PUBLIC_KEY_BYTES + NOSPAM_BYTES);
  bytes.set(toxIdChecksum(body), body.length);
  return split(bytes);
}

/** Formats a Tox ID as 76 upper-case hexadecimal digits, like every Tox client. */
export function formatToxId(id: ToxId | Uint8Array): string {
  return upperHex(id instanceof Uint8Array ? id : id.bytes);
}

/** Formats keys and Tox IDs for people and programs: two upper-case hexadecimal digits for each byte. */
export function upperHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase();
}

/** Decodes hexadecimal digits in either case. The caller has checked that they are digits. */
export function hexBytes(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/**
 * Returns an IPv6 address that stands for a peer in programs that tell clients apart by address: the first 12 bytes of
 * its public key after a prefix.
 */
export function keyAddress(publicKey: Uint8Array): string {
  const digits = upperHex(publicKey);
  const groups = Array.from({ length: KEY_GROUPS }, (_, at) => digits.slice(4 * at, 4 * at + 4));
  const text = [KEY_ADDRESS_PREFIX, ...groups].join(':');
  return parseAddress(text)?.text ?? text;
}

/**
 * Reads a Tox ID as people pass it on: in either case, with white space anywhere.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID; the message says what is wrong and at which digit
 *
 * @example
 * ```ts
 * const { publicKey } = parseToxId(listener.toxId);
 * ```
 */
export function parseToxId(text: string): ToxId {
  expectText(text, 'parseToxId()');
  const digits = text.replaceAll(/\s+/g, '');
  const stranger = /[^0-9a-f]/iu.exec(digits);
  if (stranger) {
    throw invalid(
      `${quotedCharacter(stranger[0])} at position ${stranger.index + 1} is not a hexadecimal digit`,
    );
  }
  if (digits.length !== HEX_DIGITS) {
    const hint =
      digits.length === PUBLIC_KEY_BYTES * 2
        ? ' (a public key has 64: ask for the whole Tox ID)'
        : digits.length < HEX_DIGITS
          ? ', so it is cut short; copy all of it'
          : '; copy only the Tox ID';
    throw invalid(`this has ${digits.length} digits${hint}`);
  }
  const bytes = hexBytes(digits);
  const body = bytes.subarray(0, TOX_ID_BYTES - CHECKSUM_BYTES);
  const checksum = toxIdChecksum(body);
  if (checksum[0] !== bytes[body.length] || checksum[1] !== bytes[body.length + 1]) {
    throw invalid('its checksum does not match, so it is mistyped or incomplete; copy it again');
  }
  return split(bytes);
}

function split(bytes: Uint8Array): ToxId {
  return {
    bytes,
    publicKey: bytes.subarray(0, PUBLIC_KEY_BYTES),
    nospam: bytes.subarray(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES + NOSPAM_BYTES),
  };
}

function invalid(what: string): TunnelError {
  return new TunnelError('ERR_ADDRESS_INVALID', `a Tox ID has 76 hexadecimal digits; ${what}`);
}

/** Shows a character in quotes, or as its code point when it is invisible. */
export function quotedCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const visible = code > 0x20 && code < 0x7f;
  return visible ? `"${character}"` : `the character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}
