import { copyBytes } from '../../../core/copy_bytes.js';
import { TunnelError } from '../../../core/errors.js';
import { BUNDLE_BYTES, LENGTH_BYTES } from '../packet.js';

/** Bundles sent and not acknowledged, at most: bounds the memory for resending to 32 MiB. */
export const MAX_SENT_BUNDLES = 24_000;
/** Bundles in all: those that wait for their first turn are bounded by the backlog's limit. */
export const MAX_BUNDLES = MAX_SENT_BUNDLES + 4_096;

/** Room before the frames: the packet's header is written there, so that nothing is copied again. */
const FRAMES_AT = 32;
const SLOT_BYTES = FRAMES_AT + BUNDLE_BYTES;
const CHUNK_SLOTS = 128;

export const BUNDLE_WAITING = 1;
export const BUNDLE_SENT = 2;
export const BUNDLE_LOST = 3;
type BundleState = typeof BUNDLE_WAITING | typeof BUNDLE_SENT | typeof BUNDLE_LOST;
const FREE = 0;

/**
 * Frames that travel together, in slots of fixed size. A bundle is filled while it waits for
 * its first turn and is resent as it is. Columns instead of objects: nothing is allocated for
 * a frame or a packet.
 */
export class BundleSlots {
  #chunks: Uint8Array[] = [];
  readonly #free = new Int32Array(MAX_BUNDLES);
  #freeSlots = 0;
  #highest = 0;
  #used = 0;

  readonly #state = new Uint8Array(MAX_BUNDLES);
  readonly #end = new Uint16Array(MAX_BUNDLES);
  readonly #frames = new Uint16Array(MAX_BUNDLES);
  readonly #frameBytes = new Uint16Array(MAX_BUNDLES);
  readonly #urgent = new Uint8Array(MAX_BUNDLES);
  readonly #lossy = new Uint8Array(MAX_BUNDLES);
  readonly #number = new Float64Array(MAX_BUNDLES);
  readonly #lastPacket = new Float64Array(MAX_BUNDLES);

  /** Slots in use. */
  get size(): number {
    return this.#used;
  }

  /** Bytes held for frames now. */
  get memoryBytes(): number {
    return this.#chunks.length * CHUNK_SLOTS * SLOT_BYTES;
  }

  /**
   * An empty bundle.
   * @param lossy it is sent once and then freed
   * @throws {TunnelError} ERR_LIMIT when the caller hands in more than the backlog's limit
   */
  open(urgent: boolean, lossy = false): number {
    let slot: number;
    if (this.#freeSlots > 0) {
      slot = this.#free[--this.#freeSlots]!;
    } else {
      slot = this.#highest;
      if (slot === MAX_BUNDLES) {
        throw new TunnelError('ERR_LIMIT', 'too many frames wait for the peer; keep to the backlog limit');
      }
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

  /** Whether a frame of this size fits beside what the bundle holds. */
  fits(slot: number, frameBytes: number): boolean {
    if (this.#frames[slot] === 0) return frameBytes <= BUNDLE_BYTES;
    const held = this.#end[slot]! - FRAMES_AT + LENGTH_BYTES;
    return held + LENGTH_BYTES + frameBytes <= BUNDLE_BYTES;
  }

  /** Copies a frame that fits into the bundle. */
  append(slot: number, frame: Uint8Array): void {
    const chunk = this.#chunk(slot);
    const base = (slot % CHUNK_SLOTS) * SLOT_BYTES;
    const held = this.#frames[slot]!;
    let at = base + this.#end[slot]!;
    if (held === 1) {
      // A lone frame travels without its length, and a header may have stood in its place.
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

  /** The slot's bytes, to write a header into before the frames: see {@link start} and {@link end}. */
  bytes(slot: number): Uint8Array {
    return this.#chunk(slot);
  }

  /** Where what travels begins in {@link bytes}. */
  start(slot: number): number {
    return (slot % CHUNK_SLOTS) * SLOT_BYTES + FRAMES_AT - (this.#frames[slot]! > 1 ? LENGTH_BYTES : 0);
  }

  /** Where it ends. */
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

  /** The bundle's number; -1 before its first turn. */
  number(slot: number): number {
    return this.#number[slot]!;
  }

  setNumber(slot: number, number: number): void {
    this.#number[slot] = number;
  }

  /** The packet that carried it last. */
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

  /** Gives memory back once nothing is held; for a quiet moment, as the next frames ask for it again. */
  shrink(): void {
    if (this.#used > 0 || this.#highest === 0) return;
    this.#chunks = [];
    this.#highest = 0;
    this.#freeSlots = 0;
  }

  #chunk(slot: number): Uint8Array {
    return this.#chunks[(slot / CHUNK_SLOTS) | 0]!;
  }
}
