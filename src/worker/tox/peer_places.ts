import { IPV4_BYTES, ipBytes } from '../../core/ip.js';
import {
  MAX_PLACE_ADDRESSES,
  MAX_PLACE_RELAYS,
  type PeerPlace,
  PUBLIC_KEY_BYTES,
  type SocketPlace,
} from '../../core/tox_network.js';
import { ADDRESS_BYTES, readAddress } from './seen_addresses.js';

// The format of wasm/knocks.c: public key, DHT key, number of addresses, number of relays, the addresses, the
// relays: an address and a key each.
const COUNTS_OFFSET = 2 * PUBLIC_KEY_BYTES;
const HEAD_BYTES = COUNTS_OFFSET + 2;
const RELAY_BYTES = ADDRESS_BYTES + PUBLIC_KEY_BYTES;

/** Bytes of the largest place. */
export const PLACE_BYTES = HEAD_BYTES + MAX_PLACE_ADDRESSES * ADDRESS_BYTES + MAX_PLACE_RELAYS * RELAY_BYTES;

/** @param bytes {@link PLACE_BYTES}, all of them copied from wasm memory */
export function readPlace(bytes: Uint8Array): PeerPlace {
  const addresses = bytes[COUNTS_OFFSET]!;
  const relaysAt = HEAD_BYTES + addresses * ADDRESS_BYTES;
  return {
    publicKey: bytes.slice(0, PUBLIC_KEY_BYTES),
    dhtKey: bytes.slice(PUBLIC_KEY_BYTES, COUNTS_OFFSET),
    addresses: Array.from({ length: addresses }, (_, index) =>
      readAddress(bytes, HEAD_BYTES + index * ADDRESS_BYTES),
    ),
    relays: Array.from({ length: bytes[COUNTS_OFFSET + 1]! }, (_, index) => {
      const at = relaysAt + index * RELAY_BYTES;
      return { ...readAddress(bytes, at), key: bytes.slice(at + ADDRESS_BYTES, at + RELAY_BYTES) };
    }),
  };
}

/** Leaves out addresses that are not numeric. @returns undefined when a key has a wrong length */
export function writePlace({ publicKey, dhtKey, addresses, relays }: PeerPlace): Uint8Array | undefined {
  if (publicKey.length !== PUBLIC_KEY_BYTES || dhtKey.length !== PUBLIC_KEY_BYTES) return undefined;
  const direct = addresses.map(addressBytes).filter((bytes) => bytes !== undefined);
  const relayed = relays
    .filter(({ key }) => key.length === PUBLIC_KEY_BYTES)
    .map((relay) => {
      const bytes = addressBytes(relay);
      return bytes && Buffer.concat([bytes, relay.key]);
    })
    .filter((bytes) => bytes !== undefined);
  const fewAddresses = direct.slice(0, MAX_PLACE_ADDRESSES);
  const fewRelays = relayed.slice(0, MAX_PLACE_RELAYS);
  const counts = Uint8Array.of(fewAddresses.length, fewRelays.length);
  return Buffer.concat([publicKey, dhtKey, counts, ...fewAddresses, ...fewRelays]);
}

function addressBytes({ ip, port }: SocketPlace): Uint8Array | undefined {
  const address = ipBytes(ip);
  if (address === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const bytes = Buffer.alloc(ADDRESS_BYTES);
  bytes[0] = address.length === IPV4_BYTES ? 4 : 6;
  bytes.set(address, 1);
  bytes.writeUInt16BE(port, ADDRESS_BYTES - 2);
  return bytes;
}
