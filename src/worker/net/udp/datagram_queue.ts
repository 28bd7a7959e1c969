import type { RemoteInfo } from 'node:dgram';

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
