import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { formatToxId, makeToxId, NOSPAM_BYTES } from './tox_id.js';

/** Source: TOX_SECRET_KEY_SIZE, toxcore/tox.h. */
export const SECRET_KEY_BYTES = 32;

/** What makes a node the same one after a restart. */
export interface Identity {
  /** 32 bytes; never to be shown or logged. */
  readonly secretKey: Uint8Array;
  /** 4 bytes; all zero where there is no use for them, as in a bootstrap node. */
  readonly nospam: Uint8Array;
}

// What PKCS #8 puts before the 32 bytes of an X25519 key. Source: RFC 8410, sections 7 and 10.3.
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** A new identity from the system's random bytes, as toxcore makes one itself. */
export function createIdentity(): Identity {
  return {
    secretKey: Uint8Array.from(randomBytes(SECRET_KEY_BYTES)),
    nospam: Uint8Array.from(randomBytes(NOSPAM_BYTES)),
  };
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
