import { FAMILY_IPV4, FAMILY_IPV6, type MutableAddress } from '../net/network.js';
import { TOX_CONSTANTS } from './constants.js';
import type { Pointer } from './exports.js';
import type { WasmMemoryObject } from './webassembly.js';

const decoder = new TextDecoder();

/** The wasm memory as one array, which is recreated only when the memory has grown. */
export class WasmMemory {
  /** The whole memory. Never keep it across a call into wasm. */
  bytes: Uint8Array;
  readonly #memory: WasmMemoryObject;
  #lastAt: Pointer = -1;
  #last: Uint8Array = new Uint8Array(0);

  constructor(memory: WasmMemoryObject) {
    this.#memory = memory;
    this.bytes = new Uint8Array(memory.buffer);
  }

  /** Call this when the memory has grown, which detaches the old buffer. */
  refresh(): void {
    this.bytes = new Uint8Array(this.#memory.buffer);
    this.#lastAt = -1;
  }

  view(at: Pointer, length: number): Uint8Array {
    return this.bytes.subarray(at, at + length);
  }

  /** Like {@link view}, but caches the last view: toxcore uses the same buffer for every datagram. */
  sameView(at: Pointer, length: number): Uint8Array {
    if (at !== this.#lastAt || length !== this.#last.length) {
      this.#last = this.bytes.subarray(at, at + length);
      this.#lastAt = at;
    }
    return this.#last;
  }

  /** The string at `at`, up to the NUL. */
  text(at: Pointer): string {
    return decoder.decode(this.bytes.subarray(at, this.bytes.indexOf(0, at)));
  }
}

/**
 * The wasm's buffer for the input and output of one call, so that calls allocate nothing. Writers check
 * lengths first, because C reads exactly as much as it is told.
 */
export class Staging {
  readonly #memory: WasmMemory;
  readonly #at: Pointer;

  constructor(memory: WasmMemory, at: Pointer) {
    this.#memory = memory;
    this.#at = at;
  }

  /** Returns false, and writes nothing, when `bytes` do not fit at `offset`. */
  put(bytes: Uint8Array, offset = 0): boolean {
    if (offset + bytes.length > TOX_CONSTANTS.STAGING_SIZE) return false;
    this.#memory.bytes.set(bytes, this.#at + offset);
    return true;
  }

  /** Returns a copy. */
  take(offset: number, length: number): Uint8Array {
    return this.#memory.bytes.slice(this.#at + offset, this.#at + offset + length);
  }

  /** Clears the buffer, after it held secrets. */
  wipe(): void {
    this.#memory.bytes.fill(0, this.#at, this.#at + TOX_CONSTANTS.STAGING_SIZE);
  }

  /**
   * Writes the key and numeric address of a node, as the bootstrap functions expect them. Returns false when
   * they are invalid.
   */
  putNode(ip: string, port: number, key: Uint8Array): boolean {
    if (key.length !== TOX_CONSTANTS.TOX_PUBLIC_KEY_SIZE) return false;
    if (!Number.isInteger(port) || port < 1 || port > 65535) return false;
    // C's parser may see only hexadecimal digits, dots and colons. The longest IPv6 address has 45
    // characters.
    if (!/^[0-9a-fA-F:.]{2,45}$/.test(ip)) return false;
    return this.put(key) && this.put(Buffer.from(`${ip}\0`, 'latin1'), key.length);
  }
}

// toxcore's IP_Port in wasm32. wasm/system.c asserts this layout at compile time. The port is big endian.
//
//  0        1        8                    24       26
//  +--------+--------+--------------------+--------+
//  | family |   -    | 4 or 16 bytes      |  port  |
//  +--------+--------+--------------------+--------+
const FAMILY_OFFSET = 0;
const IP_OFFSET = 8;
const PORT_OFFSET = 24;

/** Creates an address for reuse. Its first 4 bytes hold an IPv4 address. */
export function newAddress(): MutableAddress {
  return { family: FAMILY_IPV4, bytes: new Uint8Array(16), port: 0 };
}

function ipBytes(address: MutableAddress): number {
  return address.family === FAMILY_IPV6 ? 16 : 4;
}

/** Reads the IP_Port at `at` into `address`. */
export function readAddress(memory: Uint8Array, at: Pointer, address: MutableAddress): void {
  address.family = memory[at + FAMILY_OFFSET] === FAMILY_IPV6 ? FAMILY_IPV6 : FAMILY_IPV4;
  const length = ipBytes(address);
  for (let i = 0; i < length; i++) address.bytes[i] = memory[at + IP_OFFSET + i]!;
  address.port = (memory[at + PORT_OFFSET]! << 8) | memory[at + PORT_OFFSET + 1]!;
}

/** Writes `address` as the IP_Port at `at`, which toxcore has cleared. */
export function writeAddress(memory: Uint8Array, at: Pointer, address: MutableAddress): void {
  memory[at + FAMILY_OFFSET] = address.family;
  const length = ipBytes(address);
  for (let i = 0; i < length; i++) memory[at + IP_OFFSET + i] = address.bytes[i]!;
  memory[at + PORT_OFFSET] = address.port >>> 8;
  memory[at + PORT_OFFSET + 1] = address.port & 0xff;
}
