import type { Socket } from 'node:dgram';
import { type Interfaces, IPV4_BYTES, interfacesNow } from '../../../core/ip.js';
import { FAMILY_IPV4, FAMILY_IPV6, type Family, type MutableAddress } from '../network.js';
import { AddressCache } from './address_cache.js';
import { DatagramQueue } from './datagram_queue.js';
import { broadcastAddresses, type ToEverybody, toEverybody } from './lan_broadcast.js';
import { SendSlots } from './send_slots.js';

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
