/**
 * What the two threads exchange through comlink: control and events, never data. Both threads import this
 * file. Everything in it is plain data that structured clone can carry.
 */
import type { WireError } from '../core/errors.js';
import type { PortRange } from '../core/ip.js';
import type { LogLevel } from '../core/logger.js';
import type { ProxyAddress } from '../core/proxy.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { BootstrapAddress, FriendNumber, Path, PeerPlace, SocketPlace } from '../core/tox_network.js';

/** Names one peer's channel in ring records: 24 bits. The main thread chooses it. */
export type ChannelId = number;

interface NetworkOptions {
  /** UDP ports to try in turn. Default: 33445 to 33545, then any. */
  readonly udpPorts?: PortRange;
  /** Numeric address to bind to. Default: every address, IPv6 and IPv4. */
  readonly bindAddress?: string;
  readonly lanDiscovery: boolean;
  /** Default: no limit. */
  readonly tcpConnections?: TcpConnections;
}

/**
 * Limits a node's TCP connections, outgoing and incoming. Beyond it, none is opened, and accepted ones are
 * closed.
 */
export interface TcpConnections {
  readonly most: number;
  /** The process's limit on open files when {@link most} derives from it; else Infinity. */
  readonly fileLimit: number;
}

/** A Tox node with friends, as a listener or a connector runs it. */
export interface TunnelNodeOptions extends NetworkOptions {
  readonly kind: 'tunnel';
  /** 32 bytes. Default: a new identity. */
  readonly secretKey?: Uint8Array;
  /** 4 bytes. */
  readonly nospam?: Uint8Array;
  readonly udp: boolean;
  /** Carries all traffic. With a proxy there is no UDP, whatever `udp` says, and no LAN discovery. */
  readonly proxy?: ProxyAddress;
}

/** A DHT node and TCP relay without friends, which others bootstrap from. */
export interface BootstrapNodeOptions extends NetworkOptions {
  readonly kind: 'bootstrap';
  /** DHT secret key, 32 bytes. Default: a new one. */
  readonly secretKey?: Uint8Array;
  /**
   * Port of the TCP relay. 0 lets the system choose; undefined opens none. 'as-udp' takes the number
   * of the UDP port, so that one address names both, or any port when that one is in use.
   */
  readonly tcpPort?: number | 'as-udp';
}

export type StartOptions = TunnelNodeOptions | BootstrapNodeOptions;

export interface Started {
  /** Tox ID, 38 bytes; empty for a bootstrap node. */
  readonly address: Uint8Array;
  readonly publicKey: Uint8Array;
  /** 32 bytes; for the state file only. */
  readonly secretKey: Uint8Array;
  /** The key with which others bootstrap from this node, 32 bytes. */
  readonly dhtKey: Uint8Array;
  /** 0 when there is none. */
  readonly udpPort: number;
  readonly tcpPort: number;
}

/**
 * Which friend requests the worker passes to the main thread. Anyone who knows the Tox ID can send
 * requests, so the worker drops all others at once.
 */
export interface RequestAdmission {
  /** Beginnings of messages, all of the same length, at least 1 byte. */
  readonly prefixes: readonly Uint8Array[];
  /** Public keys whose requests pass, whatever their message. */
  readonly keys: readonly Uint8Array[];
  /** Public keys whose requests never pass. */
  readonly deniedKeys: readonly Uint8Array[];
}

/** What this end is in a session: it dials, or it is dialled. */
export type Role = 'connector' | 'listener';

/** How a channel begins. */
export interface ChannelStart {
  readonly role: Role;
  readonly frameBytes: number;
  /** Names the channel in its packets, 32 bits; equal at both ends, different for each session. */
  readonly tag: number;
  /** Of the Tox session in which the peer has proven itself. In any other, the channel is frozen and takes no packets. */
  readonly binding: Uint8Array;
}

/** The result of adding a friend or sending a message. */
export interface Outcome {
  readonly code: ReturnCode;
  /** -1 when there is none. */
  readonly friend: FriendNumber;
  /** The reason for a failure, for people. */
  readonly reason?: string;
}

export interface WorkerStats {
  readonly wasmMemoryBytes: number;
  readonly datagramsIn: number;
  readonly datagramsOut: number;
  /** Datagrams of friends that arrived while the worker's queue was full. */
  readonly datagramsDropped: number;
  /** Datagrams of others that were dropped because there were too many. */
  readonly strangersDropped: number;
  readonly iterations: number;
}

/**
 * What the worker does for the main thread. Every method throws {@link TunnelError} for what it
 * rejects: ERR_CLOSED before `start` and after `close`. Any other error ends the worker.
 */
export interface WorkerApi {
  /** @throws {TunnelError} ERR_LISTEN when a port is in use, ERR_TOX_START, ERR_WASM_MISSING */
  start(options: StartOptions): Promise<Started>;
  /**
   * Resolves the names and joins the network through these nodes. The caller retries; the answer
   * and the log name the nodes that failed.
   */
  bootstrap(nodes: readonly BootstrapAddress[]): Promise<{ readonly failed: readonly string[] }>;
  /** Sends a friend request. Codes 101, 102; 103 for a friend that was accepted before: the request is for later. */
  addFriend(address: Uint8Array, message: Uint8Array): Outcome;
  /**
   * Knocks at the places where peers were last reached, several times, until they are online. A peer that is our
   * friend is also told our friend request again.
   */
  knock(places: readonly PeerPlace[]): void;
  /** Passes on friend requests of this kind from now on, and no others. Before this call, none. */
  admitRequests(admission: RequestAdmission): void;
  /** Accepts a friend request. Codes 101, 102; 103 for a friend that exists already. */
  acceptFriend(publicKey: Uint8Array): Outcome;
  /** Deletes a friend and closes its channel. Returns false when there is no such friend. */
  removeFriend(friend: FriendNumber): boolean;
  /**
   * Sends a handshake packet: a whole lossless packet, its id byte first. Codes 201 to 204.
   *
   * @throws {TunnelError} ERR_HANDSHAKE_INVALID for any other packet
   */
  sendHandshake(friend: FriendNumber, packet: Uint8Array): Outcome;
  /**
   * Opens the channel to a friend. From now on it takes the ring records with this id, and its
   * frames arrive as records with this id. An older channel to the same friend in the same role is closed.
   *
   * @returns false when the id is in use
   */
  openChannel(channel: ChannelId, friend: FriendNumber, start: ChannelStart): boolean;
  /**
   * The peer of a channel has proven itself in another Tox session, in which the channel continues. Returns false when
   * there is no such channel.
   */
  rebindChannel(channel: ChannelId, binding: Uint8Array): boolean;
  /** Closes a channel: unsent frames are lost. Returns false when there is no such channel. */
  closeChannel(channel: ChannelId): boolean;
  /** Returns undefined when there is no such channel. */
  channelStats(channel: ChannelId): ChannelStats | undefined;
  stats(): WorkerStats;
  /**
   * The addresses at which other nodes see our UDP socket, for nodes that have reported one. Asks the others.
   */
  seenAddresses(): readonly SeenAddress[];
  /** Leaves the network. The last call. */
  close(): void;
}

/** State and counters of a channel, as plain data that can cross the threads. */
export interface ChannelStats {
  /** Bytes of frames that were taken from the ring and have not been sent yet. */
  readonly backlogBytes: number;
  /** Bytes sent and not yet acknowledged. */
  readonly inFlightBytes: number;
  readonly framesOut: number;
  readonly framesIn: number;
  /** Smoothed round-trip time in ms; 0 while unknown. */
  readonly roundTripMs: number;
  readonly packetsLost: number;
}

/** What one node of the network sees of our UDP socket. */
export interface SeenAddress {
  /** The node. */
  readonly by: SocketPlace;
  /** Our address as that node sees it: behind a NAT, the address of the NAT. */
  readonly as: SocketPlace;
}

/** What strangers could use up. */
export interface NodeHealth {
  /** Memory that toxcore uses, of at most 512 MiB. Beyond 80 % the node takes nobody new. */
  readonly wasmMemoryBytes: number;
  /** UDP packets of strangers that were dropped because there were too many. */
  readonly strangersDropped: number;
}

/** An event of the worker. */
export type WorkerEvent =
  | { readonly type: 'self-path'; readonly path: Path }
  | { readonly type: 'friend-request'; readonly publicKey: Uint8Array; readonly message: Uint8Array }
  /** The worker dropped this many more friend requests. Sent now and then. */
  | { readonly type: 'requests-dropped'; readonly count: number }
  /** The binding tells the Tox session from every other: see the protocol, section 2.1. Undefined while offline. */
  | {
      readonly type: 'friend-path';
      readonly friend: FriendNumber;
      readonly path: Path;
      readonly binding: Uint8Array | undefined;
    }
  /** Where a friend that is online can be reached. Sent soon after it came online, then now and then. */
  | { readonly type: 'friend-place'; readonly place: PeerPlace }
  | { readonly type: 'handshake'; readonly friend: FriendNumber; readonly packet: Uint8Array }
  /** The channel cannot continue; its session has ended. */
  | { readonly type: 'channel-failed'; readonly channel: ChannelId; readonly error: WireError }
  /** Sent when a value has changed, at most every few seconds. */
  | { readonly type: 'health'; readonly health: NodeHealth }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string };

/** What the main thread does for the worker. */
export interface MainApi {
  event(event: WorkerEvent): void;
}
