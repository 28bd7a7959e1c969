import { listOf, objectOf, type Reader, text, wrongArgument } from '../core/arguments.js';
import { bracketed } from '../core/host.js';
import { ipBytes } from '../core/ip.js';
import {
  isPublicKey,
  MAX_PLACE_ADDRESSES,
  MAX_PLACE_RELAYS,
  type PeerPlace,
  PUBLIC_KEY_BYTES,
  type RelayPlace,
  type SocketPlace,
} from '../core/tox_network.js';
import { hexBytes, upperHex } from './tox_id.js';

/** How many peers have their places kept. A peer seen within {@link FRESH_MS} does not give way to another. */
export const MAX_KNOWN_PLACES = 64;
/** How long a place is worth trying. */
const LIFETIME_MS = 7 * 24 * 3600 * 1000;
/** A place that stays the same counts as changed after this, so that it does not expire while the peer is there. */
const FRESH_MS = 3600 * 1000;

/**
 * Where a peer was last reached, as plain JSON. It only suggests where to look first; it lets nobody in. Keep it
 * as private as an address book.
 */
export interface KnownPlace {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** The peer's key in the DHT while it ran, 64 hexadecimal digits. */
  readonly dhtKey: string;
  /** When the peer was last seen there: ISO 8601, UTC. */
  readonly seen: string;
  /** `IP:PORT`, IPv6 in brackets. */
  readonly addresses: readonly string[];
  /** `IP:PORT:KEY`. */
  readonly relays: readonly string[];
}

const PLACE = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})(?::([0-9a-fA-F]{64}))?$/;

const key: Reader<string> = (value, name) => {
  if (typeof value === 'string' && isPublicKey(value)) return value.toUpperCase();
  throw wrongArgument(name, `${PUBLIC_KEY_BYTES * 2} hexadecimal digits`);
};

const time: Reader<string> = (value, name) => {
  const given = text(value, name);
  if (Number.isNaN(Date.parse(given))) throw wrongArgument(name, 'a time such as 2026-01-31T12:00:00.000Z');
  return given;
};

const address: Reader<string> = (value, name) => {
  const given = text(value, name);
  const read = readPlace(given);
  if (read !== undefined && read.key === undefined) return given;
  throw wrongArgument(name, 'a numeric address and a port, such as 192.0.2.1:33445');
};

const relay: Reader<string> = (value, name) => {
  const given = text(value, name);
  if (readPlace(given)?.key !== undefined) return given;
  throw wrongArgument(name, 'a numeric address, a port and a key, IP:PORT:KEY');
};

/** Argument of `listen()` and `connect()`. */
export const knownPlaces: Reader<readonly KnownPlace[]> = listOf(
  objectOf(
    { publicKey: key, dhtKey: key, seen: time, addresses: listOf(address), relays: listOf(relay) },
    {},
  ),
);

/**
 * Reads places that an earlier run saved as JSON. @returns undefined for anything else
 *
 * @example
 * ```ts
 * const node = await createNode({ identity, places: parseKnownPlaces(JSON.parse(saved)) });
 * node.on('places', () => save(JSON.stringify(node.places)));
 * ```
 */
export function parseKnownPlaces(json: unknown): readonly KnownPlace[] | undefined {
  try {
    return knownPlaces(json, 'places');
  } catch {
    return undefined;
  }
}

export interface PlacesOptions {
  /** From an earlier run. */
  readonly given: readonly KnownPlace[];
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly onChange: () => void;
}

/** Where the peers of a tunnel were last reached, in this run and in earlier ones. */
export class KnownPlaces {
  readonly #options: PlacesOptions;
  /** By public key. The one that was seen last comes last. */
  readonly #places = new Map<string, KnownPlace>();

  constructor(options: PlacesOptions) {
    this.#options = options;
    const { given, wallMs } = options;
    const oldest = wallMs() - LIFETIME_MS;
    const live = given.filter(({ seen }) => Date.parse(seen) > oldest);
    live.sort((one, other) => Date.parse(one.seen) - Date.parse(other.seen));
    for (const place of live.slice(-MAX_KNOWN_PLACES)) this.#places.set(place.publicKey, place);
  }

  get list(): readonly KnownPlace[] {
    return [...this.#places.values()];
  }

  /** Places to knock at. @param publicKey only this peer's; default: all */
  guesses(publicKey?: string): readonly PeerPlace[] {
    return this.list
      .filter((place) => publicKey === undefined || place.publicKey === publicKey)
      .map(peerPlace);
  }

  /** A peer can be reached there. */
  met(place: PeerPlace): void {
    const { wallMs, onChange } = this.#options;
    const publicKey = upperHex(place.publicKey);
    const now: KnownPlace = {
      publicKey,
      dhtKey: upperHex(place.dhtKey),
      seen: new Date(wallMs()).toISOString(),
      addresses: place.addresses.slice(0, MAX_PLACE_ADDRESSES).map(printPlace),
      relays: place.relays
        .slice(0, MAX_PLACE_RELAYS)
        .map((known) => `${printPlace(known)}:${upperHex(known.key)}`),
    };
    const before = this.#places.get(publicKey);
    if (before !== undefined && isSame(before, now)) return;
    if (before === undefined && this.#places.size >= MAX_KNOWN_PLACES) {
      const [oldest] = this.#places.values();
      // Otherwise peers that are online together would keep pushing each other out, with a change each time.
      if (oldest === undefined || isFresh(oldest, now)) return;
      this.#places.delete(oldest.publicKey);
    }
    this.#places.delete(publicKey);
    this.#places.set(publicKey, now);
    onChange();
  }

  /** A peer is not expected back. @param publicKey 64 hexadecimal digits */
  forget(publicKey: string): void {
    if (this.#places.delete(publicKey)) this.#options.onChange();
  }
}

function isFresh(before: KnownPlace, now: KnownPlace): boolean {
  // A time in the future comes from a clock that was wrong.
  return Math.abs(Date.parse(now.seen) - Date.parse(before.seen)) < FRESH_MS;
}

function isSame(before: KnownPlace, now: KnownPlace): boolean {
  return (
    isFresh(before, now) && JSON.stringify({ ...before, seen: '' }) === JSON.stringify({ ...now, seen: '' })
  );
}

const printPlace = ({ ip, port }: SocketPlace): string => `${bracketed(ip)}:${port}`;

function peerPlace({ publicKey, dhtKey, addresses, relays }: KnownPlace): PeerPlace {
  return {
    publicKey: hexBytes(publicKey),
    dhtKey: hexBytes(dhtKey),
    addresses: addresses.map(readPlace).filter((place) => place !== undefined),
    relays: relays.map(readPlace).filter((place): place is RelayPlace => place?.key !== undefined),
  };
}

function readPlace(given: string): (SocketPlace & { readonly key?: Uint8Array }) | undefined {
  const [, ipv6, ipv4, digits, hex] = PLACE.exec(given) ?? [];
  const ip = ipv6 ?? ipv4;
  const port = Number(digits);
  if (ip === undefined || ipBytes(ip) === undefined || port < 1 || port > 0xffff) return undefined;
  return hex === undefined ? { ip, port } : { ip, port, key: hexBytes(hex) };
}
