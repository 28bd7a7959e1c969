import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { NOSPAM_BYTES, SECRET_KEY_BYTES } from '../core/tox_network.js';
import { formatToxId, makeToxId, upperHex } from '../network/tox_id.js';

/**
 * What makes a node the same one after a restart. Those that this library makes show their public key alone when
 * they are logged or put into JSON: to keep one, write its two parts to a file that only its owner may read.
 */
export interface Identity {
  /** 32 bytes; never to be shown or logged. */
  readonly secretKey: Uint8Array;
  /** 4 bytes; all zero where there is no use for them, as in a bootstrap node. */
  readonly nospam: Uint8Array;
}

// What PKCS #8 puts before the 32 bytes of an X25519 key. Source: RFC 8410, sections 7 and 10.3.
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** An identity whose secret key no log, no `console.dir` and no JSON shows. */
class HiddenIdentity implements Identity {
  /** 64 hexadecimal digits. Also what tells two of these apart: a comparison does not see private fields. */
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

/** An identity of these two parts that hides its secret key. */
export function identityOf(secretKey: Uint8Array, nospam: Uint8Array): Identity {
  return new HiddenIdentity(secretKey, nospam);
}

/** A new identity from the system's random bytes, as toxcore makes one itself. */
export function createIdentity(): Identity {
  return identityOf(
    Uint8Array.from(randomBytes(SECRET_KEY_BYTES)),
    Uint8Array.from(randomBytes(NOSPAM_BYTES)),
  );
}

/** The public key (32 bytes) of a secret key (32 bytes). Source: RFC 7748, section 6.1. */
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

/** The Tox ID that others reach this identity by, 76 digits. */
export function toxIdOf(identity: Identity): string {
  return formatToxId(makeToxId(publicKeyOf(identity.secretKey), identity.nospam));
}
