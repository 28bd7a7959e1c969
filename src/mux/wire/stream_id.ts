import { parse, v4 } from 'uuid';
import { readU32 } from './codec.js';

// A stream's UUID stays 16 bytes; text is made of it only for people.

export const ID_BYTES = 16;
const TWO_32 = 0x1_0000_0000;

/** A new UUID of version 4 (RFC 9562, section 5.4). @param random 16 bytes from a CSPRNG, used up */
export function newId(random: Uint8Array): Uint8Array {
  return v4({ random }, new Uint8Array(ID_BYTES));
}

/** Of any 16 bytes: a peer's need not be a UUID by the letter, which `stringify` of uuid would refuse. */
export function idText(id: Uint8Array): string {
  const hex = Buffer.from(id).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** What {@link idText} was made of. @param text of a UUID of ours */
export function idBytes(text: string): Uint8Array {
  return parse(text);
}

/**
 * 53 bits of the UUID that starts at `at`, to look it up without building a string. Of bytes 0 to
 * 5 and 7, as 6 and 8 hold the version and the variant.
 */
export function idKey(bytes: Uint8Array, at: number): number {
  const high = (bytes[at + 4]! << 13) | (bytes[at + 5]! << 5) | (bytes[at + 7]! & 0x1f);
  return high * TWO_32 + readU32(bytes, at);
}

/** True when `id` is what stands in `bytes` from `at`. */
export function isIdAt(id: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < ID_BYTES; index++) {
    if (id[index] !== bytes[at + index]) return false;
  }
  return true;
}

/** True when the UUID in `bytes` from `at` is nil: the session itself. */
export function isNilAt(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < ID_BYTES; index++) {
    if (bytes[at + index] !== 0) return false;
  }
  return true;
}
