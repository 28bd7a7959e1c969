import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

/** Prefix of an IPv4 address that is written as IPv6. Source: RFC 4291, section 2.5.5.2. */
const MAPPED_PREFIX = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/**
 * One IP address in canonical form, ready for comparison. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) becomes
 * the IPv4 address. Zones (`%eth0`) do not exist here.
 */
export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Uint8Array;
  /** Dotted quad, or IPv6 as in RFC 5952. Used for dialling and in logs. */
  readonly text: string;
}

/** TCP or UDP ports from `from` to `to`, both inclusive. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a plain dotted quad or an IPv6 address without brackets.
 *
 * @returns undefined for anything else: names, addresses with a zone, and the IPv4 forms that only the C library
 *   accepts (`127.1`, `0177.0.0.1`, `0x7f.1`)
 */
export function parseAddress(text: string): IpAddress | undefined {
  const bytes = text.includes('%') ? undefined : ipBytes(text);
  if (bytes === undefined) return undefined;
  if (bytes.length === IPV4_BYTES) return ipv4(bytes);
  if (isMapped(bytes)) return ipv4(bytes.slice(MAPPED_PREFIX.length));
  return { family: 6, bytes, text: new SocketAddress({ address: text, family: 'ipv6' }).address };
}

/**
 * Returns the bytes of a numeric address: 4 for IPv4, 16 for IPv6, even if it is IPv4-mapped. Ignores a zone
 * (`%eth0`).
 *
 * @returns undefined when `text` is not a numeric address
 */
export function ipBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return quadBytes(text);
  if (!isIPv6(text)) return undefined;
  const [head = '', tail = ''] = (text.split('%', 1)[0] ?? '').split('::');
  const bytes = new Uint8Array(IPV6_BYTES);
  bytes.set(groupBytes(head));
  const last = groupBytes(tail);
  bytes.set(last, IPV6_BYTES - last.length);
  return bytes;
}

/** Formats an address for system calls, without `::` compression. @param bytes 4 or 16 bytes */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === IPV4_BYTES) return bytes.join('.');
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(MAPPED_PREFIX.length).join('.')}`;
  const groups: string[] = [];
  for (let at = 0; at < IPV6_BYTES; at += 2) groups.push(((bytes[at]! << 8) | bytes[at + 1]!).toString(16));
  return groups.join(':');
}

/** Whether the first `prefixBits` bits of both are equal. Addresses of different families never match. */
export function inSubnet(address: IpAddress, network: IpAddress, prefixBits: number): boolean {
  return address.family === network.family && startsWith(address.bytes, network.bytes, prefixBits);
}

/** Returns `address` with all bits after the prefix cleared. */
export function networkBase(address: IpAddress, prefixBits: number): IpAddress {
  const bytes = address.bytes.map((byte, at) => {
    const kept = Math.min(8, Math.max(0, prefixBits - at * 8));
    return byte & (0xff00 >> kept);
  });
  const text = ipText(bytes);
  return parseAddress(text) ?? { family: address.family, bytes, text };
}

/** Returns `address` with all bits after the prefix set: the last address of the network. */
export function lastOf(address: IpAddress, prefixBits: number): IpAddress {
  const bytes = address.bytes.map(
    (byte, at) => byte | (0xff >> Math.min(8, Math.max(0, prefixBits - at * 8))),
  );
  const text = ipText(bytes);
  return parseAddress(text) ?? { family: address.family, bytes, text };
}

/** The network interfaces of this machine, by name. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** Returns undefined when the system call fails, which needs a descriptor and memory. */
export function interfacesNow(read: () => Interfaces = networkInterfaces): Interfaces | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Returns a test whether an address is one of this machine's now. It asks the system once, when it is first called. */
export function ownAddresses(): (address: IpAddress) => boolean {
  let interfaces: Interfaces | undefined;
  return (address) => {
    interfaces ??= interfacesNow() ?? {};
    return isOwnAddress(address, interfaces);
  };
}

/** Whether an address belongs to one of this machine's interfaces. */
export function isOwnAddress(address: IpAddress, interfaces = interfacesNow()): boolean {
  const own = Object.values(interfaces ?? {}).flatMap((each) => each ?? []);
  return own.some(({ address: text }) => parseAddress(text)?.text === address.text);
}

function ipv4(bytes: Uint8Array): IpAddress {
  return { family: 4, bytes, text: bytes.join('.') };
}

function quadBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split('.'), Number);
}

function groupBytes(groups: string): number[] {
  if (groups === '') return [];
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return [...quadBytes(group)];
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}

function isMapped(bytes: Uint8Array): boolean {
  return startsWith(bytes, MAPPED_PREFIX, MAPPED_PREFIX.length * 8);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array, prefixBits: number): boolean {
  const wholeBytes = prefixBits >> 3;
  for (let at = 0; at < wholeBytes; at++) if (bytes[at] !== prefix[at]) return false;
  const restBits = prefixBits & 7;
  if (restBits === 0) return true;
  const differs = (bytes[wholeBytes] ?? 0) ^ (prefix[wholeBytes] ?? 0);
  return differs >> (8 - restBits) === 0;
}
