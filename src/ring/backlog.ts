// How far the channels are behind the main thread, one row of three words for each peer slot.
//
//   word 0  DRAINED  bytes taken off the channel, mod 2^32; advanced by the worker alone
//   word 1  CALL_AT  value of DRAINED at which main wants to be rung; set by main alone
//   word 2  WANTED   1 while main wants that
//
// The rows share cache lines: the worker alone writes DRAINED, and main reads it only when its
// own copy says "no room".
const DRAINED = 0;
const CALL_AT = 1;
const WANTED = 2;
const ROW_WORDS = 4;

/** Bytes of shared memory for `slots` rows. */
export function backlogBytes(slots: number): number {
  return slots * ROW_WORDS * 4;
}

/** The worker's face of the table. */
export class BacklogTable {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /**
   * Counts `bytes` of a slot's frames as off the channel. Every byte of every record taken from
   * the ring must be counted once, those of a channel that is gone too.
   *
   * @returns true when the main thread waits for just this: ring it
   */
  drained(slot: number, bytes: number): boolean {
    const row = rowOf(this.#words, slot);
    const drained = Atomics.add(this.#words, row + DRAINED, bytes) + bytes;
    // Main wants first and looks at DRAINED then; here it is the other way round, so one sees the other.
    if (Atomics.load(this.#words, row + WANTED) === 0) return false;
    if (!reached(drained, Atomics.load(this.#words, row + CALL_AT))) return false;
    return Atomics.exchange(this.#words, row + WANTED, 0) === 1;
  }
}

/**
 * The main thread's face of one row: how much more may be written for that peer. One gauge for
 * a row as long as the table lives: it alone knows what was written.
 */
export class BacklogGauge {
  readonly limitBytes: number;
  readonly #reserveBytes: number;
  readonly #words: Int32Array;
  readonly #row: number;
  readonly #announceSoon: () => void;
  /** Bytes ever written, mod 2^32. */
  #written: number;
  /** DRAINED as last seen; it can only have grown. */
  #drained: number;
  #refused = false;

  /**
   * @param limitBytes most bytes that may be on their way at once, 2 to 2^30
   * @param announceSoon has {@link takeRoom} asked soon, as if the bell had rung
   * @param reserveBytes what urgent frames alone may use of the limit, less than a half; default nothing
   */
  constructor(
    memory: SharedArrayBuffer,
    slot: number,
    limitBytes: number,
    announceSoon: () => void,
    reserveBytes = 0,
  ) {
    // Over 2^31 the distance between two counters could not be told from its opposite.
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

  /** Bytes that may be written now, the reserve among them. There may be more by the time this returns, never less. */
  room(): number {
    this.#look();
    return this.#roomSeen();
  }

  /**
   * Whether `bytes` may be written now. After a refusal the worker rings, and {@link takeRoom} is
   * true, once half of the limit is free: not for every frame. After that of an urgent frame it is half of the
   * reserve, as a keystroke is not to wait for the rest. Of several refusals the last counts.
   *
   * @throws {RangeError} for more than half of the limit, less the reserve: the promised room must be enough
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
    // Room came before the worker could see the want.
    Atomics.store(this.#words, this.#row + WANTED, 0);
    if (this.#refused) this.#announceSoon(); // that want was an earlier frame's too
    return true;
  }

  /** Counts `bytes` as written. Throws {@link RangeError} when they do not fit. */
  take(bytes: number): void {
    if (bytes > this.#roomSeen() && bytes > this.room()) {
      throw new RangeError(`${bytes} bytes written to a backlog with room for ${this.#roomSeen()}`);
    }
    this.#written = (this.#written + bytes) | 0;
  }

  /** When the bell rang: true once after each refusal that has been followed by room. */
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

/** Whether a counter mod 2^32 is at `mark` or past it; the two are less than 2^31 apart. */
function reached(counter: number, mark: number): boolean {
  return ((counter - mark) | 0) >= 0;
}
