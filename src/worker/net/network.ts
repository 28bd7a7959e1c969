import type { DescriptorShare } from '../../core/descriptors.js';
import type { PortRange } from '../../core/ip.js';
import type { ProxyAddress } from '../../core/proxy.js';
import type { ProxiedNames } from './proxied_names.js';

/** Address families with toxcore's numbers. Source: TOX_AF_INET, TOX_AF_INET6, toxcore/net.h. */
export const FAMILY_IPV4 = 2;
export const FAMILY_IPV6 = 10;
export type Family = typeof FAMILY_IPV4 | typeof FAMILY_IPV6;

/** Socket types with toxcore's numbers. Source: TOX_SOCK_STREAM, TOX_SOCK_DGRAM, toxcore/net.h. */
export const SOCKET_STREAM = 1;
export const SOCKET_DATAGRAM = 2;
export type SocketType = typeof SOCKET_STREAM | typeof SOCKET_DATAGRAM;

/**
 * An address that the wasm side reads and writes in place. `bytes` holds 4 or 16 bytes, depending on the
 * family. The object is reused: copy what you keep.
 */
export interface MutableAddress {
  family: Family;
  readonly bytes: Uint8Array;
  port: number;
}

/** A socket's number in toxcore; -1 means none. */
export type SocketId = number;

/**
 * The network that toxcore uses: its Network vtable (Network_Funcs, toxcore/net.h). All calls are synchronous
 * and never block. Negative results mean "not now" or "failed", as with POSIX sockets. Views of wasm memory
 * (`bytes`, `into`) are valid until the call returns.
 */
export interface Network {
  socket(family: Family, type: SocketType): SocketId;
  /** Returns 0, or -1 when the port is not available. */
  bind(socket: SocketId, address: MutableAddress): number;
  listen(socket: SocketId, backlog: number): number;
  /** Returns the socket of a new connection, or -1 when none waits. */
  accept(socket: SocketId): SocketId;
  /** Starts connecting and returns 0 at once. Until the connection is open, {@link send} returns -1. */
  connect(socket: SocketId, address: MutableAddress): number;
  /** Returns the bytes that {@link recv} would return now. */
  recvBuffered(socket: SocketId): number;
  /** Returns the bytes received, 0 at the end of the stream, or -1 when there is nothing now. */
  recv(socket: SocketId, into: Uint8Array): number;
  /** Receives one datagram, cut to `into`. Returns its length, or -1 when none waits. */
  recvFrom(socket: SocketId, into: Uint8Array, from: MutableAddress): number;
  /** Sends all bytes or none. Returns their number, or -1 when that would block or fails. */
  send(socket: SocketId, bytes: Uint8Array): number;
  /** Sends one datagram. Returns its length, or -1 when that fails. */
  sendTo(socket: SocketId, bytes: Uint8Array, to: MutableAddress): number;
  close(socket: SocketId): number;
}

export interface NetworkPlan {
  readonly udp: boolean;
  /** UDP ports to try in turn. Default: 33445 to 33545, then one that the system chooses. */
  readonly udpPorts?: PortRange | undefined;
  /**
   * TCP port to listen on. 0 lets the system choose; undefined opens none; 'as-udp' takes the number of the
   * UDP port, or any other if that is taken.
   */
  readonly tcpPort?: number | 'as-udp' | undefined;
  /** Numeric address to bind to and to connect from. Default: all addresses, IPv6 and IPv4. */
  readonly bindAddress?: string | undefined;
  /** Proxy for all TCP connections. Without `udp`, nothing leaves this machine in any other way. */
  readonly proxy?: ProxyAddress | undefined;
  /** Descriptors for TCP connections, incoming and outgoing. Default: no limit. */
  readonly descriptors?: DescriptorShare | undefined;
}

/** What the worker needs from the network besides toxcore's calls: Node's sockets, or a simulation. */
export interface WorkerNetwork extends Network {
  /** 0 without UDP. */
  readonly udpPort: number;
  /** 0 when nothing listens. */
  readonly tcpPort: number;
  /** Whether toxcore should use IPv6 sockets, which also carry IPv4. */
  readonly ipv6: boolean;
  /** Names of relays that the proxy looks up; undefined without a proxy. */
  readonly names: ProxiedNames | undefined;
  /** Why the proxy's last connection failed; undefined when it succeeded, or without a proxy. */
  readonly proxyTrouble: string | undefined;
  readonly datagramsWaiting: number;
  readonly stats: NetworkStats;
  onWake(wake: NetworkWake): void;
  /** Limits how many datagrams toxcore may fetch until the next call. */
  allowDatagrams(count: number): void;
  /** Closes connections from addresses that this machine no longer has. */
  leaveOtherAddresses(present: ReadonlySet<string>): void;
  /** Takes TCP connections to the relay, or closes them as they arrive. */
  admitStreams(admit: boolean): void;
  /** Closes every socket, including those that toxcore never took. Nothing opens after it. */
  closeAll(): void;
}

export interface NetworkStats {
  readonly datagramsIn: number;
  readonly datagramsOut: number;
  /** Datagrams of friends that were dropped for lack of room. */
  readonly datagramsDropped: number;
  /** Datagrams of others that were dropped because there were too many. */
  readonly strangersDropped: number;
}

/**
 * Told when toxcore has something to do. Called from the event loop, never from within a call to the network.
 */
export interface NetworkWake {
  /** Datagrams wait. Not called again until {@link WorkerNetwork.allowDatagrams}. */
  datagrams(): void;
  /** A TCP connection arrived, received bytes, has room, or ended. */
  streams(): void;
}
