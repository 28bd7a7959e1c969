/** What a datagram that waits costs beside its bytes. */
const KEEPING_BYTES = 64;

/** What the datagrams of one session's streams may take together, and how they fared. */
export class DatagramMemory {
  readonly #mostBytes: number;
  #bytes = 0;
  /** Datagrams put into frames. */
  sent = 0;
  /** Datagrams that came whole. */
  received = 0;
  /** Datagrams that this end dropped: too many waited, or a part was missing. */
  dropped = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A share of it for one direction of one stream. */
  share(mostBytes: number): DatagramShare {
    return new DatagramShare(this, mostBytes);
  }

  /** False when there is no room. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#mostBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** What one direction of a stream may take of the memory of all. */
export class DatagramShare {
  readonly memory: DatagramMemory;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(memory: DatagramMemory, mostBytes: number) {
    this.memory = memory;
    this.#mostBytes = mostBytes;
  }

  /** Room for so many bytes that are kept in one piece; false when there is none. */
  take(bytes: number): boolean {
    const cost = bytes + KEEPING_BYTES;
    if (this.#bytes + cost > this.#mostBytes || !this.memory.take(cost)) return false;
    this.#bytes += cost;
    return true;
  }

  give(bytes: number): void {
    const cost = bytes + KEEPING_BYTES;
    this.#bytes -= cost;
    this.memory.give(cost);
  }
}
