import type { RemoteInfo, Socket } from 'node:dgram';
import { type Interfaces, IPV4_BYTES, interfacesNow } from '../../core/ip.js';
import { FAMILY_IPV4, FAMILY_IPV6, type Family, type MutableAddress } from './network.js';
import { AddressCache, broadcastAddresses, type ToEverybody, toEverybody } from './udp_addresses.js';

/** What waits for toxcore at most: 0.2 s of packets at the highest rate measured. */
const MAX_WAITING_DATAGRAMS = 16_384;
const MAX_WAITING_BYTES = 24 * 1024 * 1024;

/**
 * What may wait in Node when the system's send buffer is full. Beyond it a send is refused, so
 * that a slow link is felt by the sender and not hidden in memory.
 */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** Asking the system's queue costs about as much as a tenth of a send: it is done this seldom while all is well. */
const SENDS_PER_CHECK = 32;

/** A bound UDP socket as toxcore uses it. It never throws; what fails is a lost datagram. */
export class UdpSocket {
  readonly family: Family;
  readonly port: number;
  readonly #socket: Socket;
  readonly #queue: DatagramQueue;
  readonly #interfaces: () => Interfaces | undefined;
  readonly #addresses = new AddressCache();
  /** Used again only while all that was sent has left: since the last look no more than half were. */
  readonly #slots = new SendSlots(2 * SENDS_PER_CHECK);
  #allowed = Number.POSITIVE_INFINITY;
  #sendsToCheck = 0;
  #in = 0;
  #out = 0;
  #closed = false;

  /**
   * @param socket bound, without a listener of 'message'
   * @param onDatagrams called when a datagram comes while none waits
   */
  constructor(
    socket: Socket,
    family: Family,
    onDatagrams: () => void,
    queue = new DatagramQueue(MAX_WAITING_DATAGRAMS, MAX_WAITING_BYTES),
    interfaces = (): Interfaces | undefined => interfacesNow(),
  ) {
    this.family = family;
    this.port = socket.address().port;
    this.#socket = socket;
    this.#queue = queue;
    this.#interfaces = interfaces;
    socket.on('message', (bytes, from) => {
      this.#in++;
      if (queue.push(bytes, from) && queue.count === 1) onDatagrams();
    });
    // A failed read (on Windows also an ICMP answer to an earlier send) ends nothing.
    socket.on('error', () => {});
  }

  get waiting(): number {
    return this.#queue.count;
  }

  get stats(): { readonly in: number; readonly out: number; readonly dropped: number } {
    return { in: this.#in, out: this.#out, dropped: this.#queue.dropped };
  }

  /** Lets {@link recvFrom} give so many datagrams, then -1 although more wait: the budget of one turn. */
  allow(datagrams: number): void {
    this.#allowed = datagrams;
  }

  recvFrom(into: Uint8Array, from: MutableAddress): number {
    while (this.#allowed > 0) {
      const datagram = this.#queue.shift();
      if (datagram === undefined) return -1;
      this.#allowed--;
      const ip = this.#addresses.bytesOf(datagram.from.address);
      if (ip === undefined) continue;
      from.family = ip.length === IPV4_BYTES ? FAMILY_IPV4 : FAMILY_IPV6;
      from.bytes.set(ip);
      from.port = datagram.from.port;
      const { bytes } = datagram;
      const length = Math.min(bytes.length, into.length);
      into.set(length === bytes.length ? bytes : bytes.subarray(0, length));
      return length;
    }
    return -1;
  }

  sendTo(bytes: Uint8Array, to: MutableAddress): number {
    if (this.#closed || to.port === 0 || to.family !== this.family || !this.#hasRoom()) return -1;
    const ip = to.family === FAMILY_IPV4 ? to.bytes.subarray(0, IPV4_BYTES) : to.bytes;
    const text = this.#addresses.textOf(ip);
    const everybody = toEverybody(ip, text);
    if (everybody !== undefined) return this.#sendToEverybody(bytes, to, everybody);
    try {
      // Copied: what the system does not take at once Node keeps, and wasm memory is written again.
      const copy = this.#sendsToCheck > 0 ? this.#slots.copy(bytes) : new Uint8Array(bytes);
      // Without a callback Node tells nobody that a datagram could not be sent: it is lost, as others are.
      this.#socket.send(copy, to.port, text);
    } catch {
      return -1;
    }
    this.#out++;
    return bytes.length;
  }

  /** Out of every interface; on some it may fail. */
  #sendToEverybody(bytes: Uint8Array, { port }: MutableAddress, everybody: ToEverybody): number {
    const copy = new Uint8Array(bytes);
    const mapped = this.family === FAMILY_IPV6;
    const interfaces = this.#interfaces();
    if (interfaces === undefined) return -1;
    for (const address of broadcastAddresses(everybody, mapped, interfaces)) {
      try {
        this.#socket.send(copy, port, address);
        this.#out++;
      } catch {
        // that interface went away just now
      }
    }
    return bytes.length;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.clear();
    this.#socket.close();
  }

  #hasRoom(): boolean {
    if (this.#sendsToCheck > 1) {
      this.#sendsToCheck--;
      return true;
    }
    const unsentBytes = this.#socket.getSendQueueSize();
    this.#sendsToCheck = unsentBytes === 0 ? SENDS_PER_CHECK : 0;
    return unsentBytes <= MAX_UNSENT_BYTES;
  }
}

/** A datagram as Node gave it. */
export interface Datagram {
  readonly bytes: Buffer;
  readonly from: RemoteInfo;
}

/**
 * Datagrams that have come and that toxcore has not fetched, oldest first. Bounded in number and
 * in bytes: what comes while it is full is dropped and counted, as the system would do.
 */
export class DatagramQueue {
  readonly #slots: (Datagram | undefined)[];
  readonly #maxBytes: number;
  #head = 0;
  #count = 0;
  #bytes = 0;
  #dropped = 0;

  /** @param maxDatagrams at least 1 */
  constructor(maxDatagrams: number, maxBytes: number) {
    this.#slots = new Array<Datagram | undefined>(maxDatagrams).fill(undefined);
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Datagrams that found no room, ever. */
  get dropped(): number {
    return this.#dropped;
  }

  /** False when it was dropped. */
  push(bytes: Buffer, from: RemoteInfo): boolean {
    if (this.#count === this.#slots.length || this.#bytes + bytes.length > this.#maxBytes) {
      this.#dropped++;
      return false;
    }
    this.#slots[(this.#head + this.#count) % this.#slots.length] = { bytes, from };
    this.#count++;
    this.#bytes += bytes.length;
    return true;
  }

  shift(): Datagram | undefined {
    const datagram = this.#slots[this.#head];
    if (datagram === undefined) return undefined;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#slots.length;
    this.#count--;
    this.#bytes -= datagram.bytes.length;
    return datagram;
  }

  clear(): void {
    while (this.shift() !== undefined);
  }
}

/** Longest datagram that toxcore sends. Source: MAX_UDP_PACKET_SIZE, toxcore/network.h. */
const SLOT_BYTES = 2048;

/**
 * Memory that datagrams are sent from: the wasm writes again over what it handed out, so each is
 * copied, but into the same few places again and again instead of into a new buffer each.
 * Whoever uses it must know that a slot's last datagram has left before its turn comes again.
 */
export class SendSlots {
  readonly count: number;
  readonly #memory: Uint8Array;
  readonly #views: Uint8Array[];
  #next = 0;

  /** @param count how many datagrams may be under way */
  constructor(count: number) {
    this.count = count;
    this.#memory = new Uint8Array(count * SLOT_BYTES);
    this.#views = Array.from({ length: count }, () => new Uint8Array(0));
  }

  /** A copy of `bytes`, good until {@link count} more were made. */
  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SLOT_BYTES) return new Uint8Array(bytes);
    const slot = this.#next;
    this.#next = (slot + 1) % this.count;
    let view = this.#views[slot]!;
    // Nearly all are of one size: the view is made once.
    if (view.length !== bytes.length) {
      view = this.#memory.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + bytes.length);
      this.#views[slot] = view;
    }
    view.set(bytes);
    return view;
  }
}
