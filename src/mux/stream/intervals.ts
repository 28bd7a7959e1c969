import { violation } from '../wire/codec.js';

/**
 * Maximum number of separate pieces in one stream. An honest sender's frames in flight stay far below it. A
 * hostile peer that sends every second byte would otherwise cost us 16 bytes for each.
 */
export const MAX_PIECES = 16_384;

/** Tracks which bytes have arrived: all below {@link contiguous}, and sorted, separate pieces above it. */
export class Intervals {
  // Numbers in parallel arrays stay unboxed.
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #contiguous = 0;

  /** Every byte below this offset has arrived. */
  get contiguous(): number {
    return this.#contiguous;
  }

  /** Offset after the last byte that has arrived. */
  get highest(): number {
    return this.#ends.at(-1) ?? this.#contiguous;
  }

  /** How many separate pieces there are above {@link contiguous}. */
  get pieces(): number {
    return this.#starts.length;
  }

  /**
   * Adds [start, end), which must not be empty.
   *
   * @throws {TunnelError} ERR_FRAME_INVALID (remote) if one of its bytes has already arrived, or there are
   *   too many pieces
   */
  add(start: number, end: number): void {
    const starts = this.#starts;
    const ends = this.#ends;
    const count = starts.length;
    if (count === 0 && start === this.#contiguous) {
      this.#contiguous = end;
      return;
    }
    if (start < this.#contiguous) throw overlap(start);

    let at = count;
    if (count > 0 && start < ends[count - 1]!) at = this.#firstEndingAfter(start);
    if (at < count && starts[at]! < end) throw overlap(start);

    const joinsBefore = at > 0 && ends[at - 1] === start;
    const joinsAfter = at < count && starts[at] === end;
    if (joinsBefore && joinsAfter) {
      ends[at - 1] = ends[at]!;
      starts.splice(at, 1);
      ends.splice(at, 1);
    } else if (joinsBefore) {
      ends[at - 1] = end;
    } else if (joinsAfter) {
      starts[at] = start;
    } else {
      // A piece at the start of the first gap joins the contiguous part, so it does not count.
      if (count >= MAX_PIECES && start !== this.#contiguous) {
        throw violation(`a stream in more than ${MAX_PIECES} separate pieces`);
      }
      starts.splice(at, 0, start);
      ends.splice(at, 0, end);
    }
    if (starts[0] === this.#contiguous) {
      this.#contiguous = ends[0]!;
      starts.shift();
      ends.shift();
    }
  }

  /** Returns the index of the first piece that ends after `offset`. There must be one. */
  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#ends.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function overlap(start: number): Error {
  return violation(`bytes at offset ${start} arrived twice`);
}
