import sodium from 'libsodium-wrappers';

// libsodium's wasm takes some 40 ms to be there: only what deals with tickets imports this file.
await sodium.ready;

/** Bytes of what {@link keyedHash} gives. */
export const HASH_BYTES = 32;

/** BLAKE2b-256 of the parts one after the other. @param key 16 to 64 bytes */
export function keyedHash(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  return sodium.crypto_generichash(HASH_BYTES, Buffer.concat(parts), key);
}

/** Whether both are the same, in a time that tells nothing of where they differ. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && sodium.memcmp(a, b);
}
