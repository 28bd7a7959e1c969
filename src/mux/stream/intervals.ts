import { violation } from '../wire/codec.js';

/**
 * Most pieces one stream may be left in. An honest sender's frames in flight stay far below;
 * a hostile one that sends every second byte would otherwise cost 16 bytes for each of them.
 */
export const MAX_PIECES = 16_384;

/** Which bytes have arrived: all below {@link contiguous}, and sorted, separate pieces beyond it. */
export class Intervals {
  // Parallel arrays of numbers stay unboxed.
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #contiguous = 0;

  /** Every byte below this offset is there. */
  get contiguous(): number {
    return this.#contiguous;
  }

  /** Offset after the last byte that is there. */
  get highest(): number {
    return this.#ends.at(-1) ?? this.#contiguous;
  }

  get pieces(): number {
    return this.#starts.length;
  }

  /**
   * Adds [start, end), which is not empty.
   *
   * @throws {TunnelError} ERR_FRAME_INVALID (remote) when a byte of it is there already, or the
   *   pieces are too many
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
      // One that fills the first gap's start joins the contiguous part and is no piece more.
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

  /** Index of the first piece that ends after `offset`; there is one. */
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
  return violation(`bytes at offset ${start} that are there already`);
}
