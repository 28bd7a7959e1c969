import { randomBytes, randomFillSync } from 'node:crypto';
import { connect, isIP, isIPv6, type Socket } from 'node:net';
import { type Clock, systemTimers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import { IPV4_BYTES, ipText, parseAddress } from '../../core/ip.js';
import type { ProxyAddress } from '../../core/proxy.js';
import { isMetadata } from '../../core/special_addresses.js';
import { Arrivals } from './arrivals.js';
import {
  FAMILY_IPV4,
  FAMILY_IPV6,
  type Family,
  type MutableAddress,
  type NetworkPlan,
  type NetworkStats,
  type NetworkWake,
  SOCKET_DATAGRAM,
  type SocketId,
  type SocketType,
  type WorkerNetwork,
} from './network.js';
import { openTcp, openTcpLike, openUdp } from './open_sockets.js';
import { isPlaceholder, ProxiedNames } from './proxied_names.js';
import { greetingFor, type ProxyTarget } from './proxy_greeting.js';
import { type Opening, TcpListener, TcpStream } from './tcp_sockets.js';
import { UdpSocket } from './udp_socket.js';

type Entry =
  | { readonly kind: 'datagram' | 'stream' }
  | { readonly kind: 'udp'; readonly udp: UdpSocket }
  | { readonly kind: 'tcp'; readonly stream: TcpStream }
  | { readonly kind: 'listener'; readonly listener: TcpListener };

const FAILED = -1;

const NO_STATS: NetworkStats = { datagramsIn: 0, datagramsOut: 0, datagramsDropped: 0, strangersDropped: 0 };

/**
 * Opens the sockets that toxcore will bind and listen on. Node needs turns of the event loop for that, while
 * toxcore wants them at once. Give toxcore exactly {@link NodeNetwork.udpPort} and
 * {@link NodeNetwork.tcpPort}.
 *
 * @throws {TunnelError} ERR_LISTEN when no port is available
 */
export async function prepareNetwork(plan: NetworkPlan, clock: Clock = systemTimers): Promise<NodeNetwork> {
  const network = new NodeNetwork(clock, plan.bindAddress, plan.proxy, plan.descriptors);
  try {
    if (plan.udp) network.adoptUdp(await openUdp(plan.udpPorts, plan.bindAddress));
    if (plan.tcpPort === 'as-udp') network.adoptTcp(await openTcpLike(network.udpPort, plan.bindAddress));
    else if (plan.tcpPort !== undefined) network.adoptTcp(await openTcp(plan.tcpPort, plan.bindAddress));
  } catch (error) {
    network.closeAll();
    throw error;
  }
  return network;
}

/** The worker's network over Node's sockets. */
export class NodeNetwork implements WorkerNetwork {
  readonly names: ProxiedNames | undefined;
  readonly #bindAddress: string | undefined;
  readonly #proxy: ProxyAddress | undefined;
  readonly #descriptors: DescriptorShare;
  #proxyTrouble: string | undefined;
  readonly #entries = new Map<SocketId, Entry>();
  #nextId = 1;
  #udp: UdpSocket | undefined;
  #listener: TcpListener | undefined;
  #ipv6 = true;
  #wake: NetworkWake | undefined;
  readonly #clock: Clock;
  #closed = false;

  constructor(clock: Clock, bindAddress?: string, proxy?: ProxyAddress, descriptors = unboundedShare()) {
    this.#clock = clock;
    this.#descriptors = descriptors;
    this.#bindAddress = bindAddress;
    this.#proxy = proxy;
    if (proxy !== undefined) this.names = new ProxiedNames((into) => void randomFillSync(into));
  }

  get proxyTrouble(): string | undefined {
    return this.#proxyTrouble;
  }

  get udpPort(): number {
    return this.#udp?.port ?? 0;
  }

  get tcpPort(): number {
    return this.#listener?.port ?? 0;
  }

  get ipv6(): boolean {
    return this.#ipv6;
  }

  get datagramsWaiting(): number {
    return this.#udp?.waiting ?? 0;
  }

  get stats(): NetworkStats {
    return this.#udp?.stats ?? NO_STATS;
  }

  onWake(wake: NetworkWake): void {
    this.#wake = wake;
  }

  allowDatagrams(count: number): void {
    this.#udp?.allow(count);
  }

  adoptUdp({ socket, ipv6 }: Awaited<ReturnType<typeof openUdp>>): void {
    this.#ipv6 = ipv6;
    this.#udp = new UdpSocket(
      socket,
      ipv6 ? FAMILY_IPV6 : FAMILY_IPV4,
      () => this.#wake?.datagrams(),
      new Arrivals(this.#clock, randomBytes(4).readUInt32BE()),
    );
  }

  adoptTcp({ server, ipv6 }: Awaited<ReturnType<typeof openTcp>>): void {
    if (this.#udp === undefined) this.#ipv6 = ipv6;
    this.#listener = new TcpListener(server, () => this.#wake?.streams(), this.#descriptors);
  }

  socket(_family: Family, type: SocketType): SocketId {
    if (this.#closed) return FAILED;
    return this.#add({ kind: type === SOCKET_DATAGRAM ? 'datagram' : 'stream' });
  }

  bind(socket: SocketId, address: MutableAddress): number {
    const kind = this.#entries.get(socket)?.kind;
    if (kind === 'datagram' && this.#udp !== undefined && address.port === this.#udp.port) {
      this.#entries.set(socket, { kind: 'udp', udp: this.#udp });
      return 0;
    }
    if (kind === 'stream' && this.#listener !== undefined && address.port === this.#listener.port) {
      this.#entries.set(socket, { kind: 'listener', listener: this.#listener });
      return 0;
    }
    return FAILED;
  }

  listen(socket: SocketId): number {
    return this.#entries.get(socket)?.kind === 'listener' ? 0 : FAILED;
  }

  accept(socket: SocketId): SocketId {
    const entry = this.#entries.get(socket);
    if (entry?.kind !== 'listener') return FAILED;
    const stream = entry.listener.accept();
    return stream === undefined ? FAILED : this.#add({ kind: 'tcp', stream });
  }

  connect(socket: SocketId, address: MutableAddress): number {
    if (this.#entries.get(socket)?.kind !== 'stream' || address.port === 0) return FAILED;
    const ipv4 = address.family === FAMILY_IPV4;
    const host = ipText(ipv4 ? address.bytes.subarray(0, IPV4_BYTES) : address.bytes);
    const name = this.names?.nameOf(host);
    // A placeholder that a peer made: only that peer's proxy knows the name.
    if (name === undefined && isPlaceholder(host)) return FAILED;
    // Peers and strangers can tell toxcore of any address as a relay.
    const place = parseAddress(host);
    if (place !== undefined && isMetadata(place)) return FAILED;
    const dialled = this.#dial(this.#proxy ?? { host, port: address.port });
    if (dialled === undefined) return FAILED;
    const stream = new TcpStream(
      dialled,
      () => this.#wake?.streams(),
      this.#opening({ host: name ?? host, port: address.port }),
    );
    this.#entries.set(socket, { kind: 'tcp', stream });
    return 0;
  }

  /** Returns undefined when no descriptor is left. */
  #dial({ host, port }: ProxyTarget): Socket | undefined {
    const from = this.#bindAddress;
    const family = from !== undefined && isIPv6(from) ? 6 : 4;
    const isOther = isIP(host) !== 0 && isIP(host) !== family;
    const bound = from === undefined || isOther ? {} : { localAddress: from, family };
    try {
      return this.#descriptors.open(() => connect({ host, port, ...bound }));
    } catch (error) {
      if (exhaustionOf(error) === undefined) throw error;
      return undefined;
    }
  }

  #opening(target: ProxyTarget): Opening | undefined {
    const proxy = this.#proxy;
    if (proxy === undefined) return undefined;
    return {
      greeting: greetingFor(proxy, target),
      done: (why) => {
        this.#proxyTrouble = why === undefined ? undefined : `the proxy ${proxy.host}:${proxy.port} ${why}`;
      },
    };
  }

  recvBuffered(socket: SocketId): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'tcp' ? entry.stream.unreadBytes : 0;
  }

  recv(socket: SocketId, into: Uint8Array): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'tcp' ? entry.stream.recv(into) : FAILED;
  }

  recvFrom(socket: SocketId, into: Uint8Array, from: MutableAddress): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'udp' ? entry.udp.recvFrom(into, from) : FAILED;
  }

  send(socket: SocketId, bytes: Uint8Array): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'tcp' ? entry.stream.send(bytes) : FAILED;
  }

  sendTo(socket: SocketId, bytes: Uint8Array, to: MutableAddress): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'udp' ? entry.udp.sendTo(bytes, to) : FAILED;
  }

  close(socket: SocketId): number {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return FAILED;
    this.#entries.delete(socket);
    switch (entry.kind) {
      case 'udp':
        entry.udp.close();
        break;
      case 'tcp':
        entry.stream.close();
        break;
      case 'listener':
        entry.listener.close();
        break;
      case 'datagram':
      case 'stream':
        break;
    }
    return 0;
  }

  admitStreams(admit: boolean): void {
    if (this.#listener !== undefined) this.#listener.isOpen = admit;
  }

  /**
   * Closes connections from addresses that this machine no longer has. They would stay silent, and toxcore
   * would wait for them for half a minute.
   */
  leaveOtherAddresses(present: ReadonlySet<string>): void {
    for (const entry of this.#entries.values()) {
      if (entry.kind !== 'tcp') continue;
      const from = entry.stream.localAddress?.replace(/^::ffff:(?=[\d.]+$)/, '').replace(/%.*$/, '');
      if (from !== undefined && !present.has(from)) entry.stream.hangUp();
    }
  }

  closeAll(): void {
    this.#closed = true;
    for (const socket of [...this.#entries.keys()]) this.close(socket);
    this.#udp?.close();
    this.#listener?.close();
  }

  #add(entry: Entry): SocketId {
    const socket = this.#nextId++;
    this.#entries.set(socket, entry);
    return socket;
  }
}
