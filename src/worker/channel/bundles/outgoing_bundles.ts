import { TunnelError } from '../../../core/errors.js';
import { BUNDLE_BYTES, BUNDLE_SPAN } from '../packet.js';
import { BUNDLE_LOST, BUNDLE_SENT, BUNDLE_WAITING, BundleSlots, MAX_SENT_BUNDLES } from './bundle_slots.js';
import { NumberWindow } from './number_window.js';

/**
 * Bytes of lossy frames that may wait for their turn; of more the oldest are dropped. At 10 Mbit/s it is
 * 0.1 s: who sends datagrams would rather lose them than have them wait.
 */
export const LOSSY_BACKLOG_BYTES = 128 * 1024;

/** So many lossy frames, of so many bytes in all, will not be sent. */
type OnDropped = (frames: number, bytes: number) => void;

/**
 * Frames on their way out: what waits for its first turn, what waits to go again, and what is
 * on the wire until it is acknowledged. Lossy frames are let go when they are on the wire.
 */
export class OutgoingBundles {
  readonly bundles = new BundleSlots();
  readonly #urgent = new SlotQueue();
  readonly #lost = new SlotQueue();
  readonly #bulk = new SlotQueue();
  readonly #lossy = new SlotQueue();
  readonly #acked = new NumberWindow(BUNDLE_SPAN);
  #openUrgent = -1;
  #openBulk = -1;
  #openLossy = -1;
  #lossyBytes = 0;
  /** Where bulk and lossy frames wait they go in turn. */
  #isLossyTurn = true;
  #nextNumber = 0;
  #waiting = 0;
  #waitingBytes = 0;
  /** Frames that left, once each. */
  framesSent = 0;

  /** Bytes of frames that were never sent. */
  get backlogBytes(): number {
    return this.#waitingBytes;
  }

  /** Something is there that was not sent, or is to be sent again. */
  get hasWork(): boolean {
    return this.#waiting > 0 || this.#lost.size > 0 || this.#urgent.size > 0;
  }

  /** Bundles that were sent and not acknowledged. */
  get sentBundles(): number {
    return this.bundles.size - this.#waiting;
  }

  /** @throws {TunnelError} ERR_LIMIT when the frame is too long, empty, or one too many */
  push(frame: Uint8Array, urgent: boolean): void {
    checkLength(frame);
    let slot = urgent ? this.#openUrgent : this.#openBulk;
    if (slot < 0 || !this.bundles.fits(slot, frame.length)) {
      slot = this.bundles.open(urgent);
      (urgent ? this.#urgent : this.#bulk).push(slot);
      if (urgent) this.#openUrgent = slot;
      else this.#openBulk = slot;
      this.#waiting++;
    }
    this.bundles.append(slot, frame);
    this.#waitingBytes += frame.length;
  }

  /**
   * A frame that goes once at most. The oldest such make room for it.
   *
   * @throws {TunnelError} ERR_LIMIT when the frame is too long or empty
   */
  pushLossy(frame: Uint8Array, onDropped: OnDropped): void {
    checkLength(frame);
    while (this.#lossyBytes + frame.length > LOSSY_BACKLOG_BYTES) this.#dropOldestLossy(onDropped);
    if (this.#openLossy < 0 || !this.bundles.fits(this.#openLossy, frame.length)) {
      this.#openLossy = this.bundles.open(false, true);
      this.#lossy.push(this.#openLossy);
      this.#waiting++;
    }
    this.bundles.append(this.#openLossy, frame);
    this.#lossyBytes += frame.length;
    this.#waitingBytes += frame.length;
  }

  /** No lossy frame waits any more. */
  dropLossy(onDropped: OnDropped): void {
    while (this.#lossy.size > 0) this.#dropOldestLossy(onDropped);
  }

  /** What goes next: urgent frames, then lost ones, then the rest; -1 when nothing may. */
  next(): number {
    // Entries of bundles that were acknowledged meanwhile are passed over.
    let slot = this.#firstUrgent();
    if (slot >= 0) return slot;
    for (;;) {
      slot = this.#lost.peek() ?? -1;
      if (slot < 0) break;
      if (this.bundles.is(slot, BUNDLE_LOST)) return slot;
      this.#lost.shift();
    }
    const lossy = this.#lossy.peek() ?? -1;
    const bulk = this.#mayOpenNumber() ? (this.#bulk.peek() ?? -1) : -1;
    return bulk < 0 || (lossy >= 0 && this.#isLossyTurn) ? lossy : bulk;
  }

  /** The bundle's number, given to it when it is first sent; a call may be repeated until {@link onSent}. */
  numberOf(slot: number): number {
    const number = this.bundles.number(slot);
    return number < 0 ? this.#nextNumber : number;
  }

  /**
   * What {@link next} gave, or a bundle on the wire, has left in `packet`.
   * @returns bytes of frames that left for the first time
   */
  onSent(slot: number, packet: number): number {
    if (this.bundles.isLossy(slot)) return this.#onLossySent();
    const first = this.bundles.is(slot, BUNDLE_WAITING);
    if (this.bundles.is(slot, BUNDLE_SENT)) {
      this.bundles.setLastPacket(slot, packet);
      return 0;
    }
    if (this.#urgent.peek() === slot) this.#urgent.shift();
    else if (this.#lost.peek() === slot) this.#lost.shift();
    else {
      this.#bulk.shift();
      this.#isLossyTurn = true;
    }
    if (slot === this.#openUrgent) this.#openUrgent = -1;
    if (slot === this.#openBulk) this.#openBulk = -1;
    this.bundles.setLastPacket(slot, packet);
    this.bundles.setState(slot, BUNDLE_SENT);
    if (!first) return 0;
    this.bundles.setNumber(slot, this.#nextNumber++);
    const bytes = this.bundles.frameBytes(slot);
    this.#waiting--;
    this.framesSent += this.bundles.frames(slot);
    this.#waitingBytes -= bytes;
    return bytes;
  }

  /** A packet that carried the bundle `number` in `slot` has arrived. */
  onAcked(slot: number, number: number): void {
    if (this.bundles.number(slot) !== number) return;
    this.#acked.add(number);
    this.bundles.free(slot);
  }

  /** The packet that carried the bundle is lost: it goes again, unless a later packet carries it. */
  onLost(slot: number, number: number, packet: number): void {
    if (!this.carries(slot, number, packet)) return;
    this.bundles.setState(slot, BUNDLE_LOST);
    (this.bundles.isUrgent(slot) ? this.#urgent : this.#lost).push(slot);
  }

  /** Whether `packet` is the last one that carried the bundle `number` in `slot`. */
  carries(slot: number, number: number, packet: number): boolean {
    return this.bundles.number(slot) === number && this.bundles.lastPacket(slot) === packet;
  }

  #onLossySent(): number {
    const slot = this.#lossy.peek()!;
    this.#isLossyTurn = false;
    this.framesSent += this.bundles.frames(slot);
    return this.#freeOldestLossy(slot);
  }

  #dropOldestLossy(onDropped: OnDropped): void {
    const slot = this.#lossy.peek()!;
    onDropped(this.bundles.frames(slot), this.#freeOldestLossy(slot));
  }

  /** @param slot the oldest. @returns its frames' bytes */
  #freeOldestLossy(slot: number): number {
    const bytes = this.bundles.frameBytes(slot);
    this.#lossy.shift();
    if (slot === this.#openLossy) this.#openLossy = -1;
    this.#waiting--;
    this.#lossyBytes -= bytes;
    this.#waitingBytes -= bytes;
    this.bundles.free(slot);
    return bytes;
  }

  #firstUrgent(): number {
    for (;;) {
      const slot = this.#urgent.peek();
      if (slot === undefined) return -1;
      // A slot freed and opened again for other frames may stand here too: it has its own entry.
      if (this.bundles.is(slot, BUNDLE_LOST)) return slot;
      if (this.bundles.is(slot, BUNDLE_WAITING) && this.bundles.isUrgent(slot))
        return this.#mayOpenNumber() ? slot : -1;
      this.#urgent.shift();
    }
  }

  #mayOpenNumber(): boolean {
    return this.#nextNumber < this.#acked.floor + BUNDLE_SPAN && this.sentBundles < MAX_SENT_BUNDLES;
  }
}

function checkLength(frame: Uint8Array): void {
  if (frame.length > 0 && frame.length <= BUNDLE_BYTES) return;
  throw new TunnelError('ERR_LIMIT', `a frame has 1 to ${BUNDLE_BYTES} bytes, not ${frame.length}; split it`);
}

/** Slot numbers in a row, first in, first out; grows by doubling and is bounded by its user. */
export class SlotQueue {
  #slots = new Int32Array(64);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The oldest; undefined when empty. */
  peek(): number | undefined {
    return this.#size === 0 ? undefined : this.#slots[this.#head];
  }

  push(slot: number): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = slot;
    this.#size++;
  }

  /** Takes the oldest away; there is one. */
  shift(): void {
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#size--;
  }

  #grow(): void {
    const grown = new Int32Array(this.#slots.length * 2);
    const toEnd = this.#slots.subarray(this.#head);
    grown.set(toEnd);
    grown.set(this.#slots.subarray(0, this.#head), toEnd.length);
    this.#slots = grown;
    this.#head = 0;
  }
}
