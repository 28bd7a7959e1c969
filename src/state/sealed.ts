import { randomBytes } from 'node:crypto';
import * as v from 'valibot';

/**
 * Cost of the key for new files: 64 MiB, 3 passes, 4 lanes, the second recommended choice of RFC 9106, section 4. It
 * takes about 0.4 s in wasm.
 */
const COST = { memoryKiB: 64 * 1024, passes: 3, lanes: 4 } as const;

/**
 * Highest cost that a file may demand, so that a hostile one cannot use up all memory or take more than a few
 * seconds.
 */
const MAX_MEMORY_KIB = 256 * 1024;
const MAX_PASSES = 10;
const MAX_LANES = 16;
/** Minimum memory of a lane. Source: RFC 9106, section 3.1. */
const KIB_PER_LANE = 8;

const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** Sources: crypto_aead_xchacha20poly1305_ietf_NPUBBYTES and _ABYTES, libsodium. */
const NONCE_BYTES = 24;
const TAG_BYTES = 16;

const base64 = (leastBytes: number, mostBytes = Number.POSITIVE_INFINITY) =>
  v.pipe(
    v.string('expected base64'),
    v.check((text) => {
      const bytes = Buffer.from(text, 'base64');
      // Node ignores characters that are not base64, so compare the result with the text.
      return bytes.length >= leastBytes && bytes.length <= mostBytes && bytes.toString('base64') === text;
    }, 'expected base64 of a different length'),
  );

const count = (least: number, most: number) => {
  const message = `expected a whole number from ${least} to ${most}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
};

/** Encrypted text in a file, with everything but the passphrase that is needed to decrypt it. */
export const SealedSchema = v.pipe(
  v.object(
    {
      kdf: v.literal('argon2id', 'expected "argon2id"'),
      memoryKiB: count(KIB_PER_LANE, MAX_MEMORY_KIB),
      passes: count(1, MAX_PASSES),
      lanes: count(1, MAX_LANES),
      salt: base64(SALT_BYTES, SALT_BYTES),
      cipher: v.literal('xchacha20-poly1305', 'expected "xchacha20-poly1305"'),
      nonce: base64(NONCE_BYTES, NONCE_BYTES),
      text: base64(TAG_BYTES),
    },
    'expected an object',
  ),
  v.check(({ memoryKiB, lanes }) => memoryKiB >= lanes * KIB_PER_LANE, 'too little memory for its lanes'),
);

export type Sealed = v.InferOutput<typeof SealedSchema>;

type KeyParameters = Pick<Sealed, 'kdf' | 'memoryKiB' | 'passes' | 'lanes' | 'salt'>;

/** A key that was derived from a passphrase, and the parameters of the derivation. */
export interface SealKey {
  readonly parameters: KeyParameters;
  readonly bytes: Uint8Array;
}

/** Derives the key for a new file. It is slow on purpose, about half a second, to slow down guessing. */
export async function newSealKey(passphrase: Uint8Array): Promise<SealKey> {
  return sealKeyOf(passphrase, {
    kdf: 'argon2id',
    ...COST,
    salt: randomBytes(SALT_BYTES).toString('base64'),
  });
}

/** Derives the key that a file was sealed with, if the passphrase is right. */
export async function sealKeyOf(passphrase: Uint8Array, parameters: KeyParameters): Promise<SealKey> {
  const { kdf, memoryKiB, passes, lanes, salt } = parameters;
  // Loaded only here, because most starts need no passphrase.
  const { argon2id } = await import('hash-wasm');
  const bytes = await argon2id({
    password: passphrase,
    salt: Buffer.from(salt, 'base64'),
    memorySize: memoryKiB,
    iterations: passes,
    parallelism: lanes,
    hashLength: KEY_BYTES,
    outputType: 'binary',
  });
  return { parameters: { kdf, memoryKiB, passes, lanes, salt }, bytes };
}

/** Encrypts text with a fresh nonce. @param label says what the text is; {@link unseal} needs the same label */
export async function seal(key: SealKey, text: string, label: string): Promise<Sealed> {
  const sodium = await readySodium();
  const nonce = randomBytes(NONCE_BYTES);
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    Buffer.from(text),
    authenticated(key.parameters, label),
    null,
    nonce,
    key.bytes,
  );
  return {
    ...key.parameters,
    cipher: 'xchacha20-poly1305',
    nonce: nonce.toString('base64'),
    text: Buffer.from(sealed).toString('base64'),
  };
}

/** Decrypts the text. @returns undefined when the key or the label is wrong, or anything in `sealed` was changed */
export async function unseal(key: SealKey, sealed: Sealed, label: string): Promise<string | undefined> {
  const sodium = await readySodium();
  try {
    const text = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      null,
      Buffer.from(sealed.text, 'base64'),
      authenticated(key.parameters, label),
      Buffer.from(sealed.nonce, 'base64'),
      key.bytes,
    );
    return Buffer.from(text).toString('utf8');
  } catch {
    return undefined;
  }
}

async function readySodium() {
  const { default: sodium } = await import('libsodium-wrappers');
  await sodium.ready;
  return sodium;
}

function authenticated({ kdf, memoryKiB, passes, lanes, salt }: KeyParameters, label: string): Buffer {
  return Buffer.from(JSON.stringify([label, kdf, memoryKiB, passes, lanes, salt]));
}
