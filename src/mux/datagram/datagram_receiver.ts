import { checkDatagramBytes, DATAGRAM_HEADER_BYTES, readDatagramPart } from '../wire/frame.js';
import type { DatagramShare } from './datagram_memory.js';

/** How many datagrams of one stream may be incomplete at once. One more drops the oldest. */
const MAX_PARTIAL = 8;
/** Memory for the slot of one part, filled or not. */
const PLACE_BYTES = 8;

interface Partial {
  readonly number: number;
  readonly parts: (Uint8Array | undefined)[];
  missing: number;
  bytes: number;
}

/**
 * Receives the datagrams of one stream: joins their parts, and keeps them until the consumer takes them. An
 * incomplete datagram is dropped when newer ones need its place.
 */
export class DatagramReceiver {
  readonly #share: DatagramShare;
  #partial: Partial[] = [];
  #whole: Uint8Array[] = [];

  constructor(share: DatagramShare) {
    this.#share = share;
  }

  /** True when a datagram is ready for the consumer. */
  get hasNews(): boolean {
    return this.#whole.length > 0;
  }

  /** Takes a DATAGRAM frame. @throws {TunnelError} ERR_FRAME_INVALID (remote) */
  take(frame: Uint8Array): void {
    const { number, part, parts } = readDatagramPart(frame);
    const bytes = frame.length - DATAGRAM_HEADER_BYTES;
    if (parts > 1) {
      this.#takePart(this.#partialOf(number, parts), part, frame);
    } else if (this.#share.take(bytes)) {
      this.#whole.push(frame.slice(DATAGRAM_HEADER_BYTES));
      this.#share.memory.received++;
    } else {
      this.#share.memory.dropped++;
    }
  }

  /** Returns the next datagram for the consumer; undefined when there is none. */
  next(): Uint8Array | undefined {
    const next = this.#whole.shift();
    if (next !== undefined) this.#share.give(next.length);
    return next;
  }

  clear(): void {
    while (this.next() !== undefined);
    for (const partial of this.#partial) this.#release(partial);
    this.#partial = [];
  }

  #takePart(partial: Partial | undefined, part: number, frame: Uint8Array): void {
    // A part that is already present is a duplicate, or belongs to a later datagram with the same number.
    if (partial === undefined || partial.parts[part] !== undefined) return;
    const bytes = frame.length - DATAGRAM_HEADER_BYTES;
    checkDatagramBytes(partial.bytes + bytes);
    if (!this.#share.take(bytes)) {
      this.#drop(partial);
      return;
    }
    partial.parts[part] = frame.slice(DATAGRAM_HEADER_BYTES);
    partial.bytes += bytes;
    if (--partial.missing === 0) this.#complete(partial);
  }

  /**
   * Finds or creates the datagram that a part belongs to.
   *
   * @returns undefined if there is no memory, or too many newer ones are incomplete
   */
  #partialOf(number: number, parts: number): Partial | undefined {
    const known = this.#partial.find((partial) => partial.number === number);
    if (known?.parts.length === parts) return known;
    // Numbers repeat after 2^32, so the datagram that had this number will never be complete.
    if (known !== undefined) this.#drop(known);
    const oldest = this.#partial.length < MAX_PARTIAL ? undefined : this.#oldest();
    if (oldest !== undefined) {
      if (isBefore(number, oldest.number)) return undefined;
      this.#drop(oldest);
    }
    // The slots can take more memory than a few short parts.
    if (!this.#share.take(parts * PLACE_BYTES)) {
      this.#share.memory.dropped++;
      return undefined;
    }
    const made: Partial = {
      number,
      parts: Array.from({ length: parts }, () => undefined),
      missing: parts,
      bytes: 0,
    };
    this.#partial.push(made);
    return made;
  }

  #oldest(): Partial {
    return this.#partial.reduce((oldest, other) => (isBefore(other.number, oldest.number) ? other : oldest));
  }

  #complete(partial: Partial): void {
    this.#forget(partial);
    const whole = new Uint8Array(partial.bytes);
    let at = 0;
    for (const part of partial.parts) {
      if (part === undefined) continue;
      whole.set(part, at);
      at += part.length;
    }
    // One piece costs less than its parts did, so this cannot fail.
    this.#share.take(whole.length);
    this.#whole.push(whole);
    this.#share.memory.received++;
  }

  #drop(partial: Partial): void {
    this.#share.memory.dropped++;
    this.#forget(partial);
  }

  #forget(partial: Partial): void {
    this.#release(partial);
    this.#partial = this.#partial.filter((other) => other !== partial);
  }

  #release(partial: Partial): void {
    this.#share.give(partial.parts.length * PLACE_BYTES);
    for (const part of partial.parts) if (part !== undefined) this.#share.give(part.length);
  }
}

/** Compares numbers mod 2^32. */
function isBefore(number: number, other: number): boolean {
  return ((number - other) | 0) < 0;
}
