import { TunnelError } from '../../../core/errors.js';
import { BUNDLE_BYTES, BUNDLE_SPAN } from '../packet.js';
import { BUNDLE_LOST, BUNDLE_SENT, BUNDLE_WAITING, BundleSlots, MAX_SENT_BUNDLES } from './bundle_slots.js';
import { NumberWindow } from './number_window.js';

/**
 * Bytes of lossy frames that may wait; beyond that the oldest are dropped. This is 0.1 s at 10 Mbit/s:
 * programs that send datagrams prefer loss to delay.
 */
export const LOSSY_BACKLOG_BYTES = 128 * 1024;

/** Reports that `frames` lossy frames of `bytes` bytes in all will not be sent. */
type OnDropped = (frames: number, bytes: number) => void;

/**
 * Frames for the peer: those waiting to be sent, those that are lost and must be retransmitted, and those
 * in flight until they are acknowledged. Lossy frames are forgotten once they are sent.
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
  /** Bulk and lossy bundles take turns when both wait. */
  #isLossyTurn = true;
  #nextNumber = 0;
  #waiting = 0;
  #waitingBytes = 0;
  /** Frames sent, each counted once. */
  framesSent = 0;

  /** Bytes of frames that have not been sent yet. */
  get backlogBytes(): number {
    return this.#waitingBytes;
  }

  /** Whether anything waits to be sent or retransmitted. */
  get hasWork(): boolean {
    return this.#waiting > 0 || this.#lost.size > 0 || this.#urgent.size > 0;
  }

  /** Bundles that are sent and not acknowledged. */
  get sentBundles(): number {
    return this.bundles.size - this.#waiting;
  }

  /** Appends a frame. @throws {TunnelError} ERR_LIMIT when the frame is empty, too long, or one too many */
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
   * Appends a lossy frame, and drops the oldest lossy ones to make room for it.
   *
   * @throws {TunnelError} ERR_LIMIT when the frame is empty or too long
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

  /** Drops all lossy frames. */
  dropLossy(onDropped: OnDropped): void {
    while (this.#lossy.size > 0) this.#dropOldestLossy(onDropped);
  }

  /**
   * Slot of the bundle to send next: urgent bundles, then lost ones, then the rest; -1 when none may be sent.
   */
  next(): number {
    // Skips entries of bundles that were acknowledged in the meantime.
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

  /** The bundle's number. A new bundle gets the next free one, which becomes its own in {@link onSent}. */
  numberOf(slot: number): number {
    const number = this.bundles.number(slot);
    return number < 0 ? this.#nextNumber : number;
  }

  /**
   * Notes that a packet with the bundle has left. `slot` comes from {@link next}, or is in flight already.
   *
   * @returns bytes of the frames that left for the first time
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

  /** Notes that a packet with bundle `number` in `slot` has arrived. */
  onAcked(slot: number, number: number): void {
    if (this.bundles.number(slot) !== number) return;
    this.#acked.add(number);
    this.bundles.free(slot);
  }

  /**
   * Notes that a packet with the bundle is lost. The bundle is sent again, unless a later packet carries it.
   */
  onLost(slot: number, number: number, packet: number): void {
    if (!this.carries(slot, number, packet)) return;
    this.bundles.setState(slot, BUNDLE_LOST);
    (this.bundles.isUrgent(slot) ? this.#urgent : this.#lost).push(slot);
  }

  /** Whether `packet` is the last packet that carried bundle `number` in `slot`. */
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

  /** @param slot the oldest lossy bundle. @returns bytes of its frames */
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
      // The entry may belong to an earlier use of the slot. The current bundle then has its own entry.
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
  throw new TunnelError(
    'ERR_LIMIT',
    `a frame must have 1 to ${BUNDLE_BYTES} bytes, not ${frame.length}; split it`,
  );
}

/** A first-in, first-out queue of slots. It grows by doubling; its user limits its length. */
export class SlotQueue {
  #slots = new Int32Array(64);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The oldest entry; undefined when the queue is empty. */
  peek(): number | undefined {
    return this.#size === 0 ? undefined : this.#slots[this.#head];
  }

  push(slot: number): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = slot;
    this.#size++;
  }

  /** Removes the oldest entry. The queue must not be empty. */
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
