import type { SeenAddress } from '../../bridge/contract.js';
import type { FriendNumber, Path } from '../../core/tox_network.js';
import type { Network } from '../net/network.js';

/** What came of a packet. `full` and `offline` are worth a later try. */
export type SendResult = 'sent' | 'full' | 'offline' | 'not-a-friend' | 'failed';

/** What toxcore tells. Byte views are of wasm memory: good until the handler returns. */
export interface ToxEvents {
  selfPath(path: Path): void;
  friendRequest(publicKey: Uint8Array, message: Uint8Array): void;
  friendPath(friend: FriendNumber, path: Path): void;
  /** A lossless custom packet, its id byte first. */
  losslessPacket(friend: FriendNumber, packet: Uint8Array): void;
  /** A lossy custom packet, its id byte first. */
  lossyPacket(friend: FriendNumber, packet: Uint8Array): void;
  log(level: 'error' | 'warn' | 'info' | 'debug' | 'trace', message: string): void;
}

/** What {@link Tox} and {@link BootstrapNode} need from the machine. */
export interface Host {
  readonly network: Network;
  /** Milliseconds, monotonic. */
  nowMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Fills with bytes from a CSPRNG. */
  random(into: Uint8Array): void;
}

export interface ToxOptions {
  /** Secret key of an identity, 32 bytes; without it a new one is made. */
  readonly secretKey?: Uint8Array;
  /** The four bytes of a Tox ID that its owner may change; without it new ones are made. */
  readonly nospam?: Uint8Array;
  readonly udp: boolean;
  readonly ipv6: boolean;
  /** UDP port, already bound by the host; ignored without UDP. */
  readonly udpPort: number;
  readonly lanDiscovery: boolean;
}

/** What came of adding a friend; `failed` carries toxcore's reason in words. */
export type FriendAdd =
  | { readonly kind: 'added'; readonly friend: FriendNumber }
  | { readonly kind: 'already'; readonly friend: FriendNumber }
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * One Tox instance. Everything runs on the calling thread; handlers run inside
 * {@link iterate} and {@link poll}, and what one throws comes out of that call, once toxcore has
 * finished its work. A handler may send, add and delete friends, and kill; it may not iterate or
 * poll. After {@link kill} nothing may be called.
 *
 * Every method throws ERR_TOX_CRASHED (TunnelError) once toxcore has crashed, ERR_CLOSED after kill.
 */
export interface Tox {
  /** The Tox ID: public key, nospam, checksum; 38 bytes. */
  readonly address: Uint8Array;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; never to be logged. */
  readonly secretKey: Uint8Array;
  /** Key under which others bootstrap from this instance, 32 bytes; new at every start. */
  readonly dhtId: Uint8Array;
  /** 0 without UDP. */
  readonly udpPort: number;

  /** All of toxcore's work: datagrams, TCP, timers. */
  iterate(): void;
  /** Only takes the datagrams that wait: cheap, to be called as they come. */
  poll(): void;
  /** Milliseconds until {@link iterate} wants to be called again. */
  intervalMs(): number;

  /** @param ip a numeric address; names are resolved before. False when toxcore refuses it. */
  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean;
  /** Adds a TCP relay. @param ip a numeric address */
  addRelay(ip: string, port: number, dhtKey: Uint8Array): boolean;

  /** Sends a friend request. @param message 1 to 921 bytes */
  addFriend(address: Uint8Array, message: Uint8Array): FriendAdd;
  /** Adds a friend without a request: accepts theirs. */
  acceptFriend(publicKey: Uint8Array): FriendAdd;
  /**
   * Sends our friend request again to a friend that is offline now: it may have restarted and
   * forgotten us. False when it is online, or was never asked by us.
   */
  askAgain(friend: FriendNumber): boolean;
  /** False when there is no such friend. */
  deleteFriend(friend: FriendNumber): boolean;
  friendPath(friend: FriendNumber): Path;
  /**
   * A relay that stands in when the friend, who must be told of the same one, can't be reached
   * directly. False when the friend is offline. @param ip a numeric address
   */
  addFriendRelay(friend: FriendNumber, ip: string, port: number, dhtKey: Uint8Array): boolean;
  /**
   * Pings the friend's last known address, so that it learns ours if that has changed. Cheap.
   * False when no address is known.
   */
  seekFriend(friend: FriendNumber): boolean;

  /**
   * Where other nodes see our UDP socket, as far as they have told; those that have not are asked. At most
   * 16, of which the older are a few minutes old.
   */
  seenAddresses(): readonly SeenAddress[];

  /** @param packet at most {@link MAX_PACKET_BYTES}, its id byte first; copied */
  sendLossless(friend: FriendNumber, packet: Uint8Array): SendResult;
  sendLossy(friend: FriendNumber, packet: Uint8Array): SendResult;

  kill(): void;
}

export interface BootstrapNodeOptions {
  /** DHT secret key, 32 bytes, kept so that the node's line stays the same; without it a new one is made. */
  readonly secretKey?: Uint8Array;
  readonly ipv6: boolean;
  /** UDP port, already bound by the host. */
  readonly udpPort: number;
  /** Port of the TCP relay, already bound by the host; 0 for none. */
  readonly tcpPort: number;
  readonly lanDiscovery: boolean;
}

/** A DHT node and TCP relay without friends: what others bootstrap from. */
export interface BootstrapNode {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; never to be logged. */
  readonly secretKey: Uint8Array;
  /** True once another node has answered it. */
  isConnected(): boolean;
  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean;
  /** All of its work. Every 50 ms at least. */
  iterate(): void;
  /** Only takes the datagrams that wait: cheap, to be called as they come. */
  poll(): void;
  kill(): void;
}

/** The instantiated wasm; makes as many instances as wanted, all on one thread. */
export interface ToxModule {
  /** @throws {TunnelError} ERR_TOX_START with toxcore's reason */
  createTox(options: ToxOptions, events: ToxEvents): Tox;
  /** @throws {TunnelError} ERR_TOX_START with toxcore's reason */
  createBootstrapNode(options: BootstrapNodeOptions, log: ToxEvents['log']): BootstrapNode;
  /** Size of the wasm memory now, in bytes. */
  memoryBytes(): number;
  /** toxcore's numbers by their names in C: for the contract test. */
  constants(): ReadonlyMap<string, number>;
  /**
   * Encrypts as toxcore encrypts packets (NaCl box with a shared key): for the contract test.
   * @param key 32 bytes
   * @param nonce 24 bytes
   * @returns 16 bytes more than the message has
   */
  seal(key: Uint8Array, nonce: Uint8Array, message: Uint8Array): Uint8Array;
}
