import { parse, v4 } from 'uuid';
import { readU32 } from './codec.js';

// A stream's UUID stays 16 bytes. It becomes text only for people.

export const ID_BYTES = 16;
const TWO_32 = 0x1_0000_0000;

/**
 * Makes a UUID of version 4 (RFC 9562, section 5.4).
 *
 * @param random 16 bytes from a CSPRNG, which this changes
 */
export function newId(random: Uint8Array): Uint8Array {
  return v4({ random }, new Uint8Array(ID_BYTES));
}

/** Formats any 16 bytes. A peer's UUID may be invalid, and the `stringify` of uuid would reject it. */
export function idText(id: Uint8Array): string {
  const hex = Buffer.from(id).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Reverses {@link idText}. @param text one of our own UUIDs */
export function idBytes(text: string): Uint8Array {
  return parse(text);
}

/**
 * Returns 53 bits of the UUID at `bytes[at]`, to look it up without building a string. They come from bytes 0
 * to 5 and 7, because bytes 6 and 8 hold the version and the variant.
 */
export function idKey(bytes: Uint8Array, at: number): number {
  const high = (bytes[at + 4]! << 13) | (bytes[at + 5]! << 5) | (bytes[at + 7]! & 0x1f);
  return high * TWO_32 + readU32(bytes, at);
}

/** Tells whether `id` is the UUID at `bytes[at]`. */
export function isIdAt(id: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < ID_BYTES; index++) {
    if (id[index] !== bytes[at + index]) return false;
  }
  return true;
}

/** Tells whether the UUID at `bytes[at]` is nil, which means the session itself. */
export function isNilAt(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < ID_BYTES; index++) {
    if (bytes[at + index] !== 0) return false;
  }
  return true;
}
