/** Memory overhead of one waiting datagram. */
const OVERHEAD_BYTES = 64;

/** Bounds the memory of all datagrams of one session, and counts what became of them. */
export class DatagramMemory {
  readonly #mostBytes: number;
  #bytes = 0;
  /** Datagrams put into frames. */
  sent = 0;
  /** Datagrams that arrived complete. */
  received = 0;
  /** Datagrams that this end dropped, because too many waited or a part was missing. */
  dropped = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Memory in use. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Makes a share for one direction of one stream. */
  share(mostBytes: number): DatagramShare {
    return new DatagramShare(this, mostBytes);
  }

  /** @returns false when there is no room */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#mostBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** The part of a {@link DatagramMemory} that one direction of one stream may use. */
export class DatagramShare {
  readonly memory: DatagramMemory;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(memory: DatagramMemory, mostBytes: number) {
    this.memory = memory;
    this.#mostBytes = mostBytes;
  }

  /** Takes memory for one piece of `bytes` bytes. @returns false when there is no room */
  take(bytes: number): boolean {
    const cost = bytes + OVERHEAD_BYTES;
    if (this.#bytes + cost > this.#mostBytes || !this.memory.take(cost)) return false;
    this.#bytes += cost;
    return true;
  }

  give(bytes: number): void {
    const cost = bytes + OVERHEAD_BYTES;
    this.#bytes -= cost;
    this.memory.give(cost);
  }
}
