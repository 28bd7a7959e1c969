/** A datagram that waits for toxcore. */
export interface Datagram {
  readonly bytes: Uint8Array;
  /** The address it came from, 4 or 16 bytes. */
  readonly ip: Uint8Array;
  readonly port: number;
}

/**
 * Datagrams that toxcore has not fetched yet, oldest first. The queue is bounded in number and in bytes. When
 * it is full it drops and counts new datagrams, as the system would.
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

  /** Datagrams dropped for lack of room so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Returns false when it drops the datagram. */
  push(datagram: Datagram): boolean {
    const { length } = datagram.bytes;
    if (this.#count === this.#slots.length || this.#bytes + length > this.#maxBytes) {
      this.#dropped++;
      return false;
    }
    this.#slots[(this.#head + this.#count) % this.#slots.length] = datagram;
    this.#count++;
    this.#bytes += length;
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
