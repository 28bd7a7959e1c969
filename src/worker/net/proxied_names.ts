import { IPV6_BYTES, ipText } from '../../core/ip.js';

/** Addresses that lead nowhere. Source: RFC 6666, the discard prefix. */
const DISCARD_PREFIX = [0x01, 0] as const;
const PREFIX_BYTES = 8;
/** Nodes by name that are remembered: a list may have a thousand. */
const MAX_NAMES = 1024;

/**
 * Names that a proxy shall look up, each with an address that stands for it: toxcore knows relays by addresses alone.
 * The addresses are chosen at random, so that one that a peer tells us means nothing here; at a peer that is
 * told one of ours it leads nowhere.
 */
export class ProxiedNames {
  readonly #random: (into: Uint8Array) => void;
  readonly #addressOf = new Map<string, string>();
  readonly #nameOf = new Map<string, string>();

  constructor(random: (into: Uint8Array) => void) {
    this.#random = random;
  }

  /** The address that stands for a name; undefined when there are too many names. */
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

  /** The name that an address stands for. @param address as {@link ipText} writes it */
  nameOf(address: string): string | undefined {
    return this.#nameOf.get(address);
  }
}

/** Whether an address stands for a name, ours or a peer's. @param address as {@link ipText} writes it */
export const standsForName = (address: string): boolean => address.startsWith('100:0:0:0:');
