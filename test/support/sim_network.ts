import {
  FAMILY_IPV4,
  FAMILY_IPV6,
  type Family,
  type MutableAddress,
  type Network,
  SOCKET_DATAGRAM,
  SOCKET_STREAM,
  type SocketId,
  type SocketType,
} from '../../src/worker/net/network.js';
import type { Host } from '../../src/worker/tox/tox.js';

/**
 * Maximum datagrams and bytes that one socket holds before it refuses, so that nothing grows without bound.
 */
const MAX_DATAGRAMS = 4096;
const MAX_STREAM_BYTES = 256 * 1024;

interface Endpoint {
  /** Hexadecimal: 8 digits for IPv4, 32 for IPv6. */
  readonly ip: string;
  readonly port: number;
}

interface Datagram {
  readonly from: Endpoint;
  readonly bytes: Uint8Array;
  readonly atMs: number;
}

interface Chunk {
  bytes: Uint8Array;
  readonly atMs: number;
}

interface Socket {
  readonly host: SimHost;
  readonly family: Family;
  readonly type: SocketType;
  port: number;
  /** Datagrams that have arrived or are in flight. */
  readonly datagrams: Datagram[];
  /** Connections waiting for accept(); undefined when the socket does not listen. */
  waiting: { readonly socket: Socket; readonly atMs: number }[] | undefined;
  readonly chunks: Chunk[];
  chunkBytes: number;
  /** The other end of a stream. */
  other: Socket | undefined;
  connectedAtMs: number;
  closed: boolean;
}

export interface SimOptions {
  /** One way, in milliseconds; 5 by default. */
  readonly delayMs?: number;
  /** Returns true for a datagram that gets lost. */
  readonly drop?: (bytes: Uint8Array, from: Endpoint, to: Endpoint) => boolean;
}

const MAPPED = '00000000000000000000ffff';
const BROADCAST = 'ffffffff';

/** Turns an IPv4-mapped IPv6 address into IPv4; leaves others unchanged. */
function plain(ip: string): string {
  return ip.startsWith(MAPPED) ? ip.slice(MAPPED.length) : ip;
}

function readEndpoint(address: MutableAddress): Endpoint {
  const length = address.family === FAMILY_IPV6 ? 16 : 4;
  return { ip: plain(Buffer.from(address.bytes.subarray(0, length)).toString('hex')), port: address.port };
}

function writeEndpoint(from: Endpoint, family: Family, address: MutableAddress): void {
  const ip = family === FAMILY_IPV6 && from.ip.length === 8 ? MAPPED + from.ip : from.ip;
  address.family = ip.length === 8 ? FAMILY_IPV4 : FAMILY_IPV6;
  address.bytes.set(Buffer.from(ip, 'hex'));
  address.port = from.port;
}

/**
 * Hosts with UDP and TCP on virtual time. Nothing happens by itself: datagrams and streams arrive because
 * {@link nowMs} has advanced, so every run is the same.
 */
export class SimNetwork {
  nowMs = 0;
  readonly delayMs: number;
  readonly #drop: NonNullable<SimOptions['drop']>;
  readonly #hosts = new Map<string, SimHost>();

  constructor(options: SimOptions = {}) {
    this.delayMs = options.delayMs ?? 5;
    this.#drop = options.drop ?? (() => false);
  }

  /** Adds a host with an address such as `198.51.100.7`. */
  host(ip: string): SimHost {
    const hex = Buffer.from(ip.split('.').map(Number)).toString('hex');
    const host = new SimHost(this, hex, this.#hosts.size + 1);
    this.#hosts.set(hex, host);
    return host;
  }

  /** Gives the host this address instead of its old one; its ports and streams stay. */
  move(host: SimHost, ip: string): void {
    this.#hosts.delete(host.ip);
    host.ip = Buffer.from(ip.split('.').map(Number)).toString('hex');
    this.#hosts.set(host.ip, host);
  }

  /** Carries a datagram, without reporting whether it arrives. */
  carry(bytes: Uint8Array, from: Endpoint, to: Endpoint): void {
    if (this.#drop(bytes, from, to)) return;
    const hosts = to.ip === BROADCAST ? [...this.#hosts.values()] : [this.#hosts.get(to.ip)];
    for (const host of hosts) {
      const socket = host?.socketAt(SOCKET_DATAGRAM, to.port);
      if (socket === undefined || socket.datagrams.length >= MAX_DATAGRAMS) continue;
      if (to.ip === BROADCAST && host?.ip === from.ip) continue;
      socket.datagrams.push({ from, bytes: bytes.slice(), atMs: this.nowMs + this.delayMs });
    }
  }

  /** Returns the socket that listens there. */
  listener(to: Endpoint): Socket | undefined {
    const socket = this.#hosts.get(to.ip)?.socketAt(SOCKET_STREAM, to.port);
    return socket?.waiting === undefined ? undefined : socket;
  }
}

/** One machine of a {@link SimNetwork}. */
export class SimHost implements Network {
  /** Hexadecimal; only {@link SimNetwork.move} changes it. */
  ip: string;
  readonly #sim: SimNetwork;
  readonly #sockets = new Map<SocketId, Socket>();
  #nextSocket = 3;
  #nextPort = 40_000;
  #randomState: number;

  constructor(sim: SimNetwork, ip: string, seed: number) {
    this.#sim = sim;
    this.ip = ip;
    this.#randomState = seed;
  }

  /** The machine in the form that toxcore needs, with the same randomness in every run. */
  toxHost(): Host {
    return {
      network: this,
      nowMs: () => this.#sim.nowMs,
      wallMs: () => 1_700_000_000_000 + this.#sim.nowMs,
      random: (into) => {
        for (let i = 0; i < into.length; i++) into[i] = this.#randomByte();
      },
    };
  }

  /** Sends a datagram from a port of this machine, outside any socket. */
  inject(bytes: Uint8Array, fromPort: number, to: { readonly ip: string; readonly port: number }): void {
    const ip = Buffer.from(to.ip.split('.').map(Number)).toString('hex');
    this.#sim.carry(bytes, { ip: this.ip, port: fromPort }, { ip, port: to.port });
  }

  socketAt(type: SocketType, port: number): Socket | undefined {
    for (const socket of this.#sockets.values()) {
      if (socket.type === type && socket.port === port && socket.other === undefined) return socket;
    }
    return undefined;
  }

  socket(family: Family, type: SocketType): SocketId {
    return this.#add(this.#newSocket(family, type));
  }

  bind(id: SocketId, address: MutableAddress): number {
    const socket = this.#sockets.get(id)!;
    if (this.socketAt(socket.type, address.port) !== undefined) return -1;
    socket.port = address.port;
    return 0;
  }

  listen(id: SocketId): number {
    this.#sockets.get(id)!.waiting = [];
    return 0;
  }

  accept(id: SocketId): SocketId {
    const waiting = this.#sockets.get(id)?.waiting;
    const first = waiting?.[0];
    if (waiting === undefined || first === undefined || first.atMs > this.#sim.nowMs) return -1;
    waiting.shift();
    return this.#add(first.socket);
  }

  connect(id: SocketId, address: MutableAddress): number {
    const socket = this.#sockets.get(id)!;
    const listener = this.#sim.listener(readEndpoint(address));
    if (listener === undefined) return -1;
    socket.port = this.#nextPort++;
    const there = listener.host.#newSocket(listener.family, SOCKET_STREAM);
    there.port = listener.port;
    there.other = socket;
    there.connectedAtMs = this.#sim.nowMs + this.#sim.delayMs;
    socket.other = there;
    socket.connectedAtMs = this.#sim.nowMs + 2 * this.#sim.delayMs;
    listener.waiting?.push({ socket: there, atMs: there.connectedAtMs });
    return 0;
  }

  recvBuffered(id: SocketId): number {
    let bytes = 0;
    for (const chunk of this.#sockets.get(id)!.chunks) {
      if (chunk.atMs > this.#sim.nowMs) break;
      bytes += chunk.bytes.length;
    }
    return bytes;
  }

  recv(id: SocketId, into: Uint8Array): number {
    const socket = this.#sockets.get(id)!;
    let taken = 0;
    for (let chunk = socket.chunks[0]; chunk !== undefined; chunk = socket.chunks[0]) {
      if (chunk.atMs > this.#sim.nowMs || taken === into.length) break;
      const part = chunk.bytes.subarray(0, into.length - taken);
      into.set(part, taken);
      taken += part.length;
      socket.chunkBytes -= part.length;
      if (part.length === chunk.bytes.length) socket.chunks.shift();
      else chunk.bytes = chunk.bytes.subarray(part.length);
    }
    if (taken > 0) return taken;
    return socket.chunks.length === 0 && socket.other?.closed === true ? 0 : -1;
  }

  recvFrom(id: SocketId, into: Uint8Array, from: MutableAddress): number {
    const socket = this.#sockets.get(id)!;
    const first = socket.datagrams[0];
    if (first === undefined || first.atMs > this.#sim.nowMs) return -1;
    socket.datagrams.shift();
    const bytes = first.bytes.subarray(0, into.length);
    into.set(bytes);
    writeEndpoint(first.from, socket.family, from);
    return bytes.length;
  }

  send(id: SocketId, bytes: Uint8Array): number {
    const socket = this.#sockets.get(id)!;
    const { other } = socket;
    if (other === undefined || other.closed || socket.connectedAtMs > this.#sim.nowMs) return -1;
    if (other.chunkBytes + bytes.length > MAX_STREAM_BYTES) return -1;
    other.chunks.push({ bytes: bytes.slice(), atMs: this.#sim.nowMs + this.#sim.delayMs });
    other.chunkBytes += bytes.length;
    return bytes.length;
  }

  sendTo(id: SocketId, bytes: Uint8Array, to: MutableAddress): number {
    const socket = this.#sockets.get(id)!;
    this.#sim.carry(bytes, { ip: this.ip, port: socket.port }, readEndpoint(to));
    return bytes.length;
  }

  close(id: SocketId): number {
    const socket = this.#sockets.get(id);
    if (socket === undefined) return -1;
    socket.closed = true;
    this.#sockets.delete(id);
    return 0;
  }

  /** Number of open sockets: zero once everything is killed. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  #add(socket: Socket): SocketId {
    const id = this.#nextSocket++;
    this.#sockets.set(id, socket);
    return id;
  }

  #newSocket(family: Family, type: SocketType): Socket {
    return {
      host: this,
      family,
      type,
      port: 0,
      datagrams: [],
      waiting: undefined,
      chunks: [],
      chunkBytes: 0,
      other: undefined,
      connectedAtMs: 0,
      closed: false,
    };
  }

  // mulberry32, public domain: random enough for a test, and the same every time.
  #randomByte(): number {
    this.#randomState = (this.#randomState + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#randomState ^ (this.#randomState >>> 15), 1 | this.#randomState);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) & 0xff;
  }
}
