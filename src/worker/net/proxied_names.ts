import { IPV6_BYTES, ipText } from '../../core/ip.js';

/** Addresses that lead nowhere. Source: RFC 6666, the discard prefix. */
const DISCARD_PREFIX = [0x01, 0] as const;
const PREFIX_BYTES = 8;
/** Maximum number of names; a list may have a thousand bootstrap nodes. */
const MAX_NAMES = 1024;

/**
 * Host names for a proxy to look up, each with a placeholder address, because toxcore knows relays only by
 * address. The placeholders are random, so that one from a peer means nothing here, and one of ours means
 * nothing to a peer.
 */
export class ProxiedNames {
  readonly #random: (into: Uint8Array) => void;
  readonly #addressOf = new Map<string, string>();
  readonly #nameOf = new Map<string, string>();

  constructor(random: (into: Uint8Array) => void) {
    this.#random = random;
  }

  /** Returns the placeholder for a name; undefined when there are too many names. */
  addressOf(name: string): string | undefined {
    const known = this.#addressOf.get(name);
    if (known !== undefined || this.#addressOf.size >= MAX_NAMES) return known;
    const bytes = new Uint8Array(IPV6_BYTES);
    bytes.set(DISCARD_PREFIX);
    this.#random(bytes.subarray(PREFIX_BYTES));
    const address = ipText(bytes);
    this.#addressOf.set(name, address);
    this.#nameOf.set(address, name);
    return address;
  }

  /** Returns the name behind a placeholder. @param address as {@link ipText} writes it */
  nameOf(address: string): string | undefined {
    return this.#nameOf.get(address);
  }
}

/** Whether an address is a placeholder, ours or a peer's. @param address as {@link ipText} writes it */
export const isPlaceholder = (address: string): boolean => address.startsWith('100:0:0:0:');
