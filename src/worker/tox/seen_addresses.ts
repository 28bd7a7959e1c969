import type { SeenAddress, SocketPlace } from '../../bridge/contract.js';
import { IPV4_BYTES, IPV6_BYTES, ipText } from '../../core/ip.js';

// The format of wasm/seen_addresses.c. The port is big endian.
//
//  0        1                    17       19
//  +--------+--------------------+--------+
//  | 4 or 6 | 4 or 16 bytes      |  port  |
//  +--------+--------------------+--------+
const PORT_OFFSET = 17;
const PLACE_BYTES = 19;

/** Bytes of one {@link SeenAddress}. */
export const SEEN_BYTES = 2 * PLACE_BYTES;

/** @param bytes a multiple of {@link SEEN_BYTES} */
export function readSeenAddresses(bytes: Uint8Array): SeenAddress[] {
  return Array.from({ length: bytes.length / SEEN_BYTES }, (_, index) => ({
    by: readPlace(bytes, index * SEEN_BYTES),
    as: readPlace(bytes, index * SEEN_BYTES + PLACE_BYTES),
  }));
}

function readPlace(bytes: Uint8Array, at: number): SocketPlace {
  const length = bytes[at] === 4 ? IPV4_BYTES : IPV6_BYTES;
  return {
    ip: ipText(bytes.subarray(at + 1, at + 1 + length)),
    port: (bytes[at + PORT_OFFSET]! << 8) | bytes[at + PORT_OFFSET + 1]!,
  };
}
