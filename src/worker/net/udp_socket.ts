import type { Socket } from 'node:dgram';
import { type Interfaces, IPV4_BYTES, interfacesNow } from '../../core/ip.js';
import { unsentBytes } from '../../core/socket_buffers.js';
import type { Arrivals } from './arrivals.js';
import { FAMILY_IPV4, FAMILY_IPV6, type Family, type MutableAddress, type NetworkStats } from './network.js';
import { AddressCache, type BroadcastFamily, broadcastAddresses, broadcastFamily } from './udp_addresses.js';

/**
 * Maximum bytes that wait in Node when the system's send buffer is full. Beyond that, sends are refused, so
 * that the sender notices a slow link and memory does not hide it.
 */
const MAX_UNSENT_BYTES = 1024 * 1024;

/**
 * Reading the length of the system's queue costs about a tenth of a send. It is read only this often while
 * the queue is empty.
 */
const SENDS_PER_CHECK = 32;

/** A bound UDP socket as toxcore uses it. It never throws: any failure counts as a lost datagram. */
export class UdpSocket {
  readonly family: Family;
  readonly port: number;
  readonly #socket: Socket;
  readonly #arrivals: Arrivals;
  readonly #interfaces: () => Interfaces | undefined;
  readonly #addresses = new AddressCache();
  /**
   * Reused only while everything sent has left. At most half of the slots have been used since the last
   * check.
   */
  readonly #slots = new SendSlots(2 * SENDS_PER_CHECK);
  #allowed = Number.POSITIVE_INFINITY;
  #sendsToCheck = 0;
  #in = 0;
  #out = 0;
  #closed = false;
  #isTold = false;

  /**
   * @param socket bound, without a listener for 'message'
   * @param onDatagrams called when datagrams wait, at most once between two calls of {@link allow}
   */
  constructor(
    socket: Socket,
    family: Family,
    onDatagrams: () => void,
    arrivals: Arrivals,
    interfaces = (): Interfaces | undefined => interfacesNow(),
  ) {
    this.family = family;
    this.port = socket.address().port;
    this.#socket = socket;
    this.#arrivals = arrivals;
    this.#interfaces = interfaces;
    socket.on('message', (bytes, from) => {
      this.#in++;
      const ip = this.#addresses.bytesOf(from.address);
      if (ip === undefined) return;
      arrivals.push({ bytes, ip, port: from.port });
      if (this.#isTold || arrivals.count === 0) return;
      this.#isTold = true;
      onDatagrams();
    });
    // A failed read ends nothing. On Windows it may be an ICMP answer to an earlier send.
    socket.on('error', () => {});
  }

  get waiting(): number {
    return this.#arrivals.count;
  }

  get stats(): NetworkStats {
    const { dropped, strangersDropped } = this.#arrivals;
    return {
      datagramsIn: this.#in,
      datagramsOut: this.#out,
      datagramsDropped: dropped,
      strangersDropped,
    };
  }

  /** Lets {@link recvFrom} return this many datagrams: the budget of one turn. After that it returns -1. */
  allow(datagrams: number): void {
    this.#allowed = datagrams;
    this.#isTold = false;
    this.#arrivals.beginTurn();
  }

  recvFrom(into: Uint8Array, from: MutableAddress): number {
    // Asked even when none is allowed, because the call shows what the last one has cost.
    const datagram = this.#allowed > 0 ? this.#arrivals.shift() : this.#arrivals.endTurn();
    if (datagram === undefined) return -1;
    this.#allowed--;
    const { bytes, ip, port } = datagram;
    from.family = ip.length === IPV4_BYTES ? FAMILY_IPV4 : FAMILY_IPV6;
    from.bytes.set(ip);
    from.port = port;
    const length = Math.min(bytes.length, into.length);
    into.set(length === bytes.length ? bytes : bytes.subarray(0, length));
    return length;
  }

  sendTo(bytes: Uint8Array, to: MutableAddress): number {
    if (this.#closed || to.port === 0 || to.family !== this.family || !this.#hasRoom()) return -1;
    const ip = to.family === FAMILY_IPV4 ? to.bytes.subarray(0, IPV4_BYTES) : to.bytes;
    if (bytes.length > 0) this.#arrivals.sends(bytes[0]!, ip, to.port);
    const text = this.#addresses.textOf(ip);
    const family = broadcastFamily(ip, text);
    if (family !== undefined) return this.#broadcast(bytes, to, family);
    try {
      // Copied, because Node keeps what the system does not take at once, and the wasm overwrites its memory.
      const copy = this.#sendsToCheck > 0 ? this.#slots.copy(bytes) : new Uint8Array(bytes);
      // Without a callback, Node ignores a failed send. The datagram is lost, as others are.
      this.#socket.send(copy, to.port, text);
    } catch {
      return -1;
    }
    this.#out++;
    return bytes.length;
  }

  /** Sends through every interface. Some of them may fail. */
  #broadcast(bytes: Uint8Array, { port }: MutableAddress, family: BroadcastFamily): number {
    const copy = new Uint8Array(bytes);
    const mapped = this.family === FAMILY_IPV6;
    const interfaces = this.#interfaces();
    if (interfaces === undefined) return -1;
    for (const address of broadcastAddresses(family, mapped, interfaces)) {
      try {
        this.#socket.send(copy, port, address);
        this.#out++;
      } catch {
        // the interface has just disappeared
      }
    }
    return bytes.length;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#arrivals.clear();
    this.#socket.close();
  }

  #hasRoom(): boolean {
    if (this.#sendsToCheck > 1) {
      this.#sendsToCheck--;
      return true;
    }
    const bytes = unsentBytes(this.#socket);
    // Slots are reused only while this is known to be 0.
    this.#sendsToCheck = bytes === 0 ? SENDS_PER_CHECK : 0;
    return bytes === undefined || bytes <= MAX_UNSENT_BYTES;
  }
}

/** Longest datagram that toxcore sends. Source: MAX_UDP_PACKET_SIZE, toxcore/network.h. */
const SLOT_BYTES = 2048;

/**
 * Memory for outgoing datagrams. The wasm reuses the memory that it passes out, so each datagram is copied;
 * the slots save allocating a buffer for each. The user must make sure that the last datagram of a slot has
 * left before the slot is reused.
 */
export class SendSlots {
  readonly count: number;
  readonly #memory: Uint8Array;
  readonly #views: Uint8Array[];
  #next = 0;

  /** @param count how many datagrams may be waiting in Node */
  constructor(count: number) {
    this.count = count;
    this.#memory = new Uint8Array(count * SLOT_BYTES);
    this.#views = Array.from({ length: count }, () => new Uint8Array(0));
  }

  /** Returns a copy of `bytes`, valid until {@link count} more have been made. */
  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SLOT_BYTES) return new Uint8Array(bytes);
    const slot = this.#next;
    this.#next = (slot + 1) % this.count;
    let view = this.#views[slot]!;
    // Nearly all datagrams have the same size, so views are rarely recreated.
    if (view.length !== bytes.length) {
      view = this.#memory.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + bytes.length);
      this.#views[slot] = view;
    }
    view.set(bytes);
    return view;
  }
}
