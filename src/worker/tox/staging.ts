import { TOX_CONSTANTS } from './constants.js';
import type { Pointer } from './exports.js';
import type { WasmMemory } from './memory.js';

/**
 * The wasm's buffer for what goes in and comes out of one call, so that nothing is allocated for
 * a call. Whatever writes checks its length first: C reads no further than it is told.
 */
export class Staging {
  readonly #memory: WasmMemory;
  readonly #at: Pointer;

  constructor(memory: WasmMemory, at: Pointer) {
    this.#memory = memory;
    this.#at = at;
  }

  /** False, and nothing is written, when `bytes` do not fit at `offset`. */
  put(bytes: Uint8Array, offset = 0): boolean {
    if (offset + bytes.length > TOX_CONSTANTS.STAGING_SIZE) return false;
    this.#memory.bytes.set(bytes, this.#at + offset);
    return true;
  }

  /** A copy. */
  take(offset: number, length: number): Uint8Array {
    return this.#memory.bytes.slice(this.#at + offset, this.#at + offset + length);
  }

  /** Zeros, after secrets were here. */
  wipe(): void {
    this.#memory.bytes.fill(0, this.#at, this.#at + TOX_CONSTANTS.STAGING_SIZE);
  }

  /** Key and numeric address of a node, as the bootstrap functions want them; false when they are none. */
  putNode(ip: string, port: number, key: Uint8Array): boolean {
    if (key.length !== TOX_CONSTANTS.TOX_PUBLIC_KEY_SIZE) return false;
    if (!Number.isInteger(port) || port < 1 || port > 65535) return false;
    // Hexadecimal digits, dots, colons: what C's parser may see. 45 characters are the longest IPv6 address.
    if (!/^[0-9a-fA-F:.]{2,45}$/.test(ip)) return false;
    return this.put(key) && this.put(Buffer.from(`${ip}\0`, 'latin1'), key.length);
  }
}
