import type { SeenAddress } from '../../bridge/contract.js';
import type { FriendNumber, Path, PeerPlace } from '../../core/tox_network.js';
import type { Network } from '../net/network.js';

/** Result of sending a packet. After `full` or `offline` a later attempt may succeed. */
export type SendResult = 'sent' | 'full' | 'offline' | 'not-a-friend' | 'failed';

/** Events from toxcore. Byte arrays are views of wasm memory, valid until the handler returns. */
export interface ToxEvents {
  selfPath(path: Path): void;
  friendRequest(publicKey: Uint8Array, message: Uint8Array): void;
  friendPath(friend: FriendNumber, path: Path): void;
  /** A lossless custom packet, which starts with its id byte. */
  losslessPacket(friend: FriendNumber, packet: Uint8Array): void;
  /** A lossy custom packet, which starts with its id byte. */
  lossyPacket(friend: FriendNumber, packet: Uint8Array): void;
  log(level: 'error' | 'warn' | 'info' | 'debug' | 'trace', message: string): void;
}

/** What {@link Tox} and {@link BootstrapNode} need from the machine. */
export interface Host {
  readonly network: Network;
  /** Monotonic time, in ms. */
  nowMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Fills `into` from a cryptographically secure generator. */
  random(into: Uint8Array): void;
}

export interface ToxOptions {
  /** Secret key of the identity, 32 bytes. Default: a new identity. */
  readonly secretKey?: Uint8Array;
  /** The four bytes of a Tox ID that its owner may change. Default: random. */
  readonly nospam?: Uint8Array;
  readonly udp: boolean;
  readonly ipv6: boolean;
  /** UDP port that the host has already bound. Ignored without UDP. */
  readonly udpPort: number;
  readonly lanDiscovery: boolean;
}

/** Result of adding a friend. `failed` carries toxcore's reason in words. */
export type FriendAdd =
  | { readonly kind: 'added'; readonly friend: FriendNumber }
  | { readonly kind: 'already'; readonly friend: FriendNumber }
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * One Tox instance. Everything runs on the calling thread. Handlers run inside {@link iterate} and
 * {@link poll}. If a handler throws, that call throws the same error once toxcore has finished its work. A handler
 * may send, add and delete friends, and kill; it must not iterate or poll. Call nothing after {@link kill}.
 *
 * Every method throws a TunnelError: ERR_TOX_CRASHED once toxcore has crashed, ERR_CLOSED after kill.
 */
export interface Tox {
  /** The Tox ID, 38 bytes: public key, nospam, checksum. */
  readonly address: Uint8Array;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; never log it. */
  readonly secretKey: Uint8Array;
  /** The key under which others bootstrap from this instance, 32 bytes. New at every start. */
  readonly dhtId: Uint8Array;
  /** 0 without UDP. */
  readonly udpPort: number;

  /** Does all of toxcore's work: datagrams, TCP, timers. */
  iterate(): void;
  /** Processes only the datagrams that are waiting. This is cheap; call it as they arrive. */
  poll(): void;
  /** Milliseconds until the next necessary {@link iterate}. */
  intervalMs(): number;

  /**
   * Returns false when toxcore refuses the address. @param ip a numeric address; the caller resolves names
   */
  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean;
  /** Adds a TCP relay. @param ip a numeric address */
  addRelay(ip: string, port: number, dhtKey: Uint8Array): boolean;

  /** Sends a friend request. @param message 1 to 921 bytes */
  addFriend(address: Uint8Array, message: Uint8Array): FriendAdd;
  /** Accepts a friend request: adds a friend without sending one. */
  acceptFriend(publicKey: Uint8Array): FriendAdd;
  /**
   * Sets the request for {@link askAgain} to a friend that was accepted: until then it has none. Returns false when
   * there is no such friend.
   *
   * @param address of the friend @param message 1 to 921 bytes
   */
  setRequest(friend: FriendNumber, address: Uint8Array, message: Uint8Array): boolean;
  /**
   * Sends our friend request again to an offline friend, which may have restarted and forgotten us. Returns
   * false when the friend is online, or when we never sent it a request.
   */
  askAgain(friend: FriendNumber): boolean;
  /** Returns false when there is no such friend. */
  deleteFriend(friend: FriendNumber): boolean;
  friendPath(friend: FriendNumber): Path;
  /**
   * What tells the Tox session with a friend from every other: 32 bytes that only its two ends know. Returns undefined
   * while there is no session.
   */
  sessionBinding(friend: FriendNumber): Uint8Array | undefined;
  /**
   * Adds a relay to use when the friend cannot be reached directly. The friend must add the same relay.
   * Returns false when the friend is offline. @param ip a numeric address
   */
  addFriendRelay(friend: FriendNumber, ip: string, port: number, dhtKey: Uint8Array): boolean;
  /**
   * Pings the friend's last known address, so that the friend learns our address if it has changed. Cheap.
   * Returns false when no address is known.
   */
  seekFriend(friend: FriendNumber): boolean;

  /**
   * Sends a packet to a place where a peer was last reached. It says where we can be reached now, and repeats our
   * friend request if the peer is a friend that got one. Returns the number of packets sent: 0 for a friend that is
   * online.
   */
  knock(place: PeerPlace): number;
  /** Where a friend that is online can be reached. */
  friendPlace(friend: FriendNumber): PeerPlace | undefined;

  /**
   * Returns how DHT nodes see our UDP socket, for those that have answered; asks the others. Returns at most
   * 16; some may be minutes old.
   */
  seenAddresses(): readonly SeenAddress[];

  /** Copies and sends a packet. @param packet at most {@link MAX_PACKET_BYTES}, starting with its id byte */
  sendLossless(friend: FriendNumber, packet: Uint8Array): SendResult;
  sendLossy(friend: FriendNumber, packet: Uint8Array): SendResult;

  kill(): void;
}

export interface BootstrapNodeOptions {
  /**
   * DHT secret key, 32 bytes. Kept between runs, so that the node keeps its address line. Default: a new key.
   */
  readonly secretKey?: Uint8Array;
  readonly ipv6: boolean;
  /** UDP port that the host has already bound. */
  readonly udpPort: number;
  /** TCP port of the relay that the host has already bound; 0 for no relay. */
  readonly tcpPort: number;
  readonly lanDiscovery: boolean;
}

/** A DHT node and TCP relay without friends, from which others bootstrap. */
export interface BootstrapNode {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; never log it. */
  readonly secretKey: Uint8Array;
  /** Whether another node has answered it. */
  isConnected(): boolean;
  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean;
  /** Does all of its work. Call it at least every 50 ms. */
  iterate(): void;
  /** Processes only the datagrams that are waiting. This is cheap; call it as they arrive. */
  poll(): void;
  kill(): void;
}

/** The instantiated wasm. It creates any number of instances, all on one thread. */
export interface ToxModule {
  /** @throws {TunnelError} ERR_TOX_START with toxcore's reason */
  createTox(options: ToxOptions, events: ToxEvents): Tox;
  /** @throws {TunnelError} ERR_TOX_START with toxcore's reason */
  createBootstrapNode(options: BootstrapNodeOptions, log: ToxEvents['log']): BootstrapNode;
  /** Current size of the wasm memory, in bytes. */
  memoryBytes(): number;
  /** Bytes of it that are allocated now. Takes some milliseconds when there are many. */
  allocatedBytes(): number;
  /** toxcore's numbers by their names in C, for the contract test. */
  constants(): ReadonlyMap<string, number>;
  /**
   * Encrypts as toxcore encrypts packets (NaCl box with a shared key), for the contract test.
   *
   * @param key 32 bytes
   * @param nonce 24 bytes
   * @returns the message and 16 more bytes
   */
  seal(key: Uint8Array, nonce: Uint8Array, message: Uint8Array): Uint8Array;
}
