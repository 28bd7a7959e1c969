import { parse, v4 } from 'uuid';

// A stream's UUID stays 16 bytes. It becomes text only for people.

export const ID_BYTES = 16;

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
