import { IPV4_BYTES, IPV6_BYTES } from '../../core/ip.js';
import { SOURCE_GROUPS } from './fair_queue.js';

/** Only the network of an IPv6 address counts: the owner of one address there has all of them. */
const IPV6_NETWORK_BYTES = 8;

/** Where the 4 bytes of an IPv4 address begin in its mapped form. */
const MAPPED_AT = IPV6_BYTES - IPV4_BYTES;

/** Turns addresses into numbers. A stranger chooses its address, so the hashes have a secret seed. */
export class Sources {
  readonly #seed: number;

  /** @param seed a random number below 2^32 */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Names an address and port. Two IPv6 sources have the same name once in 2^52. */
  keyOf(ip: Uint8Array, port: number): number {
    const at = ipv4At(ip);
    if (at >= 0) {
      const address = (ip[at]! << 24) | (ip[at + 1]! << 16) | (ip[at + 2]! << 8) | ip[at + 3]!;
      return (address >>> 0) * 65_536 + port;
    }
    const high = this.#hash(ip, 0, ip.length, port) & 0xf_ffff;
    return -(high * 2 ** 32 + this.#hash(ip, 0, ip.length, ~port) + 1);
  }

  /** The group in which an address takes its turns. */
  groupOf(ip: Uint8Array): number {
    const at = ipv4At(ip);
    const hash = at >= 0 ? this.#hash(ip, at, at + IPV4_BYTES, 0) : this.#hash(ip, 0, IPV6_NETWORK_BYTES, 0);
    return ((hash ^ (hash >>> 16)) >>> 0) % SOURCE_GROUPS;
  }

  /** The mixing steps are those of MurmurHash3, with its published constants. */
  #hash(bytes: Uint8Array, from: number, to: number, salt: number): number {
    let hash = this.#seed ^ Math.imul(salt, 0x9e37_79b1);
    for (let i = from; i < to; i++) {
      hash = Math.imul(hash ^ bytes[i]!, 0xcc9e_2d51);
      hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe654_6b64;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}

/** Where the IPv4 address begins in these bytes, or -1 for an IPv6 address. */
function ipv4At(ip: Uint8Array): number {
  if (ip.length === IPV4_BYTES) return 0;
  for (let i = 0; i < MAPPED_AT - 2; i++) if (ip[i] !== 0) return -1;
  return ip[MAPPED_AT - 2] === 0xff && ip[MAPPED_AT - 1] === 0xff ? MAPPED_AT : -1;
}

/** Sources that count for a while after each {@link note}. When there are too many, the oldest is forgotten. */
export class RecentSources {
  readonly #lastsMs: number;
  readonly #most: number;
  readonly #untilMs = new Map<number, number>();
  #lastKey = Number.NaN;
  #lastAtMs = Number.NEGATIVE_INFINITY;

  constructor(lastsMs: number, most: number) {
    this.#lastsMs = lastsMs;
    this.#most = most;
  }

  note(key: number, nowMs: number): void {
    // Most packets go where the one before went.
    if (key === this.#lastKey && nowMs - this.#lastAtMs < this.#lastsMs / 16) return;
    this.#lastKey = key;
    this.#lastAtMs = nowMs;
    this.#untilMs.delete(key);
    this.#untilMs.set(key, nowMs + this.#lastsMs);
    if (this.#untilMs.size <= this.#most) return;
    for (const oldest of this.#untilMs.keys()) {
      this.#untilMs.delete(oldest);
      break;
    }
  }

  has(key: number, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(key);
    return untilMs !== undefined && nowMs < untilMs;
  }
}
