import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { ipv6Bytes } from '../core/ipv6_bytes.js';

/**
 * One IP address in the one form it is compared in. An IPv4 address written as IPv6
 * (`::ffff:10.0.0.1`) is the IPv4 address; scopes (`%eth0`) do not exist here.
 */
export interface Address {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Uint8Array;
  /** What is dialled and logged: dotted quad, or IPv6 as RFC 5952 writes it. */
  readonly text: string;
}

/**
 * Reads a plain dotted quad or an IPv6 address, without brackets.
 *
 * @returns undefined for all else: names, scopes, and the short, octal, hexadecimal and
 * one-number forms of IPv4 that the C library would take (`127.1`, `0177.0.0.1`, `0x7f.1`)
 */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return ipv4(Uint8Array.from(text.split('.'), Number));
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const bytes = ipv6Bytes(text);
  if (startsWith(bytes, MAPPED, 96)) return ipv4(bytes.slice(12));
  return { family: 6, bytes, text: new SocketAddress({ address: text, family: 'ipv6' }).address };
}

/** Whether the first `prefixBits` bits of both are the same; never so for two families. */
export function inSubnet(address: Address, network: Address, prefixBits: number): boolean {
  return address.family === network.family && startsWith(address.bytes, network.bytes, prefixBits);
}

/** 127.0.0.0/8 and ::1. Source: RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3. */
export function isLoopback(address: Address): boolean {
  return LOOPBACK.some((network) => network.holds(address));
}

/**
 * 169.254.0.0/16 and fe80::/10: neighbours on the wire, and where clouds keep a machine's
 * secrets. Source: RFC 3927 section 2.1, RFC 4291 section 2.5.6.
 */
export function isLinkLocal(address: Address): boolean {
  return LINK_LOCAL.some((network) => network.holds(address));
}

/**
 * What no TCP connection can have at its far end. 0.0.0.0 and :: are among them because a
 * kernel that is asked to dial them dials itself. Source: RFC 6890 section 2.2, RFC 5771, RFC 4291.
 */
export function isUndiallable(address: Address): boolean {
  return UNDIALLABLE.some((network) => network.holds(address));
}

/** How an address or name stands before a port: IPv6 in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

const LOOPBACK = [subnet('127.0.0.0', 8), subnet('::1', 128)];
const LINK_LOCAL = [subnet('169.254.0.0', 16), subnet('fe80::', 10)];
const UNDIALLABLE = [
  subnet('0.0.0.0', 8),
  subnet('224.0.0.0', 4),
  subnet('255.255.255.255', 32),
  subnet('::', 128),
  subnet('ff00::', 8),
];

function subnet(network: string, prefixBits: number): { holds(address: Address): boolean } {
  const base = parseAddress(network);
  if (base === undefined) throw new RangeError(`${network} is no address`);
  return { holds: (address) => inSubnet(address, base, prefixBits) };
}

function ipv4(bytes: Uint8Array): Address {
  return { family: 4, bytes, text: bytes.join('.') };
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array, prefixBits: number): boolean {
  const wholeBytes = prefixBits >> 3;
  for (let at = 0; at < wholeBytes; at++) if (bytes[at] !== prefix[at]) return false;
  const restBits = prefixBits & 7;
  if (restBits === 0) return true;
  const differs = (bytes[wholeBytes] ?? 0) ^ (prefix[wholeBytes] ?? 0);
  return differs >> (8 - restBits) === 0;
}
