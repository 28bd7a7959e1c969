import type { ReceiveMemory } from './receive_memory.js';

/**
 * Shorter round trips count as this long when a window is sized. On a fast path, the event loops and sockets
 * between consumer and sender take longer than the path.
 */
const SHORTEST_ROUND_TRIP_MS = 10;

export interface ReceiveWindowOptions {
  readonly initialBytes: number;
  readonly maxBytes: number;
  readonly memory: Pick<ReceiveMemory, 'grow' | 'shrink'>;
}

/**
 * The peer's credit: an absolute offset that moves on as the consumer takes bytes. The window doubles while
 * the consumer takes half of it in less than two round trips, because then the window limits the stream. QUIC
 * implementations do the same; RFC 9000, section 4.2 leaves it open. A slow consumer keeps a small window, so
 * little waits for it. A gap that a lost packet left is not the consumer's fault, so bytes beyond the gap
 * count as taken.
 */
export class ReceiveWindow {
  readonly #memory: ReceiveWindowOptions['memory'];
  readonly #initialBytes: number;
  readonly #maxBytes: number;
  #windowBytes: number;
  /** The credit as last sent. */
  #credit: number;
  /** What the peer has given back of the window, in all. */
  #givenBack = 0;
  #consumed = 0;
  /** The window grew ahead of the consumer, and the peer does not know yet. */
  #grewAhead = false;
  /** When the current window was opened, on the caller's clock; undefined until the first byte arrives. */
  #openedMs: number | undefined;

  constructor(options: ReceiveWindowOptions) {
    this.#memory = options.memory;
    this.#initialBytes = options.initialBytes;
    this.#maxBytes = options.maxBytes;
    this.#windowBytes = options.initialBytes;
    this.#credit = options.initialBytes;
  }

  /** Offset up to which the peer may send. */
  get limit(): number {
    return this.#credit - this.#givenBack;
  }

  /** The credit as last sent. */
  get creditBytes(): number {
    return this.#credit;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get consumedOffset(): number {
    return this.#consumed;
  }

  /** True when half of the window was consumed; then call {@link advance}. */
  get isDue(): boolean {
    return this.#grewAhead || this.limit - this.#consumed <= this.#windowBytes / 2;
  }

  /** Starts the clock of the first window. Call it when the first byte arrives. */
  start(nowMs: number): void {
    this.#openedMs ??= nowMs;
  }

  consume(bytes: number): void {
    this.#consumed += bytes;
  }

  /**
   * Returns true when half of the window has arrived, but missing bytes keep it from a consumer that has
   * taken nearly everything else; then call {@link growAhead}.
   *
   * @param contiguous offset of the first missing byte
   * @param highest offset after the last byte that has arrived
   */
  mayGrowAhead(contiguous: number, highest: number): boolean {
    return (
      highest > contiguous &&
      this.limit - highest <= this.#windowBytes / 2 &&
      contiguous - this.#consumed <= this.#windowBytes / 4
    );
  }

  /**
   * Grows the window if it is too small, within the bounds of {@link advance}. {@link isDue} is then true.
   */
  growAhead(nowMs: number, roundTripMs: number | undefined): void {
    if (!this.#grow(nowMs, roundTripMs)) return;
    this.#openedMs = nowMs;
    this.#grewAhead = true;
  }

  /**
   * Opens the next window, and a larger one if the last was too small.
   *
   * @param roundTripMs undefined until it was measured
   * @returns the credit to send: the new {@link limit}, and what the peer has given back
   */
  advance(nowMs: number, roundTripMs: number | undefined): number {
    if (this.#grewAhead) this.#grewAhead = false;
    else this.#grow(nowMs, roundTripMs);
    this.#openedMs = nowMs;
    this.#credit = this.#consumed + this.#windowBytes + this.#givenBack;
    return this.#credit;
  }

  /** The peer has given back `total` bytes of credit so far. Others can use the part of the window that is left over. */
  takeBack(total: number): void {
    if (total <= this.#givenBack) return;
    this.#givenBack = total;
    this.#grewAhead = false;
    const neededBytes = Math.max(this.#initialBytes, this.limit - this.#consumed);
    if (neededBytes >= this.#windowBytes) return;
    this.#memory.shrink(this.#windowBytes - neededBytes);
    this.#windowBytes = neededBytes;
  }

  /** Gives the window's growth back. Call it when the stream has ended. */
  release(): void {
    this.#memory.shrink(this.#windowBytes - this.#initialBytes);
    this.#windowBytes = this.#initialBytes;
  }

  /** @returns whether the window grew */
  #grow(nowMs: number, roundTripMs: number | undefined): boolean {
    const lastedMs = nowMs - (this.#openedMs ?? nowMs);
    if (roundTripMs === undefined || lastedMs >= 2 * Math.max(roundTripMs, SHORTEST_ROUND_TRIP_MS))
      return false;
    const wanted = Math.min(this.#windowBytes, this.#maxBytes - this.#windowBytes);
    const taken = this.#memory.grow(wanted);
    this.#windowBytes += taken;
    return taken > 0;
  }
}
