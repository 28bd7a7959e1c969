import { isIPv6 } from 'node:net';
import type { Interfaces } from '../../core/ip.js';
import { IPV4_BYTES, IPV6_BYTES, ipBytes, ipText } from '../../core/ip.js';

/** Addresses remembered each way; a power of two. A busy node talks to some hundred nodes of the DHT. */
const REMEMBERED = 1024;

/**
 * Addresses between Node's texts and toxcore's bytes, remembered so that a packet costs no text
 * work. Bounded: an address that is forgotten is worked out again.
 */
export class AddressCache {
  readonly #bytesOf = new Map<string, Uint8Array>();
  #lastText = '';
  #lastBytes: Uint8Array = new Uint8Array(0);

  /** Texts by a hash of their bytes: a new address takes the place of the one that hashes like it. */
  readonly #texts: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(
    REMEMBERED,
  ).fill(undefined);

  /** The bytes of an address that a datagram came from; undefined when it is none. Not to be changed. */
  bytesOf(text: string): Uint8Array | undefined {
    if (text === this.#lastText) return this.#lastBytes;
    let bytes = this.#bytesOf.get(text);
    if (bytes === undefined) {
      bytes = ipBytes(text);
      if (bytes === undefined) return undefined;
      if (this.#bytesOf.size >= REMEMBERED) this.#bytesOf.clear();
      this.#bytesOf.set(text, bytes);
      // A link-local address is of use only with its zone, which toxcore does not keep.
      if (text.includes('%')) this.#texts[slotOf(bytes)] = { bytes, text };
    }
    this.#lastText = text;
    this.#lastBytes = bytes;
    return bytes;
  }

  /** The text of an address to send to. @param bytes 4 or 16 bytes; copied */
  textOf(bytes: Uint8Array): string {
    const slot = slotOf(bytes);
    const known = this.#texts[slot];
    if (known !== undefined && equal(known.bytes, bytes)) return known.text;
    const text = ipText(bytes);
    this.#texts[slot] = { bytes: new Uint8Array(bytes), text };
    return text;
  }
}

/** FNV-1a, as its offset basis and prime are published; here it only has to spread. */
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
