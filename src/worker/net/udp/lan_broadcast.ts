import { isIPv6 } from 'node:net';
import type { Interfaces } from '../../../core/ip.js';
import { IPV4_BYTES, IPV6_BYTES, ipBytes, ipText } from '../../../core/ip.js';

/** What an address stands for that toxcore's LAN discovery sends to: everybody on the link. */
export type ToEverybody = 'ipv4' | 'ipv6';

const ALL_ONES = '255.255.255.255';
const ALL_ONES_MAPPED = `::ffff:${ALL_ONES}`;
/** All nodes of the link. Source: RFC 4291, section 2.7.1. */
const ALL_NODES = ipText(Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));

/** Undefined for all addresses but two; as good as free for most. @param text of the same address */
export function toEverybody(ip: Uint8Array, text: string): ToEverybody | undefined {
  const isMapped = ip.length === IPV6_BYTES && ip[IPV6_BYTES - IPV4_BYTES] === 0xff;
  if (ip[0] !== 0xff && !isMapped) return undefined;
  if (text === ALL_NODES) return 'ipv6';
  return text === ALL_ONES || text === ALL_ONES_MAPPED ? 'ipv4' : undefined;
}

/**
 * Where a datagram to everybody has to go so that it comes out of every interface: the system sends one to 255.255.255.255
 * or ff02::1 by one route alone, and without a default route by none.
 *
 * @param mapped for a socket of IPv6, which takes IPv4 addresses in their mapped form
 */
export function broadcastAddresses(to: ToEverybody, mapped: boolean, interfaces: Interfaces): string[] {
  const found = new Set<string>();
  for (const [name, addresses = []] of Object.entries(interfaces)) {
    for (const { address, netmask, internal } of addresses) {
      if (internal || isIPv6(address) !== (to === 'ipv6')) continue;
      if (to === 'ipv6') found.add(`${ALL_NODES}%${name}`);
      else found.add(`${mapped ? '::ffff:' : ''}${lastAddress(address, netmask)}`);
    }
  }
  return [...found];
}

/** The broadcast address of an IPv4 network. */
function lastAddress(address: string, netmask: string): string {
  const [ip, mask] = [ipBytes(address), ipBytes(netmask)];
  return ip === undefined ? address : ipText(ip.map((byte, i) => byte | (~(mask?.[i] ?? 0xff) & 0xff)));
}
