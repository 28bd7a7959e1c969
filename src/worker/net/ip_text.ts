import { isIP } from 'node:net';
import { ipv6Bytes } from '../../core/ipv6_bytes.js';

/** Bytes of an IPv4 and of an IPv6 address. */
export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

/** What an IPv4 address starts with when it is written as an IPv6 one. Source: RFC 4291, section 2.5.5.2. */
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

/**
 * The bytes of a numeric address: 4 of them for IPv4, 16 for IPv6. A zone (`%eth0`) is left
 * out. Undefined when `text` is no numeric address.
 */
export function parseIp(text: string): Uint8Array | undefined {
  switch (isIP(text)) {
    case 4:
      return Uint8Array.from(text.split('.'), Number);
    case 6:
      return ipv6Bytes(text.split('%', 1)[0]!);
    default:
      return undefined;
  }
}

/** An address as the system's calls take it. @param bytes 4 or 16 bytes */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === IPV4_BYTES) return bytes.join('.');
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(MAPPED_PREFIX.length).join('.')}`;
  const groups: string[] = [];
  for (let i = 0; i < IPV6_BYTES; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}

function isMapped(bytes: Uint8Array): boolean {
  return MAPPED_PREFIX.every((byte, i) => bytes[i] === byte);
}
