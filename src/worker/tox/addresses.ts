import { FAMILY_IPV4, FAMILY_IPV6, type MutableAddress } from '../net/network.js';
import type { Pointer } from './exports.js';

// toxcore's IP_Port in wasm32; wasm/system.c asserts the same when it is compiled.
//
//  0        1        8                    24       26
//  +--------+--------+--------------------+--------+
//  | family |   -    | 4 or 16 bytes      |  port  |
//  +--------+--------+--------------------+--------+
//                                           big end
const FAMILY_OFFSET = 0;
const IP_OFFSET = 8;
const PORT_OFFSET = 24;

/** An address to be used again and again; the first 4 bytes hold an IPv4 address. */
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

/** Writes `address` as the IP_Port at `at`, which toxcore has cleared before. */
export function writeAddress(memory: Uint8Array, at: Pointer, address: MutableAddress): void {
  memory[at + FAMILY_OFFSET] = address.family;
  const length = ipBytes(address);
  for (let i = 0; i < length; i++) memory[at + IP_OFFSET + i] = address.bytes[i]!;
  memory[at + PORT_OFFSET] = address.port >>> 8;
  memory[at + PORT_OFFSET + 1] = address.port & 0xff;
}
