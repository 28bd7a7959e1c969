import type { Doorbell } from './doorbell.js';
import type { RingWriter } from './ring.js';
import type { WakeWords } from './wake_words.js';

/**
 * The producer's end of a ring: writes records, wakes a sleeping consumer, and is told when a
 * ring that refused has room. A consumer that is awake is never rung, so that two busy threads
 * send each other nothing.
 */
export class Outbox {
  /** What the offsets of {@link reserve} are in. */
  readonly bytes: Uint8Array;
  readonly #writer: RingWriter;
  readonly #words: WakeWords;
  readonly #bell: Pick<Doorbell, 'ring'>;
  readonly #announceSoon: () => void;
  /** A record was refused, and its room has not been announced. */
  #refused = false;

  /** @param announceSoon has {@link takeRoom} asked soon, as if the bell had rung */
  constructor(writer: RingWriter, words: WakeWords, bell: Pick<Doorbell, 'ring'>, announceSoon: () => void) {
    this.bytes = writer.bytes;
    this.#writer = writer;
    this.#words = words;
    this.#bell = bell;
    this.#announceSoon = announceSoon;
  }

  /**
   * Room for one record, to be filled and then {@link commit}ted.
   *
   * @returns its offset in {@link bytes}; undefined when the ring is full: the bell will ring,
   *   and {@link takeRoom} be true, once half of the ring is free
   */
  reserve(recordBytes: number): number | undefined {
    const offset = this.#writer.reserve(recordBytes);
    if (offset !== undefined) return offset;

    this.#words.wantRoom();
    // The consumer may have made room, and looked for a want, just before there was one.
    const secondTry = this.#writer.reserve(recordBytes);
    if (secondTry === undefined) {
      this.#refused = true;
      return undefined;
    }
    this.#words.takeWant();
    if (this.#refused) this.#announceSoon(); // that want was an earlier record's too
    return secondTry;
  }

  commit(): void {
    this.#writer.commit();
    if (this.#words.takeSleeper()) this.#bell.ring();
  }

  /** When the bell rang: true once after each refusal that has been followed by room. */
  takeRoom(): boolean {
    if (!this.#refused || !this.#words.wantsNothing()) return false;
    this.#refused = false;
    return true;
  }
}
