// How far each channel is behind the main thread: one row of three words for each peer slot. The
// table's size says how many slots there are.
//
//   word 0  DRAINED  bytes that have left the channel, mod 2^32; only the worker advances it
//   word 1  CALL_AT  value of DRAINED at which main wants to be rung; only main sets it
//   word 2  WANTED   1 while main wants to be rung
//
// The rows share cache lines: only the worker writes DRAINED, and main reads it only when its own
// copy shows no room.
const DRAINED = 0;
const CALL_AT = 1;
const WANTED = 2;
const ROW_WORDS = 4;

/** Bytes of shared memory for `slots` rows. */
export function backlogBytes(slots: number): number {
  return slots * ROW_WORDS * 4;
}

/** The rows of a table. */
export function backlogSlots(memory: SharedArrayBuffer): number {
  return memory.byteLength / (ROW_WORDS * 4);
}

/** The worker's view of the table. */
export class BacklogTable {
  readonly slots: number;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.slots = backlogSlots(memory);
    this.#words = new Int32Array(memory);
  }

  /**
   * Counts `bytes` of a slot's frames as having left the channel. Every byte of every record taken
   * from the ring must be counted once, including records for a channel that is closed.
   *
   * @returns true when the main thread waits for this: ring the bell
   */
  drained(slot: number, bytes: number): boolean {
    const row = rowOf(this.#words, slot);
    const drained = Atomics.add(this.#words, row + DRAINED, bytes) + bytes;
    // Main sets its want and then reads DRAINED. This thread does the reverse, so one sees the other.
    if (Atomics.load(this.#words, row + WANTED) === 0) return false;
    if (!reached(drained, Atomics.load(this.#words, row + CALL_AT))) return false;
    return Atomics.exchange(this.#words, row + WANTED, 0) === 1;
  }
}

/**
 * The main thread's view of one row: how much more may be written for that peer. A row has one
 * gauge for the life of the table, because only the gauge knows how much was written.
 */
export class BacklogGauge {
  readonly limitBytes: number;
  readonly #reserveBytes: number;
  readonly #words: Int32Array;
  readonly #row: number;
  readonly #announceSoon: () => void;
  /** Bytes ever written, mod 2^32. */
  #written: number;
  /** DRAINED as last read. It only grows. */
  #drained: number;
  #refused = false;

  /**
   * @param limitBytes maximum of bytes on their way at once, 2 to 2^30
   * @param announceSoon schedules a call of {@link takeRoom} soon, as if the bell had rung
   * @param reserveBytes the part of the limit for urgent frames only, less than half. Default 0
   */
  constructor(
    memory: SharedArrayBuffer,
    slot: number,
    limitBytes: number,
    announceSoon: () => void,
    reserveBytes = 0,
  ) {
    // Beyond 2^31, a distance between two counters is ambiguous.
    if (!(limitBytes >= 2 && limitBytes <= 2 ** 30)) {
      throw new RangeError(`backlog limit ${limitBytes} is not 2 to 2^30`);
    }
    if (!(reserveBytes >= 0 && reserveBytes < limitBytes / 2)) {
      throw new RangeError(`a reserve of ${reserveBytes} bytes is not less than half of ${limitBytes}`);
    }
    this.limitBytes = limitBytes;
    this.#reserveBytes = reserveBytes;
    this.#announceSoon = announceSoon;
    this.#words = new Int32Array(memory);
    this.#row = rowOf(this.#words, slot);
    this.#drained = Atomics.load(this.#words, this.#row + DRAINED) | 0;
    this.#written = this.#drained;
  }

  /**
   * Bytes that may be written now, including the reserve. There may be more by the time this returns, never
   * fewer.
   */
  room(): number {
    this.#look();
    return this.#roomSeen();
  }

  /**
   * Whether `bytes` may be written now. After a refusal the worker rings, and {@link takeRoom} is
   * true, once half of the limit is free, so not for every frame. After the refusal of an urgent
   * frame, half of the reserve is enough: a keystroke must not wait for more. The last of several
   * refusals counts.
   *
   * @throws {RangeError} for more than half of the limit minus the reserve: the promised room must suffice
   */
  fits(bytes: number, urgent = false): boolean {
    const wanted = urgent ? bytes : bytes + this.#reserveBytes;
    if (wanted > this.limitBytes / 2) {
      throw new RangeError(
        `${bytes} bytes at once, the backlog takes ${this.limitBytes / 2 - wanted + bytes}`,
      );
    }
    if (wanted <= this.#roomSeen() || wanted <= this.room()) return true;

    const callAtRoom =
      urgent && bytes <= this.#reserveBytes / 2 ? this.#reserveBytes / 2 : this.limitBytes / 2;
    Atomics.store(
      this.#words,
      this.#row + CALL_AT,
      (this.#written - Math.floor(this.limitBytes - callAtRoom)) | 0,
    );
    Atomics.store(this.#words, this.#row + WANTED, 1);
    if (wanted > this.room()) {
      this.#refused = true;
      return false;
    }
    // Room appeared before the worker could see the want.
    Atomics.store(this.#words, this.#row + WANTED, 0);
    if (this.#refused) this.#announceSoon(); // the want belonged to an earlier frame too
    return true;
  }

  /** Counts `bytes` as written. @throws {RangeError} when they do not fit */
  take(bytes: number): void {
    if (bytes > this.#roomSeen() && bytes > this.room()) {
      throw new RangeError(`${bytes} bytes written to a backlog with room for ${this.#roomSeen()}`);
    }
    this.#written = (this.#written + bytes) | 0;
  }

  /** Call when the bell rang. Returns true once after each refusal that was followed by room. */
  takeRoom(): boolean {
    if (!this.#refused || Atomics.load(this.#words, this.#row + WANTED) === 1) return false;
    this.#refused = false;
    return true;
  }

  #look(): void {
    this.#drained = Atomics.load(this.#words, this.#row + DRAINED) | 0;
    if (this.#roomSeen() > this.limitBytes) throw new Error('backlog damaged: more drained than written');
  }

  #roomSeen(): number {
    return this.limitBytes - ((this.#written - this.#drained) | 0);
  }
}

function rowOf(words: Int32Array, slot: number): number {
  const row = slot * ROW_WORDS;
  if (!(slot >= 0 && row + ROW_WORDS <= words.length)) throw new RangeError(`no backlog row ${slot}`);
  return row;
}

/** Whether a counter mod 2^32 has reached `mark`. The two are less than 2^31 apart. */
function reached(counter: number, mark: number): boolean {
  return ((counter - mark) | 0) >= 0;
}
