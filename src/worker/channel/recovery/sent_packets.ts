export const PACKET_NONE = 0;
export const PACKET_IN_FLIGHT = 1;
export const PACKET_LOST = 2;
export const PACKET_ACKED = 3;
/** The number was skipped on purpose. A peer that acknowledges it is lying. */
export const PACKET_SKIPPED = 4;
type PacketState =
  | typeof PACKET_NONE
  | typeof PACKET_IN_FLIGHT
  | typeof PACKET_LOST
  | typeof PACKET_ACKED
  | typeof PACKET_SKIPPED;

/**
 * Maximum distance between the oldest tracked packet number and the newest; see {@link SentPackets.isFull}.
 */
export const MAX_SENT_SPAN = 65_536;
const INITIAL_SPAN = 64;

// Columns of a packet's row of doubles.
const ROW = 8;
const SENT_AT = 0;
const BUNDLE = 1;
const BYTES = 2;
const DELIVERED = 3;
const DELIVERED_AT = 4;
const FIRST_SENT_AT = 5;
const APP_LIMITED = 6;

/**
 * What was sent under each packet number, for as long as it matters: a ring of rows indexed by number. The
 * ring doubles when it is full.
 */
export class SentPackets {
  #span = INITIAL_SPAN;
  #state = new Uint8Array(INITIAL_SPAN);
  #slot = new Int32Array(INITIAL_SPAN);
  #rows = new Float64Array(INITIAL_SPAN * ROW);
  #next = 0;
  #oldest = 0;

  /** The number of the next packet. */
  get next(): number {
    return this.#next;
  }

  /** Lower numbers are forgotten. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Whether no number is free until {@link forgetBelow} moves on. */
  isFull(): boolean {
    return this.#next - this.#oldest >= MAX_SENT_SPAN - 2;
  }

  /** Records packet `next`. @param slot slot of its bundle; -1 without one */
  add(
    sentAtMs: number,
    bytes: number,
    slot: number,
    bundle: number,
    deliveredBytes: number,
    deliveredAtMs: number,
    firstSentAtMs: number,
    appLimited: boolean,
  ): void {
    if (this.#next - this.#oldest === this.#span) this.#grow();
    const at = this.#at(this.#next);
    this.#state[at] = PACKET_IN_FLIGHT;
    this.#slot[at] = slot;
    const row = at * ROW;
    this.#rows[row + SENT_AT] = sentAtMs;
    this.#rows[row + BUNDLE] = bundle;
    this.#rows[row + BYTES] = bytes;
    this.#rows[row + DELIVERED] = deliveredBytes;
    this.#rows[row + DELIVERED_AT] = deliveredAtMs;
    this.#rows[row + FIRST_SENT_AT] = firstSentAtMs;
    this.#rows[row + APP_LIMITED] = appLimited ? 1 : 0;
    this.#next++;
  }

  /** Skips the number `next`. */
  skip(): void {
    if (this.#next - this.#oldest === this.#span) this.#grow();
    this.#state[this.#at(this.#next)] = PACKET_SKIPPED;
    this.#next++;
  }

  /** Forgets all numbers below `number`. */
  forgetBelow(number: number): void {
    if (number > this.#oldest) this.#oldest = number;
  }

  state(number: number): PacketState {
    // Only values of PacketState are ever written.
    return this.#state[this.#at(number)] as PacketState;
  }

  setState(number: number, state: PacketState): void {
    this.#state[this.#at(number)] = state;
  }

  slot(number: number): number {
    return this.#slot[this.#at(number)]!;
  }

  bundle(number: number): number {
    return this.#rows[this.#at(number) * ROW + BUNDLE]!;
  }

  bytes(number: number): number {
    return this.#rows[this.#at(number) * ROW + BYTES]!;
  }

  sentAtMs(number: number): number {
    return this.#rows[this.#at(number) * ROW + SENT_AT]!;
  }

  /** Total bytes delivered when the packet was sent. */
  deliveredBytes(number: number): number {
    return this.#rows[this.#at(number) * ROW + DELIVERED]!;
  }

  /** When the last of these {@link deliveredBytes} was delivered. */
  deliveredAtMs(number: number): number {
    return this.#rows[this.#at(number) * ROW + DELIVERED_AT]!;
  }

  /** When the first packet of its rate sample was sent. */
  firstSentAtMs(number: number): number {
    return this.#rows[this.#at(number) * ROW + FIRST_SENT_AT]!;
  }

  wasAppLimited(number: number): boolean {
    return this.#rows[this.#at(number) * ROW + APP_LIMITED] === 1;
  }

  #at(number: number): number {
    return (number >>> 0) & (this.#span - 1);
  }

  #grow(): void {
    const span = this.#span * 2;
    const state = new Uint8Array(span);
    const slot = new Int32Array(span);
    const rows = new Float64Array(span * ROW);
    for (let number = this.#oldest; number < this.#next; number++) {
      const from = this.#at(number);
      const to = (number >>> 0) & (span - 1);
      state[to] = this.#state[from]!;
      slot[to] = this.#slot[from]!;
      rows.set(this.#rows.subarray(from * ROW, from * ROW + ROW), to * ROW);
    }
    this.#span = span;
    this.#state = state;
    this.#slot = slot;
    this.#rows = rows;
  }
}
