import { TunnelError } from '../core/errors.js';
import { CHECKSUM_BYTES, NOSPAM_BYTES, PUBLIC_KEY_BYTES, TOX_ID_BYTES } from '../core/tox_network.js';

const HEX_DIGITS = TOX_ID_BYTES * 2;

/** The address that a listener gives out: who it is, and a word that strangers do not know. */
export interface ToxId {
  /** All of it, 38 bytes. */
  readonly bytes: Uint8Array;
  /** 32 bytes: the peer itself. */
  readonly publicKey: Uint8Array;
  /** 4 bytes: needed to send the peer a friend request; its owner may change them. */
  readonly nospam: Uint8Array;
}

/**
 * The two bytes that end a Tox ID: the exclusive or of the 16-bit words before them.
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

/** The Tox ID of a public key (32 bytes) and a nospam (4 bytes), which are copied. */
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

/** 76 upper-case hexadecimal digits, as every Tox client shows them. */
export function formatToxId(id: ToxId | Uint8Array): string {
  return upperHex(id instanceof Uint8Array ? id : id.bytes);
}

/** Keys and Tox IDs as people and programs see them: two upper-case hexadecimal digits a byte. */
export function upperHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase();
}

/** The bytes that hexadecimal digits name, in either case; the caller has checked that they are digits. */
export function hexBytes(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/**
 * Reads a Tox ID as people hand it on: in either case, and broken by white space anywhere, as an
 * e-mail does it.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID: says what is wrong and at which digit
 */
export function parseToxId(text: string): ToxId {
  const digits = text.replaceAll(/\s+/g, '');
  const stranger = /[^0-9a-f]/iu.exec(digits);
  if (stranger) {
    throw invalid(`${quote(stranger[0])} at position ${stranger.index + 1} is no hexadecimal digit`);
  }
  if (digits.length !== HEX_DIGITS) {
    const hint =
      digits.length === PUBLIC_KEY_BYTES * 2 ? ' (64 are a public key: ask for the whole Tox ID)' : '';
    throw invalid(`it has ${digits.length} digits${hint}`);
  }
  const bytes = hexBytes(digits);
  const body = bytes.subarray(0, TOX_ID_BYTES - CHECKSUM_BYTES);
  const checksum = toxIdChecksum(body);
  if (checksum[0] !== bytes[body.length] || checksum[1] !== bytes[body.length + 1]) {
    throw invalid('its checksum does not match, so it is mistyped or a part of another one: copy it again');
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

/** A character in quotes; by its number when it cannot be seen. */
function quote(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const visible = code > 0x20 && code < 0x7f;
  return visible ? `"${character}"` : `the character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}
