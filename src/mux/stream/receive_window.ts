/** What the windows of one session's streams may grow by together. */
export class GrowthBudget {
  #leftBytes: number;

  constructor(bytes: number) {
    this.#leftBytes = bytes;
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** Takes up to `bytes`, and tells how many. */
  take(bytes: number): number {
    const taken = Math.min(bytes, this.#leftBytes);
    this.#leftBytes -= taken;
    return taken;
  }

  give(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

/**
 * A round trip shorter than this counts as this long when the window is tuned: on a fast path
 * the event loops and sockets between consumer and sender take longer than the path.
 */
const SHORTEST_ROUND_TRIP_MS = 10;

export interface ReceiveWindowOptions {
  readonly initialBytes: number;
  readonly maxBytes: number;
  readonly budget: GrowthBudget;
}

/**
 * How far the peer may send: an absolute offset that moves on as the consumer takes bytes. The
 * window doubles while the consumer takes half of it in less than two round trips, as then the
 * window is what limits the stream (the way of QUIC implementations; RFC 9000, section 4.2
 * leaves it open). A slow consumer keeps a small window, so what waits for it stays small. A hole
 * that a lost packet left is not the consumer's fault: then what came beyond it counts as taken.
 */
export class ReceiveWindow {
  readonly #budget: GrowthBudget;
  readonly #initialBytes: number;
  readonly #maxBytes: number;
  #windowBytes: number;
  #limit: number;
  #consumed = 0;
  /** The window grew ahead of the consumer, and the peer has not been told. */
  #grewAhead = false;
  /** When the window in use was opened, on the clock of the caller; undefined until the first byte came. */
  #openedMs: number | undefined;

  constructor(options: ReceiveWindowOptions) {
    this.#budget = options.budget;
    this.#initialBytes = options.initialBytes;
    this.#maxBytes = options.maxBytes;
    this.#windowBytes = options.initialBytes;
    this.#limit = options.initialBytes;
  }

  /** Offset below which the peer may send: what was last told. */
  get limit(): number {
    return this.#limit;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  get consumedOffset(): number {
    return this.#consumed;
  }

  /** True when half of the window has been consumed: time for {@link advance}. */
  get isDue(): boolean {
    return this.#grewAhead || this.#limit - this.#consumed <= this.#windowBytes / 2;
  }

  /** The first byte came: the time that the window lasts runs from now. */
  start(nowMs: number): void {
    this.#openedMs ??= nowMs;
  }

  consume(bytes: number): void {
    this.#consumed += bytes;
  }

  /**
   * True when half of the window has come, but missing bytes keep it from the consumer, who has
   * taken nearly all that it could: time for {@link growAhead}.
   *
   * @param contiguous offset of the first byte that is missing
   * @param highest offset after the last one that came
   */
  mayGrowAhead(contiguous: number, highest: number): boolean {
    return (
      highest > contiguous &&
      this.#limit - highest <= this.#windowBytes / 2 &&
      contiguous - this.#consumed <= this.#windowBytes / 4
    );
  }

  /** Grows the window if it did not last; {@link isDue} tells whether it did. The caps are those of {@link advance}. */
  growAhead(nowMs: number, roundTripMs: number | undefined): void {
    if (!this.#grow(nowMs, roundTripMs)) return;
    this.#openedMs = nowMs;
    this.#grewAhead = true;
  }

  /**
   * Opens the window anew, larger when it was too small, and gives the limit to tell the peer.
   *
   * @param roundTripMs undefined while nobody has measured it
   */
  advance(nowMs: number, roundTripMs: number | undefined): number {
    if (this.#grewAhead) this.#grewAhead = false;
    else this.#grow(nowMs, roundTripMs);
    this.#openedMs = nowMs;
    this.#limit = this.#consumed + this.#windowBytes;
    return this.#limit;
  }

  /** The stream is over: what the window grew by goes back. */
  release(): void {
    this.#budget.give(this.#windowBytes - this.#initialBytes);
    this.#windowBytes = this.#initialBytes;
  }

  /** @returns whether it grew */
  #grow(nowMs: number, roundTripMs: number | undefined): boolean {
    const lastedMs = nowMs - (this.#openedMs ?? nowMs);
    if (roundTripMs === undefined || lastedMs >= 2 * Math.max(roundTripMs, SHORTEST_ROUND_TRIP_MS))
      return false;
    const wanted = Math.min(this.#windowBytes, this.#maxBytes - this.#windowBytes);
    const taken = this.#budget.take(wanted);
    this.#windowBytes += taken;
    return taken > 0;
  }
}
