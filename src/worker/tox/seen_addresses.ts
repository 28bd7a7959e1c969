import type { SeenAddress } from '../../bridge/contract.js';
import { IPV4_BYTES, IPV6_BYTES, ipText } from '../../core/ip.js';
import type { SocketPlace } from '../../core/tox_network.js';

// The format of addresses in wasm/seen_addresses.c and wasm/knocks.c. The port is big endian.
//
//  0        1                    17       19
//  +--------+--------------------+--------+
//  | 4 or 6 | 4 or 16 bytes      |  port  |
//  +--------+--------------------+--------+
const PORT_OFFSET = 17;

/** Bytes of one address. */
export const ADDRESS_BYTES = 19;

/** Bytes of one {@link SeenAddress}. */
export const SEEN_BYTES = 2 * ADDRESS_BYTES;

/** @param bytes a multiple of {@link SEEN_BYTES} */
export function readSeenAddresses(bytes: Uint8Array): SeenAddress[] {
  return Array.from({ length: bytes.length / SEEN_BYTES }, (_, index) => ({
    by: readAddress(bytes, index * SEEN_BYTES),
    as: readAddress(bytes, index * SEEN_BYTES + ADDRESS_BYTES),
  }));
}

/** Reads the address at `at`. */
export function readAddress(bytes: Uint8Array, at: number): SocketPlace {
  const length = bytes[at] === 4 ? IPV4_BYTES : IPV6_BYTES;
  return {
    ip: ipText(bytes.subarray(at + 1, at + 1 + length)),
    port: (bytes[at + PORT_OFFSET]! << 8) | bytes[at + PORT_OFFSET + 1]!,
  };
}
