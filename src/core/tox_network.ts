/** Bytes of keys, and of a Tox ID and its parts. Source: toxcore/tox.h; the contract test compares them. */
export const PUBLIC_KEY_BYTES = 32;
/** What tells one Tox session from every other: a SHA-256 of its key (wasm/friend_session.c). */
export const SESSION_BINDING_BYTES = 32;
export const SECRET_KEY_BYTES = 32;
export const NOSPAM_BYTES = 4;
export const CHECKSUM_BYTES = 2;
/** Public key, nospam and checksum, in this order. */
export const TOX_ID_BYTES = PUBLIC_KEY_BYTES + NOSPAM_BYTES + CHECKSUM_BYTES;

/** Longest message of a friend request, in bytes. Source: TOX_MAX_FRIEND_REQUEST_LENGTH, toxcore/tox.h. */
export const MAX_REQUEST_BYTES = 921;

/** How a Tox node or a friend is reached now. Source: Tox_Connection, toxcore/tox.h (0 none, 1 TCP, 2 UDP). */
export type Path = 'none' | 'relay' | 'udp';

/** A friend's number in toxcore, which reuses the numbers of deleted friends. */
export type FriendNumber = number;

/** A numeric address and a port. */
export interface SocketPlace {
  readonly ip: string;
  readonly port: number;
}

/** A TCP relay, and its DHT public key. */
export interface RelayPlace extends SocketPlace {
  readonly key: Uint8Array;
}

/**
 * Where a peer was last reached: a guess about where it may be reached again. Its DHT key changes with each start of
 * the peer.
 */
export interface PeerPlace {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. */
  readonly dhtKey: Uint8Array;
  /** At most {@link MAX_PLACE_ADDRESSES}. */
  readonly addresses: readonly SocketPlace[];
  /** At most {@link MAX_PLACE_RELAYS}. */
  readonly relays: readonly RelayPlace[];
}

/** Sources: MAX_ADDRESSES and MAX_RELAYS, wasm/knocks.c. */
export const MAX_PLACE_ADDRESSES = 2;
export const MAX_PLACE_RELAYS = 4;

/** A bootstrap node: an entry to the DHT, in text form `HOST:PORT:KEY`. */
export interface BootstrapAddress {
  /** A name or a numeric IPv4 or IPv6 address without brackets. The worker resolves names. */
  readonly host: string;
  /** UDP port, 1 to 65535. Also the TCP port unless {@link tcpPorts} is set. */
  readonly port: number;
  /** TCP ports of the node's relay, as in the public list. Default: {@link port}. */
  readonly tcpPorts?: readonly number[];
  /** DHT public key, 32 bytes. */
  readonly key: Uint8Array;
}

/** Whether a string has the form of a public key: 64 hexadecimal digits. */
export function isPublicKey(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text);
}
