import { timingSafeEqual } from 'node:crypto';
// Synchronous and there at once: a wasm would have to be waited for, which `require()` of this package cannot.
import { blake2b } from '@noble/hashes/blake2.js';

/** Bytes of what {@link keyedHash} gives. */
export const HASH_BYTES = 32;

/** BLAKE2b-256 of the parts one after the other. @param key 16 to 64 bytes */
export function keyedHash(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = blake2b.create({ dkLen: HASH_BYTES, key });
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Whether both are the same, in a time that tells nothing of where they differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
