import { isIPv6 } from 'node:net';
import type { Interfaces } from '../../core/ip.js';
import { IPV4_BYTES, IPV6_BYTES, ipBytes, ipText } from '../../core/ip.js';

/** Size of the cache in each direction; a power of two. A busy node talks to several hundred DHT nodes. */
const REMEMBERED = 1024;

/**
 * Converts addresses between Node's text and toxcore's bytes. Caches them, so that a packet costs no text
 * processing. The cache is bounded: a forgotten address is converted again.
 */
export class AddressCache {
  readonly #bytesOf = new Map<string, Uint8Array>();
  #lastText = '';
  #lastBytes: Uint8Array = new Uint8Array(0);

  /** Texts by a hash of their bytes. A new address replaces the one with the same hash. */
  readonly #texts: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(
    REMEMBERED,
  ).fill(undefined);

  /**
   * Returns the bytes of a datagram's source; undefined when `text` is not an address. Do not change them.
   */
  bytesOf(text: string): Uint8Array | undefined {
    if (text === this.#lastText) return this.#lastBytes;
    let bytes = this.#bytesOf.get(text);
    if (bytes === undefined) {
      bytes = ipBytes(text);
      if (bytes === undefined) return undefined;
      if (this.#bytesOf.size >= REMEMBERED) this.#bytesOf.clear();
      this.#bytesOf.set(text, bytes);
      // A link-local address is useless without its zone, which toxcore does not keep.
      if (text.includes('%')) this.#texts[slotOf(bytes)] = { bytes, text };
    }
    this.#lastText = text;
    this.#lastBytes = bytes;
    return bytes;
  }

  /** Returns the text of a destination. @param bytes 4 or 16 bytes; copied */
  textOf(bytes: Uint8Array): string {
    const slot = slotOf(bytes);
    const known = this.#texts[slot];
    if (known !== undefined && equal(known.bytes, bytes)) return known.text;
    const text = ipText(bytes);
    this.#texts[slot] = { bytes: new Uint8Array(bytes), text };
    return text;
  }
}

/** FNV-1a with its published offset basis and prime. It only has to spread the addresses. */
function slotOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return (hash ^ (hash >>> 16)) & (REMEMBERED - 1);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = Math.min(a.length, IPV6_BYTES) - 1; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}

/** Family of a broadcast address that toxcore's LAN discovery sends to. */
export type BroadcastFamily = 'ipv4' | 'ipv6';

const ALL_ONES = '255.255.255.255';
const ALL_ONES_MAPPED = `::ffff:${ALL_ONES}`;
/** All nodes on the link. Source: RFC 4291, section 2.7.1. */
const ALL_NODES = ipText(Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));

/**
 * Returns undefined for all but two addresses. For most addresses the check costs next to nothing. @param
 * text of the same address
 */
export function broadcastFamily(ip: Uint8Array, text: string): BroadcastFamily | undefined {
  const isMapped = ip.length === IPV6_BYTES && ip[IPV6_BYTES - IPV4_BYTES] === 0xff;
  if (ip[0] !== 0xff && !isMapped) return undefined;
  if (text === ALL_NODES) return 'ipv6';
  return text === ALL_ONES || text === ALL_ONES_MAPPED ? 'ipv4' : undefined;
}

/**
 * Returns the addresses that together reach every interface. The system sends a datagram to 255.255.255.255
 * or ff02::1 along a single route, and without a default route along none.
 *
 * @param mapped returns IPv4 addresses in their mapped form, for an IPv6 socket
 */
export function broadcastAddresses(to: BroadcastFamily, mapped: boolean, interfaces: Interfaces): string[] {
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
