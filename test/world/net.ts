import type { MutableAddress, SocketType } from '../../src/worker/net/network.js';
import { FAMILY_IPV4, FAMILY_IPV6, type Family } from '../../src/worker/net/network.js';
import type { SimClock } from '../support/sim_clock.js';
import { LAN_DELAY_MS, TcpEnd } from './tcp.js';

/** A UDP or TCP address. `ip` is hexadecimal: 8 digits for IPv4, 32 for IPv6. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** How a site's line to the Internet behaves, in each direction. */
export interface Line {
  delayMs: number;
  /** Uniform random extra delay: datagrams overtake each other. */
  jitterMs: number;
  /** Probability that a datagram is lost. */
  loss: number;
  /** Probability that a datagram arrives twice. */
  duplicate: number;
  /** Bytes per millisecond; Infinity: no limit. */
  rate: number;
  /** Bytes that wait for the line. More are dropped. */
  queueBytes: number;
}

/** A site's NAT. */
export interface Nat {
  /** `keeping`: one public port for each socket. `symmetric`: another one for each destination. */
  readonly kind: 'keeping' | 'symmetric';
  /** How long a mapping lives without outgoing datagrams. */
  readonly timeoutMs: number;
  /** Whether hosts behind it reach each other by its public address. */
  readonly hairpin: boolean;
}

interface Mapping {
  readonly host: Host;
  readonly port: number;
  readonly publicPort: number;
  usedAtMs: number;
  /** Who may answer, and when we last wrote to them. */
  readonly wroteToMs: Map<string, number>;
}

const BROADCAST = 'ffffffff';
const MAPPED_PREFIX = '00000000000000000000ffff';
/** How long TCP tries to reach a silent address. */
const CONNECT_TIMEOUT_MS = 60_000;
const FIREWALL_TIMEOUT_MS = 120_000;

export const ipHex = (text: string): string =>
  text.includes(':')
    ? text
        .split(':')
        .map((part) => part.padStart(4, '0'))
        .join('')
    : Buffer.from(text.split('.').map(Number)).toString('hex');

export function ipText(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  return bytes.length === 4 ? bytes.join('.') : (hex.match(/.{4}/g) ?? []).join(':');
}

const isPrivate = (ip: string): boolean => ip.length === 8 && (ip.startsWith('0a') || ip.startsWith('c0a8'));

const keyOf = ({ ip, port }: Address): string => `${ip}/${port}`;

/** Reads an address that toxcore passes; an IPv4-mapped one becomes IPv4. */
export function readAddress({ family, bytes, port }: MutableAddress): Address {
  const hex = Buffer.from(bytes.subarray(0, family === FAMILY_IPV6 ? 16 : 4)).toString('hex');
  return { ip: hex.startsWith(MAPPED_PREFIX) ? hex.slice(MAPPED_PREFIX.length) : hex, port };
}

/** Writes an address as a socket of `family` shows it. */
export function writeAddress(from: Address, family: Family, into: MutableAddress): void {
  const ip = family === FAMILY_IPV6 && from.ip.length === 8 ? MAPPED_PREFIX + from.ip : from.ip;
  into.family = ip.length === 8 ? FAMILY_IPV4 : FAMILY_IPV6;
  into.bytes.set(Buffer.from(ip, 'hex'));
  into.port = from.port;
}

export interface SiteShape {
  readonly line: Line;
  readonly nat?: Nat | undefined;
  /** Drops what comes in unasked. */
  readonly firewall?: boolean;
}

/** Sites with hosts, joined by the Internet. Everything happens on one clock and from one seed. */
export class Net {
  readonly clock: SimClock;
  readonly random: () => number;
  /** Datagrams sent since the start. */
  datagrams = 0;
  readonly #sites = new Map<string, Site>();

  constructor(clock: SimClock, random: () => number) {
    this.clock = clock;
    this.random = random;
  }

  site(shape: SiteShape): Site {
    return new Site(this, shape);
  }

  siteAt(ip: string): Site | undefined {
    return this.#sites.get(ip);
  }

  announce(ip: string, site: Site): void {
    this.#sites.set(ip, site);
  }

  withdraw(ip: string): void {
    this.#sites.delete(ip);
  }

  /** Whether packets pass between two sites at this moment. */
  connects(from: Site, to: Site): boolean {
    if (from === to) return true;
    return from.cuts === 0 && to.cuts === 0 && from.side === to.side;
  }
}

/** A place with one line to the Internet: a public host, or hosts behind a NAT or a firewall. */
export class Site {
  readonly net: Net;
  readonly line: Line;
  readonly nat: Nat | undefined;
  readonly hosts: Host[] = [];
  /** How many faults block all UDP on the line now. */
  udpBlocks = 0;
  readonly firewall: boolean;
  /** How many faults cut the line now: packets disappear without a sign. */
  cuts = 0;
  /** Sites of different sides do not reach each other. */
  side = 0;
  /** The line's own loss, and that of each fault of now. */
  readonly #losses = new Set<{ readonly loss: number }>();
  /** The NAT's address. */
  #publicIp = '';
  readonly #out = new Map<string, Mapping>();
  readonly #in = new Map<number, Mapping>();
  #nextPort = 20_000;
  #upFreeAtMs = 0;
  #downFreeAtMs = 0;

  constructor(net: Net, { line, nat, firewall = false }: SiteShape) {
    this.net = net;
    this.line = line;
    this.#losses.add({ loss: line.loss });
    this.nat = nat;
    this.firewall = firewall;
  }

  get publicIp(): string {
    return this.#publicIp;
  }

  /** Gives the NAT another public address: old mappings and connections are dead. */
  setPublicIp(ip: string): void {
    if (this.#publicIp !== '') this.net.withdraw(this.#publicIp);
    this.#publicIp = ip;
    this.#out.clear();
    this.#in.clear();
    this.net.announce(ip, this);
  }

  /** Loses more datagrams for a while. @returns what ends it */
  lose(loss: number): () => void {
    const fault = { loss };
    this.#losses.add(fault);
    const apply = (): void => {
      this.line.loss = Math.max(...[...this.#losses].map((each) => each.loss));
    };
    apply();
    return () => {
      this.#losses.delete(fault);
      apply();
    };
  }

  /** The NAT forgets everything, as after a power cut. */
  restartNat(): void {
    this.#out.clear();
    this.#in.clear();
  }

  host(...ips: string[]): Host {
    const host = new Host(this, ips);
    this.hosts.push(host);
    return host;
  }

  hostAt(ip: string): Host | undefined {
    return this.hosts.find((host) => host.has(ip));
  }

  get mappings(): number {
    return this.#out.size;
  }

  /** The address by which the Internet sees what a socket sends; undefined when it cannot be sent. */
  sourceOf(host: Host, port: number, to: Address): Address | undefined {
    if (this.nat === undefined || to.ip.length !== 8) {
      const ip = host.ipFor(to.ip);
      return ip === undefined || isPrivate(ip) ? undefined : { ip, port };
    }
    if (isPrivate(to.ip)) return undefined;
    const now = this.net.clock.nowMs;
    const key = `${host.name}/${port}${this.nat.kind === 'symmetric' ? keyOf(to) : ''}`;
    let mapping = this.#out.get(key);
    if (mapping === undefined || now - mapping.usedAtMs > this.nat.timeoutMs) {
      if (mapping !== undefined) this.#in.delete(mapping.publicPort);
      const publicPort = this.nat.kind === 'keeping' && !this.#in.has(port) ? port : this.#freePort();
      mapping = { host, port, publicPort, usedAtMs: now, wroteToMs: new Map() };
      this.#out.set(key, mapping);
      this.#in.set(publicPort, mapping);
    }
    mapping.usedAtMs = now;
    mapping.wroteToMs.set(keyOf(to), now);
    return { ip: this.#publicIp, port: mapping.publicPort };
  }

  /** The inner address of what arrives from the Internet; undefined when it is dropped. */
  innerOf(from: Address, to: Address): { readonly host: Host; readonly port: number } | undefined {
    const now = this.net.clock.nowMs;
    if (this.nat !== undefined && to.ip === this.#publicIp) {
      const mapping = this.#in.get(to.port);
      if (mapping === undefined || now - mapping.usedAtMs > this.nat.timeoutMs) return undefined;
      const wroteMs = mapping.wroteToMs.get(keyOf(from));
      if (wroteMs === undefined || now - wroteMs > this.nat.timeoutMs) return undefined;
      return mapping;
    }
    const host = this.hostAt(to.ip);
    if (host === undefined) return undefined;
    if (this.firewall && !host.expects(to.port, from)) return undefined;
    return { host, port: to.port };
  }

  /** Time on the line for `bytes` in one direction; undefined when the queue is full. */
  occupy(direction: 'up' | 'down', bytes: number): number | undefined {
    const { rate, queueBytes, delayMs, jitterMs } = this.line;
    const now = this.net.clock.nowMs;
    const freeAtMs = Math.max(direction === 'up' ? this.#upFreeAtMs : this.#downFreeAtMs, now);
    const tookMs = rate === Number.POSITIVE_INFINITY ? 0 : bytes / rate;
    if ((freeAtMs - now) * rate > queueBytes) return undefined;
    if (direction === 'up') this.#upFreeAtMs = freeAtMs + tookMs;
    else this.#downFreeAtMs = freeAtMs + tookMs;
    return freeAtMs - now + tookMs + delayMs + (jitterMs === 0 ? 0 : this.net.random() * jitterMs);
  }

  #freePort(): number {
    while (this.#in.has(this.#nextPort)) this.#nextPort++;
    return this.#nextPort++;
  }
}

/** What receives the datagrams of a port. */
export type Receiver = (bytes: Uint8Array, from: Address) => void;

let hostNames = 0;

/** One machine: its addresses, its ports, and who uses them. */
export class Host {
  readonly name = `h${hostNames++}`;
  readonly site: Site;
  /** Difference between this machine's time of day and the world's. */
  wallOffsetMs = 0;
  readonly #ips = new Set<string>();
  readonly #udp = new Map<number, Receiver>();
  readonly #tcp = new Map<number, (end: TcpEnd) => void>();
  readonly #wroteToMs = new Map<string, number>();
  #nextPort = 40_000;

  constructor(site: Site, ips: readonly string[]) {
    this.site = site;
    this.setIps(ips);
  }

  get ips(): readonly string[] {
    return [...this.#ips];
  }

  get hasIpv6(): boolean {
    return this.ips.some((ip) => ip.length === 32);
  }

  setIps(ips: readonly string[]): void {
    for (const ip of this.#ips) if (!isPrivate(ip)) this.site.net.withdraw(ip);
    this.#ips.clear();
    for (const ip of ips) {
      this.#ips.add(ip);
      if (!isPrivate(ip)) this.site.net.announce(ip, this.site);
    }
  }

  has(ip: string): boolean {
    return this.#ips.has(ip);
  }

  /** Our address of the family of `ip`. */
  ipFor(ip: string): string | undefined {
    return this.ips.find((own) => own.length === ip.length);
  }

  /** Whether this machine has written to `from` lately, so that a firewall lets the answer in. */
  expects(port: number, from: Address): boolean {
    const wroteMs = this.#wroteToMs.get(`${port} ${keyOf(from)}`);
    return wroteMs !== undefined && this.site.net.clock.nowMs - wroteMs < FIREWALL_TIMEOUT_MS;
  }

  freePort(type: SocketType | 'udp' | 'tcp'): number {
    const taken = type === 'udp' ? this.#udp : this.#tcp;
    while (taken.has(this.#nextPort)) this.#nextPort++;
    return this.#nextPort++;
  }

  isUdpFree(port: number): boolean {
    return !this.#udp.has(port);
  }

  isTcpFree(port: number): boolean {
    return !this.#tcp.has(port);
  }

  bindUdp(port: number, receive: Receiver): void {
    this.#udp.set(port, receive);
  }

  closeUdp(port: number): void {
    this.#udp.delete(port);
  }

  listenTcp(port: number, accept: (end: TcpEnd) => void): void {
    this.#tcp.set(port, accept);
  }

  closeTcp(port: number): void {
    this.#tcp.delete(port);
  }

  receive(port: number, bytes: Uint8Array, from: Address): void {
    this.#udp.get(port)?.(bytes, from);
  }

  acceptor(port: number): ((end: TcpEnd) => void) | undefined {
    return this.#tcp.get(port);
  }

  sendUdp(port: number, bytes: Uint8Array, to: Address): void {
    const { site } = this;
    const { net } = site;
    net.datagrams++;
    // The caller's memory changes after the call.
    const copy = bytes.slice();
    const soon = (host: Host): void => {
      const from = { ip: this.ipFor(to.ip === BROADCAST ? '00000000' : to.ip) ?? '', port };
      if (from.ip !== '') net.clock.after(LAN_DELAY_MS, () => host.receive(to.port, copy, from));
    };
    if (to.ip === BROADCAST) {
      for (const host of site.hosts) if (host !== this) soon(host);
      return;
    }
    const neighbour = site.hostAt(to.ip);
    if (neighbour !== undefined) {
      soon(neighbour);
      return;
    }
    if (site.firewall) this.#wroteToMs.set(`${port} ${keyOf(to)}`, net.clock.nowMs);
    const from = site.sourceOf(this, port, to);
    if (from === undefined) return;
    if (to.ip === site.publicIp && site.nat !== undefined) {
      if (site.nat.hairpin) net.clock.after(LAN_DELAY_MS, () => arrive(site, copy, from, to));
      return;
    }
    const far = net.siteAt(to.ip);
    if (site.udpBlocks > 0 || far === undefined || far.udpBlocks > 0 || !net.connects(site, far)) return;
    if (net.random() < site.line.loss || net.random() < far.line.loss) return;
    const upMs = site.occupy('up', copy.length);
    const downMs = far.occupy('down', copy.length);
    if (upMs === undefined || downMs === undefined) return;
    const deliver = (): void => {
      if (net.connects(site, far) && net.siteAt(to.ip) === far) arrive(far, copy, from, to);
    };
    net.clock.after(upMs + downMs, deliver);
    if (net.random() < site.line.duplicate) net.clock.after(upMs + downMs + 1, deliver);
  }

  /** Starts a TCP connection. The caller sees from `end` how it goes. */
  connectTcp(to: Address): TcpEnd {
    const { net } = this.site;
    const far = this.site.hostAt(to.ip)?.site ?? net.siteAt(to.ip);
    const target = far?.hostAt(to.ip);
    const near = new TcpEnd(this, target ?? this, to.ip);
    const begunMs = net.clock.nowMs;
    const attempt = (): void => {
      if (near.isClosed) return;
      const isReached =
        target !== undefined &&
        far !== undefined &&
        near.passes() &&
        !(far.firewall && far !== this.site) &&
        !(target.site !== this.site && isPrivate(to.ip));
      if (isReached) {
        const accept = target.acceptor(to.port);
        if (accept === undefined) near.refuse();
        else {
          const other = new TcpEnd(target, this, '');
          near.join(other);
          accept(other);
        }
      } else if (net.clock.nowMs - begunMs > CONNECT_TIMEOUT_MS) near.refuse();
      else net.clock.after(1_000, attempt);
    };
    net.clock.after(near.delayMs() * 2, attempt);
    return near;
  }
}

function arrive(site: Site, bytes: Uint8Array, from: Address, to: Address): void {
  const inner = site.innerOf(from, to);
  inner?.host.receive(inner.port, bytes, from);
}
