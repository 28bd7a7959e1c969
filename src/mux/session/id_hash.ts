import { readU32 } from '../wire/codec.js';
import { ID_BYTES } from '../wire/stream_id.js';

const TWO_32 = 0x1_0000_0000;
/** With so many high bits a number stays exact: 53 bits in all. */
const HIGH_MASK = 0x1f_ffff;

/**
 * A keyed hash of stream UUIDs. The peer chooses the UUIDs, and V8's hash of numbers has no secret: without this, it
 * could choose them so that all fall into one bucket of a Map. It is HalfSipHash-2-4 with 64 bits of output, of which
 * 53 are used. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), and their reference code.
 */
export class IdHash {
  readonly #k0: number;
  readonly #k1: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;

  /** @param secret at least 8 bytes from a CSPRNG */
  constructor(secret: Uint8Array) {
    this.#k0 = readU32(secret, 0);
    this.#k1 = readU32(secret, 4);
  }

  /** Returns the hash of the UUID at `bytes[at]`. */
  of(bytes: Uint8Array, at: number): number {
    this.#v0 = this.#k0;
    this.#v1 = this.#k1 ^ 0xee;
    this.#v2 = 0x6c796765 ^ this.#k0;
    this.#v3 = 0x74656462 ^ this.#k1;
    for (let word = 0; word < ID_BYTES; word += 4) this.#add(littleEndian(bytes, at + word));
    this.#add(ID_BYTES << 24);
    this.#v2 ^= 0xee;
    this.#rounds(4);
    const low = (this.#v1 ^ this.#v3) >>> 0;
    this.#v1 ^= 0xdd;
    this.#rounds(4);
    return ((this.#v1 ^ this.#v3) & HIGH_MASK) * TWO_32 + low;
  }

  #add(word: number): void {
    this.#v3 ^= word;
    this.#rounds(2);
    this.#v0 ^= word;
  }

  #rounds(count: number): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    for (let round = 0; round < count; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
