import { copyBytes } from '../../../core/copy_bytes.js';
import { TunnelError } from '../../../core/errors.js';
import { BUNDLE_BYTES, LENGTH_BYTES } from '../packet.js';

/** Maximum number of bundles sent and not acknowledged. Limits the memory for retransmission to 32 MiB. */
export const MAX_SENT_BUNDLES = 24_000;
/** Maximum number of bundles in all. The backlog limit bounds those that were never sent. */
export const MAX_BUNDLES = MAX_SENT_BUNDLES + 4_096;

/** Room for the packet's header in front of the frames, so that sending copies nothing. */
const FRAMES_AT = 32;
const SLOT_BYTES = FRAMES_AT + BUNDLE_BYTES;
const CHUNK_SLOTS = 32;
/** Slots of a new channel's columns. They double when more are needed, so a channel that is idle stays small. */
const FIRST_SLOTS = 64;

export const BUNDLE_WAITING = 1;
export const BUNDLE_SENT = 2;
export const BUNDLE_LOST = 3;
type BundleState = typeof BUNDLE_WAITING | typeof BUNDLE_SENT | typeof BUNDLE_LOST;
const FREE = 0;

/**
 * Memory for bundles, that is, frames that travel together, in slots of fixed size. A bundle takes in frames
 * until it is first sent, and is retransmitted unchanged. The columns are arrays, not objects, so frames and
 * packets allocate nothing.
 */
export class BundleSlots {
  #chunks: Uint8Array[] = [];
  #freeSlots = 0;
  #highest = 0;
  #used = 0;

  #capacity = 0;
  #free = new Int32Array();
  #state = new Uint8Array();
  #end = new Uint16Array();
  #frames = new Uint16Array();
  #frameBytes = new Uint16Array();
  #urgent = new Uint8Array();
  #lossy = new Uint8Array();
  #number = new Float64Array();
  #lastPacket = new Float64Array();

  constructor() {
    this.#setCapacity(FIRST_SLOTS);
  }

  /** Slots in use. */
  get size(): number {
    return this.#used;
  }

  /** Bytes of memory held for frames. */
  get memoryBytes(): number {
    return this.#chunks.length * CHUNK_SLOTS * SLOT_BYTES;
  }

  /**
   * Opens an empty bundle and returns its slot.
   *
   * @param lossy the bundle is sent once and then freed
   * @throws {TunnelError} ERR_LIMIT when the caller far exceeds the backlog limit
   */
  open(urgent: boolean, lossy = false): number {
    let slot: number;
    if (this.#freeSlots > 0) {
      slot = this.#free[--this.#freeSlots]!;
    } else {
      slot = this.#highest;
      if (slot === MAX_BUNDLES) {
        throw new TunnelError(
          'ERR_LIMIT',
          'too many frames wait for the peer; stay within the backlog limit',
        );
      }
      if (slot === this.#capacity) this.#setCapacity(Math.min(2 * slot, MAX_BUNDLES));
      this.#highest++;
      if (slot % CHUNK_SLOTS === 0) this.#chunks.push(new Uint8Array(CHUNK_SLOTS * SLOT_BYTES));
    }
    this.#used++;
    this.#state[slot] = BUNDLE_WAITING;
    this.#end[slot] = FRAMES_AT;
    this.#frames[slot] = 0;
    this.#frameBytes[slot] = 0;
    this.#urgent[slot] = urgent ? 1 : 0;
    this.#lossy[slot] = lossy ? 1 : 0;
    this.#number[slot] = -1;
    return slot;
  }

  /** Whether a frame of this size fits into the bundle. */
  fits(slot: number, frameBytes: number): boolean {
    if (this.#frames[slot] === 0) return frameBytes <= BUNDLE_BYTES;
    const held = this.#end[slot]! - FRAMES_AT + LENGTH_BYTES;
    return held + LENGTH_BYTES + frameBytes <= BUNDLE_BYTES;
  }

  /** Copies a frame, which must fit, into the bundle. */
  append(slot: number, frame: Uint8Array): void {
    const chunk = this.#chunk(slot);
    const base = (slot % CHUNK_SLOTS) * SLOT_BYTES;
    const held = this.#frames[slot]!;
    let at = base + this.#end[slot]!;
    if (held === 1) {
      // A single frame travels without its length, where a packet header may already have been written.
      const firstBytes = this.#end[slot]! - FRAMES_AT;
      chunk[base + FRAMES_AT - 2] = firstBytes >>> 8;
      chunk[base + FRAMES_AT - 1] = firstBytes;
    }
    if (held > 0) {
      chunk[at] = frame.length >>> 8;
      chunk[at + 1] = frame.length;
      at += LENGTH_BYTES;
    }
    copyBytes(chunk, at, frame);
    this.#end[slot] = at + frame.length - base;
    this.#frames[slot]!++;
    this.#frameBytes[slot]! += frame.length;
  }

  /** The memory that holds the slot, from {@link start} to {@link end}. The header goes in front. */
  bytes(slot: number): Uint8Array {
    return this.#chunk(slot);
  }

  /** Offset in {@link bytes} at which the packet's frames start. */
  start(slot: number): number {
    return (slot % CHUNK_SLOTS) * SLOT_BYTES + FRAMES_AT - (this.#frames[slot]! > 1 ? LENGTH_BYTES : 0);
  }

  /** Offset in {@link bytes} at which they end. */
  end(slot: number): number {
    return (slot % CHUNK_SLOTS) * SLOT_BYTES + this.#end[slot]!;
  }

  frames(slot: number): number {
    return this.#frames[slot]!;
  }

  /** Bytes of the frames, without their lengths. */
  frameBytes(slot: number): number {
    return this.#frameBytes[slot]!;
  }

  isUrgent(slot: number): boolean {
    return this.#urgent[slot] === 1;
  }

  isLossy(slot: number): boolean {
    return this.#lossy[slot] === 1;
  }

  /** The bundle's number; -1 before it is first sent. */
  number(slot: number): number {
    return this.#number[slot]!;
  }

  setNumber(slot: number, number: number): void {
    this.#number[slot] = number;
  }

  /** Number of the last packet that carried the bundle. */
  lastPacket(slot: number): number {
    return this.#lastPacket[slot]!;
  }

  setLastPacket(slot: number, packet: number): void {
    this.#lastPacket[slot] = packet;
  }

  is(slot: number, state: BundleState): boolean {
    return this.#state[slot] === state;
  }

  setState(slot: number, state: BundleState): void {
    this.#state[slot] = state;
  }

  free(slot: number): void {
    this.#state[slot] = FREE;
    this.#number[slot] = -1;
    this.#free[this.#freeSlots++] = slot;
    this.#used--;
  }

  /** Frees the memory if no slot is in use. Call it in a quiet moment: the next frame allocates again. */
  shrink(): void {
    if (this.#used > 0 || this.#highest === 0) return;
    this.#chunks = [];
    this.#highest = 0;
    this.#freeSlots = 0;
    this.#setCapacity(FIRST_SLOTS);
  }

  /** Makes the columns this long, with the slots that they have in common. */
  #setCapacity(slots: number): void {
    if (slots === this.#capacity) return;
    const kept = Math.min(slots, this.#highest);
    this.#capacity = slots;
    this.#free = resized(this.#free, new Int32Array(slots), kept);
    this.#state = resized(this.#state, new Uint8Array(slots), kept);
    this.#end = resized(this.#end, new Uint16Array(slots), kept);
    this.#frames = resized(this.#frames, new Uint16Array(slots), kept);
    this.#frameBytes = resized(this.#frameBytes, new Uint16Array(slots), kept);
    this.#urgent = resized(this.#urgent, new Uint8Array(slots), kept);
    this.#lossy = resized(this.#lossy, new Uint8Array(slots), kept);
    this.#number = resized(this.#number, new Float64Array(slots), kept);
    this.#lastPacket = resized(this.#lastPacket, new Float64Array(slots), kept);
  }

  #chunk(slot: number): Uint8Array {
    return this.#chunks[(slot / CHUNK_SLOTS) | 0]!;
  }
}

/** Copies the first `kept` elements into `to`, and returns it. */
function resized<Column extends Uint8Array | Uint16Array | Int32Array | Float64Array>(
  from: Column,
  to: Column,
  kept: number,
): Column {
  to.set(from.subarray(0, kept));
  return to;
}
