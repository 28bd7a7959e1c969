import type { Doorbell } from './doorbell.js';
import type { RingReader, TakeRecord } from './ring.js';
import type { WakeWords } from './wake_words.js';

export interface InboxOptions {
  /** Records of one slice, after which sockets and timers get their turn. Default 128. */
  readonly budgetRecords?: number;
  /**
   * Turns of the event loop that an empty ring is looked at again before this thread sleeps.
   * Default 0. An answer that comes within them costs no wake-up, but turns in vain cost the other
   * threads more than that on a busy machine; docs/reference/rings.md has figures.
   */
  readonly lingerTurns?: number;
  /** Runs the next slice after waiting events have had their turn. Default `setImmediate`. */
  readonly nextTurn?: (slice: () => void) => void;
}

/** 128 records of 1 KB are some 0.1 to 1 ms of work: short enough for a keystroke on a socket. */
const DEFAULT_BUDGET_RECORDS = 128;
const DEFAULT_LINGER_TURNS = 0;

/**
 * The consumer's end of a ring: takes records in slices while there are any, then sleeps until it is
 * rung. Nobody else drains the ring, so the order that keeps wake-ups from being lost (fall asleep,
 * look again, only then wait) stands in one place.
 */
export class Inbox {
  readonly #reader: RingReader;
  readonly #words: WakeWords;
  readonly #bell: Pick<Doorbell, 'ring'>;
  readonly #budgetRecords: number;
  readonly #lingerTurns: number;
  readonly #nextTurn: (slice: () => void) => void;

  #turnsLeft = 0;
  #take: TakeRecord | undefined;
  /** A slice is waiting for its turn. */
  #due = false;
  /** `take` refused the oldest record: only {@link resume} goes on. */
  #blocked = false;

  constructor(
    reader: RingReader,
    words: WakeWords,
    bell: Pick<Doorbell, 'ring'>,
    options: InboxOptions = {},
  ) {
    this.#reader = reader;
    this.#words = words;
    this.#bell = bell;
    this.#budgetRecords = options.budgetRecords ?? DEFAULT_BUDGET_RECORDS;
    this.#lingerTurns = options.lingerTurns ?? DEFAULT_LINGER_TURNS;
    this.#nextTurn = options.nextTurn ?? ((slice) => void setImmediate(slice));
  }

  /**
   * From the next turn of the event loop on, hands every record to `take`, in order. When it
   * returns false the record stays and nothing is taken until {@link resume}. When it throws,
   * the same, and the error goes to the event loop.
   */
  run(take: TakeRecord): void {
    if (this.#take !== undefined) throw new Error('this ring has its consumer');
    this.#take = take;
    this.#goOn();
  }

  /** Goes on after `take` refused a record. */
  resume(): void {
    this.#blocked = false;
    this.#goOn();
  }

  /** To be called when the bell rings, whatever it rang for. */
  rung(): void {
    if (!this.#due && !this.#blocked) this.#slice();
  }

  /** Takes no more records. */
  stop(): void {
    this.#take = undefined;
    this.#words.stayAwake();
  }

  #goOn(): void {
    if (this.#due || this.#take === undefined) return;
    this.#due = true;
    this.#nextTurn(() => {
      this.#due = false;
      this.#slice();
    });
  }

  #slice(): void {
    const take = this.#take;
    if (take === undefined) return;
    const taken = this.#drain(take);
    this.#answerWant();
    if (this.#blocked || this.#take === undefined) return;
    if (taken > 0) this.#turnsLeft = this.#lingerTurns;
    if (taken === this.#budgetRecords || this.#turnsLeft-- > 0 || !this.#fellAsleep()) this.#goOn();
  }

  #drain(take: TakeRecord): number {
    this.#blocked = false;
    return this.#reader.drain((bytes, offset, length) => {
      if (this.#take === undefined) return false; // stopped by the record before
      this.#blocked = true; // holds when `take` throws
      this.#blocked = !take(bytes, offset, length);
      return !this.#blocked;
    }, this.#budgetRecords);
  }

  /**
   * Rings a producer that was refused, once there is room worth waking it for. A blocked consumer
   * answers at any room: it may be long until there is more.
   */
  #answerWant(): void {
    const waitingBytes = this.#reader.waitingBytes();
    const roomy = waitingBytes <= this.#reader.capacityBytes / 2 || this.#blocked;
    if (roomy && this.#words.takeWant()) this.#bell.ring();
  }

  /** False when a record came in between. */
  #fellAsleep(): boolean {
    this.#words.fallAsleep();
    if (this.#reader.waitingBytes() === 0) return true;
    this.#words.stayAwake();
    return false;
  }
}
