import { invalid, readU32, widen, writeU32 } from '../packet.js';

/**
 * How many packet numbers an acknowledgement reaches back. A packet that arrives later than that counts as
 * lost, and its frames are retransmitted.
 */
export const RECEIVED_SPAN = 8192;

/** Maximum number of ranges in one acknowledgement, including the first. */
export const MAX_ACK_RANGES = 64;

/** Unit of the delay on the wire, in ms. A u16 of them reaches 524 ms. */
export const ACK_DELAY_UNIT_MS = 0.008;
const MAX_DELAY_UNITS = 0xffff;

/** Largest number u32, delay u16, count of further ranges u8, length of the first range 1 or 2 bytes. */
export const MIN_ACK_BYTES = 8;
/** When each length and gap takes two bytes. */
export const MAX_ACK_BYTES = MIN_ACK_BYTES + 1 + 4 * (MAX_ACK_RANGES - 1);
const MASK = RECEIVED_SPAN - 1;

/** The recently received packet numbers, one bit each. Acknowledgements are written from them. */
export class ReceivedPackets {
  readonly #bits = new Uint32Array(RECEIVED_SPAN / 32);
  #largest = -1;
  #toldDownTo = 0;

  /** The smallest number that the last written acknowledgement covers, whether as received or as missing. */
  get toldDownTo(): number {
    return this.#toldDownTo;
  }

  /** The largest number received; -1 when there is none. */
  get largest(): number {
    return this.#largest;
  }

  /** Whether `number` was received, or is too old to be acknowledged. */
  has(number: number): boolean {
    if (number > this.#largest) return false;
    if (number <= this.#largest - RECEIVED_SPAN) return true;
    const at = (number >>> 0) & MASK;
    return (this.#bits[at >>> 5]! & (1 << (at & 31))) !== 0;
  }

  /** Adds a number for which {@link has} is false. */
  add(number: number): void {
    if (number > this.#largest) {
      if (number - this.#largest >= RECEIVED_SPAN) {
        this.#bits.fill(0);
      } else {
        for (let skipped = this.#largest + 1; skipped < number; skipped++) this.#clear(skipped);
      }
      this.#largest = number;
    }
    const at = (number >>> 0) & MASK;
    this.#bits[at >>> 5]! |= 1 << (at & 31);
  }

  /**
   * Writes an acknowledgement: the newest numbers first, as many as fit.
   *
   * @param delayMs how long the largest number has waited for this acknowledgement
   * @param end end of the room in `out`
   * @returns the end of the acknowledgement; `at` when it does not fit, or when nothing was received
   */
  writeAck(out: Uint8Array, at: number, end: number, delayMs: number): number {
    if (this.#largest < 0 || end - at < MIN_ACK_BYTES + 1) return at;
    const delay = Math.min(Math.round(delayMs / ACK_DELAY_UNIT_MS), MAX_DELAY_UNITS);
    writeU32(out, at, this.#largest);
    out[at + 4] = delay >>> 8;
    out[at + 5] = delay;
    // There are no numbers below zero, and no bits beyond the span.
    let left = Math.min(RECEIVED_SPAN, this.#largest + 1);
    let number = this.#largest;
    let length = this.#run(number, true, left);
    let next = writeSmall(out, at + 7, length - 1);
    let ranges = 0;
    for (;;) {
      number -= length;
      left -= length;
      this.#toldDownTo = number + 1;
      const gap = this.#run(number, false, left);
      number -= gap;
      left -= gap;
      // A gap and a length take at most four bytes.
      if (left === 0 || ranges === MAX_ACK_RANGES - 1 || end - next < 4) break;
      length = this.#run(number, true, left);
      next = writeSmall(out, writeSmall(out, next, gap - 1), length - 1);
      ranges++;
    }
    out[at + 6] = ranges;
    return next;
  }

  /**
   * Length of the run of numbers, from `number` downwards, that were (or were not) `received`; at most
   * `most`.
   */
  #run(number: number, received: boolean, most: number): number {
    let run = 0;
    while (run < most) {
      const at = ((number - run) >>> 0) & MASK;
      const inWord = (at & 31) + 1;
      const word = this.#bits[at >>> 5]! << (32 - inWord);
      const same = Math.min(Math.clz32(received ? ~word : word), inWord);
      run += same;
      if (same < inWord) break;
    }
    return Math.min(run, most);
  }

  #clear(number: number): void {
    const at = (number >>> 0) & MASK;
    this.#bits[at >>> 5]! &= ~(1 << (at & 31));
  }
}

/** Writes a number below 2^15 in one byte, or in two with the top bit of the first set. */
function writeSmall(out: Uint8Array, at: number, value: number): number {
  if (value < 0x80) {
    out[at] = value;
    return at + 1;
  }
  out[at] = 0x80 | (value >>> 8);
  out[at + 1] = value;
  return at + 2;
}

/** Reads acknowledgements into arrays that it reuses. */
export class Ack {
  /** Number of ranges read, newest first. */
  count = 0;
  /** How long the peer held back the acknowledgement of the largest number, in ms. */
  delayMs = 0;
  /** First and last number of each range, both inclusive. */
  readonly first = new Float64Array(MAX_ACK_RANGES);
  readonly last = new Float64Array(MAX_ACK_RANGES);

  /**
   * Reads the acknowledgement at `at`.
   *
   * @param nextNumber the number of the next packet; neither it nor any larger number has been sent
   * @returns the end of the acknowledgement
   * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set
   */
  read(packet: Uint8Array, at: number, nextNumber: number): number {
    if (packet.length - at < 8) throw invalid('its acknowledgement is truncated');
    const largest = widen(readU32(packet, at), nextNumber);
    if (largest >= nextNumber || largest < 0) throw invalid('it acknowledges a packet that was never sent');
    this.delayMs = ((packet[at + 4]! << 8) | packet[at + 5]!) * ACK_DELAY_UNIT_MS;
    const further = packet[at + 6]!;
    if (further >= MAX_ACK_RANGES) throw invalid('it acknowledges too many ranges');

    let next = at + 7;
    let last = largest;
    for (let range = 0; range <= further; range++) {
      if (range > 0) {
        const gap = readSmall(packet, next);
        next += smallBytes(packet, next);
        last -= gap + 1;
      }
      const first = last - readSmall(packet, next);
      next += smallBytes(packet, next);
      if (first < 0) throw invalid('it acknowledges packets from before the first one');
      // No honest peer remembers more, and each number costs the reader work.
      if (largest - first >= RECEIVED_SPAN) throw invalid('it acknowledges packets from too far back');
      this.first[range] = first;
      this.last[range] = last;
      last = first - 1;
    }
    this.count = further + 1;
    return next;
  }
}

function smallBytes(packet: Uint8Array, at: number): number {
  return packet[at]! < 0x80 ? 1 : 2;
}

function readSmall(packet: Uint8Array, at: number): number {
  const high = packet[at];
  if (high === undefined) throw invalid('its acknowledgement is truncated');
  if (high < 0x80) return high;
  const low = packet[at + 1];
  if (low === undefined) throw invalid('its acknowledgement is truncated');
  return ((high & 0x7f) << 8) | low;
}
