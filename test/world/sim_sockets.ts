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
} from '../../src/worker/net/network.js';
import { type Address, type Host, readAddress, writeAddress } from './net.js';
import type { TcpEnd } from './tcp.js';

/** Datagrams that wait for toxcore; further ones are dropped. */
const MAX_DATAGRAMS = 4096;
const FIRST_PORT = 33_445;
const LAST_PORT = 33_545;
const FAILED = -1;

type Entry =
  | { readonly kind: 'new'; readonly type: SocketType }
  | { readonly kind: 'udp' | 'listener' }
  | { readonly kind: 'tcp'; readonly end: TcpEnd; readonly localIp: string | undefined };

/** The worker's network on a simulated machine. */
export class SimSockets implements WorkerNetwork {
  readonly names = undefined;
  readonly proxyTrouble = undefined;
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly ipv6: boolean;
  readonly #host: Host;
  readonly #nextTurn: (callback: () => void) => void;
  readonly #isAlive: () => boolean;
  readonly #entries = new Map<SocketId, Entry>();
  readonly #accepted: TcpEnd[] = [];
  #datagrams: { readonly bytes: Uint8Array; readonly from: Address }[] = [];
  #taken = 0;
  #allowed = 0;
  #nextId = 1;
  #wake: NetworkWake | undefined;
  #isClosed = false;
  #in = 0;
  #out = 0;
  #dropped = 0;
  #streamsDue = false;

  constructor(
    host: Host,
    plan: NetworkPlan,
    nextTurn: (callback: () => void) => void,
    isAlive: () => boolean,
  ) {
    this.#host = host;
    this.#nextTurn = nextTurn;
    this.#isAlive = isAlive;
    this.ipv6 = host.hasIpv6;
    this.udpPort = plan.udp ? udpPortFor(host, plan) : 0;
    if (plan.udp) host.bindUdp(this.udpPort, (bytes, from) => this.#received(bytes, from));
    const { tcpPort } = plan;
    if (tcpPort === undefined) this.tcpPort = 0;
    else if (tcpPort === 'as-udp')
      this.tcpPort = host.isTcpFree(this.udpPort) ? this.udpPort : host.freePort('tcp');
    else this.tcpPort = tcpPort === 0 ? host.freePort('tcp') : tcpPort;
    if (this.tcpPort > 0) {
      host.listenTcp(this.tcpPort, (end) => {
        this.#accepted.push(end);
        this.#watch(end);
        this.#streams();
      });
    }
  }

  get datagramsWaiting(): number {
    return this.#datagrams.length - this.#taken;
  }

  get stats(): NetworkStats {
    return {
      datagramsIn: this.#in,
      datagramsOut: this.#out,
      datagramsDropped: this.#dropped,
      strangersDropped: 0,
    };
  }

  get openSockets(): number {
    return this.#entries.size;
  }

  onWake(wake: NetworkWake): void {
    this.#wake = wake;
  }

  allowDatagrams(count: number): void {
    this.#allowed = count;
  }

  admitStreams(): void {}

  leaveOtherAddresses(present: ReadonlySet<string>): void {
    for (const entry of this.#entries.values()) {
      if (entry.kind === 'tcp' && entry.localIp !== undefined && !present.has(entry.localIp))
        entry.end.refuse();
    }
  }

  socket(_family: Family, type: SocketType): SocketId {
    return this.#isClosed ? FAILED : this.#add({ kind: 'new', type });
  }

  bind(socket: SocketId, { port }: MutableAddress): number {
    const entry = this.#entries.get(socket);
    if (entry?.kind !== 'new') return FAILED;
    const isUdp = entry.type === SOCKET_DATAGRAM;
    if (port !== (isUdp ? this.udpPort : this.tcpPort)) return FAILED;
    this.#entries.set(socket, { kind: isUdp ? 'udp' : 'listener' });
    return 0;
  }

  listen(socket: SocketId): number {
    return this.#entries.get(socket)?.kind === 'listener' ? 0 : FAILED;
  }

  accept(socket: SocketId): SocketId {
    if (this.#entries.get(socket)?.kind !== 'listener') return FAILED;
    const end = this.#accepted.shift();
    return end === undefined ? FAILED : this.#add({ kind: 'tcp', end, localIp: undefined });
  }

  connect(socket: SocketId, address: MutableAddress): number {
    if (this.#entries.get(socket)?.kind !== 'new' || address.port === 0) return FAILED;
    const to = readAddress(address);
    const localIp = this.#host.ipFor(to.ip);
    if (localIp === undefined) return FAILED;
    const end = this.#host.connectTcp(to);
    this.#watch(end);
    this.#entries.set(socket, { kind: 'tcp', end, localIp });
    return 0;
  }

  recvBuffered(socket: SocketId): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'tcp' ? entry.end.unreadBytes : 0;
  }

  recv(socket: SocketId, into: Uint8Array): number {
    const entry = this.#entries.get(socket);
    if (entry?.kind !== 'tcp') return FAILED;
    const bytes = entry.end.read(into);
    if (bytes > 0) return bytes;
    return entry.end.isEnded ? 0 : FAILED;
  }

  recvFrom(_socket: SocketId, into: Uint8Array, from: MutableAddress): number {
    const datagram = this.#datagrams[this.#taken];
    if (datagram === undefined || this.#allowed === 0) return FAILED;
    this.#allowed--;
    if (++this.#taken === this.#datagrams.length) {
      this.#datagrams = [];
      this.#taken = 0;
    }
    const bytes = datagram.bytes.subarray(0, into.length);
    into.set(bytes);
    writeAddress(datagram.from, this.ipv6 ? FAMILY_IPV6 : FAMILY_IPV4, from);
    return bytes.length;
  }

  send(socket: SocketId, bytes: Uint8Array): number {
    const entry = this.#entries.get(socket);
    return entry?.kind === 'tcp' && entry.end.send(bytes) ? bytes.length : FAILED;
  }

  sendTo(socket: SocketId, bytes: Uint8Array, to: MutableAddress): number {
    if (this.#entries.get(socket)?.kind !== 'udp' || to.port === 0) return FAILED;
    this.#out++;
    this.#host.sendUdp(this.udpPort, bytes, readAddress(to));
    return bytes.length;
  }

  close(socket: SocketId): number {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return FAILED;
    this.#entries.delete(socket);
    if (entry.kind === 'tcp') entry.end.close();
    else if (entry.kind === 'udp') this.#host.closeUdp(this.udpPort);
    else if (entry.kind === 'listener') this.#host.closeTcp(this.tcpPort);
    return 0;
  }

  closeAll(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const socket of [...this.#entries.keys()]) this.close(socket);
    for (const end of this.#accepted) end.close();
    if (this.udpPort > 0) this.#host.closeUdp(this.udpPort);
    if (this.tcpPort > 0) this.#host.closeTcp(this.tcpPort);
  }

  #received(bytes: Uint8Array, from: Address): void {
    if (!this.#isAlive()) return;
    if (this.datagramsWaiting >= MAX_DATAGRAMS) {
      this.#dropped++;
      return;
    }
    this.#in++;
    this.#datagrams.push({ bytes, from });
    if (this.datagramsWaiting === 1) this.#nextTurn(() => this.#wake?.datagrams());
  }

  #watch(end: TcpEnd): void {
    end.onChange = () => this.#streams();
  }

  #streams(): void {
    if (this.#streamsDue || !this.#isAlive()) return;
    this.#streamsDue = true;
    this.#nextTurn(() => {
      this.#streamsDue = false;
      this.#wake?.streams();
    });
  }

  #add(entry: Entry): SocketId {
    const socket = this.#nextId++;
    this.#entries.set(socket, entry);
    return socket;
  }
}

function udpPortFor(host: Host, { udpPorts }: NetworkPlan): number {
  const { from, to } = udpPorts ?? { from: FIRST_PORT, to: LAST_PORT };
  for (let port = from; port <= to && port > 0; port++) if (host.isUdpFree(port)) return port;
  return host.freePort('udp');
}
