/** Number of removed heads after which the array is compacted. */
const CUT_AT = 1024;

/** A FIFO queue that tracks its size in bytes. Its owner limits that size. */
export class PacketFifo {
  readonly #packets: Uint8Array[] = [];
  #head = 0;
  #bytes = 0;

  get count(): number {
    return this.#packets.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the oldest packet without removing it. */
  peek(): Uint8Array | undefined {
    return this.#packets[this.#head];
  }

  push(packet: Uint8Array): void {
    this.#packets.push(packet);
    this.#bytes += packet.length;
  }

  shift(): void {
    const packet = this.#packets[this.#head];
    if (packet === undefined) return;
    this.#bytes -= packet.length;
    this.#head++;
    if (this.#head === this.#packets.length || this.#head >= CUT_AT) {
      this.#packets.splice(0, this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#packets.length = 0;
    this.#head = 0;
    this.#bytes = 0;
  }
}
