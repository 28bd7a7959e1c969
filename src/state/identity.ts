import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { expectText } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { NOSPAM_BYTES, SECRET_KEY_BYTES } from '../core/tox_network.js';
import { formatToxId, hexBytes, makeToxId, upperHex } from '../network/tox_id.js';

/**
 * The identity of a Tox node: it keeps the same Tox ID after a restart. An identity from this library shows only its
 * public key when it is logged or converted to JSON. To keep one, write both parts to a file that only its owner may
 * read.
 */
export interface Identity {
  /** 32 bytes. Never show or log it. */
  readonly secretKey: Uint8Array;
  /** 4 bytes, a part of the Tox ID. A bootstrap node does not use them, so there they are all zero. */
  readonly nospam: Uint8Array;
}

// PKCS #8 header before the 32 bytes of an X25519 key. Source: RFC 8410, sections 7 and 10.3.
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** An identity that hides its secret key from logs, `console.dir` and JSON. */
class HiddenIdentity implements Identity {
  /** 64 hexadecimal digits. A deep comparison needs this field, because it does not see private fields. */
  readonly publicKey: string;
  readonly nospam: Uint8Array;
  readonly #secretKey: Uint8Array;

  constructor(secretKey: Uint8Array, nospam: Uint8Array) {
    this.publicKey = upperHex(publicKeyOf(secretKey));
    this.nospam = nospam;
    this.#secretKey = secretKey;
  }

  get secretKey(): Uint8Array {
    return this.#secretKey;
  }

  toJSON(): { readonly publicKey: string } {
    return { publicKey: this.publicKey };
  }

  [inspect.custom](): string {
    return `Identity { publicKey: '${this.publicKey}' }`;
  }
}

/** Makes an identity that hides its secret key from logs and JSON. */
export function identityOf(secretKey: Uint8Array, nospam: Uint8Array): Identity {
  return new HiddenIdentity(secretKey, nospam);
}

/**
 * Makes a new identity from the system's random bytes, as toxcore does.
 *
 * @example
 * ```ts
 * const listener = await listen({ identity: createIdentity() });
 * ```
 */
export function createIdentity(): Identity {
  return identityOf(
    Uint8Array.from(randomBytes(SECRET_KEY_BYTES)),
    Uint8Array.from(randomBytes(NOSPAM_BYTES)),
  );
}

/** Returns the public key (32 bytes) of a secret key (32 bytes). Source: RFC 7748, section 6.1. */
export function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  if (secretKey.length !== SECRET_KEY_BYTES)
    throw new RangeError(`a secret key of ${secretKey.length} bytes`);
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_X25519, secretKey]),
    format: 'der',
    type: 'pkcs8',
  });
  const encoded = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return Uint8Array.from(encoded.subarray(-SECRET_KEY_BYTES));
}

/** Returns the Tox ID of an identity: 76 hexadecimal digits. */
export function toxIdOf(identity: Identity): string {
  return formatToxId(makeToxId(publicKeyOf(identity.secretKey), identity.nospam));
}

/** Beginning of an identity as text; the digit is the version. */
const MARK = 'twk1';
const KEY_DIGITS = 2 * SECRET_KEY_BYTES;
const NOSPAM_DIGITS = 2 * NOSPAM_BYTES;
const CHECKSUM_DIGITS = 4;
/** Characters of an identity as text, including its mark. */
const TEXT_CHARACTERS = MARK.length + KEY_DIGITS + NOSPAM_DIGITS + CHECKSUM_DIGITS;

/**
 * Formats an identity as one line of 80 lower-case letters and digits: a mark, the secret key and the nospam in
 * hexadecimal, and the checksum of the Tox ID. It is a secret: whoever has it is this node.
 *
 * @example
 * ```ts
 * const identity = createIdentity();
 * await writeFile('identity', formatIdentity(identity), { mode: 0o600 });
 * ```
 */
export function formatIdentity(identity: Identity): string {
  const { secretKey, nospam } = identity;
  const checksum = toxIdOf(identity).slice(-CHECKSUM_DIGITS);
  return MARK + `${upperHex(secretKey)}${upperHex(nospam)}${checksum}`.toLowerCase();
}

/**
 * Reads the text of {@link formatIdentity}, in either case, with white space around it.
 *
 * @throws {TunnelError} ERR_IDENTITY_INVALID; the message says what is wrong and never contains the text
 *
 * @example
 * ```ts
 * const identity = parseIdentity(await readFile('identity', 'utf8'));
 * const listener = await listen({ identity });
 * ```
 */
export function parseIdentity(text: string): Identity {
  expectText(text, 'parseIdentity()');
  const given = text.trim().toLowerCase();
  if (!given.startsWith(MARK))
    throw invalid(`it does not begin with ${MARK}; give a text of formatIdentity()`);
  if (given.length !== TEXT_CHARACTERS)
    throw invalid(
      `it has ${given.length} characters, not ${TEXT_CHARACTERS}; copy all of it, and nothing else`,
    );
  const digits = given.slice(MARK.length);
  if (!/^[0-9a-f]+$/.test(digits))
    throw invalid('it has characters that are not hexadecimal digits; copy it again');
  const identity = identityOf(
    hexBytes(digits.slice(0, KEY_DIGITS)),
    hexBytes(digits.slice(KEY_DIGITS, KEY_DIGITS + NOSPAM_DIGITS)),
  );
  if (formatIdentity(identity) !== given)
    throw invalid('its checksum does not match, so it is mistyped; copy it again');
  return identity;
}

function invalid(what: string): TunnelError {
  return new TunnelError('ERR_IDENTITY_INVALID', what);
}
