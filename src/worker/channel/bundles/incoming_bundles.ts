import { areFrames, BUNDLE_BYTES, BUNDLE_SPAN, invalid, LENGTH_BYTES, widen } from '../packet.js';
import { NumberWindow } from './number_window.js';

/** Hands a frame up. Returns false, without taking it, when there is no room. */
type Deliver = (frame: Uint8Array) => boolean;

/** Frames from the peer. Drops duplicates and hands up every other frame exactly once. */
export class IncomingBundles {
  readonly #deliver: Deliver;
  readonly #received = new NumberWindow(BUNDLE_SPAN);
  /** The rest of a bundle, from the first frame for which there was no room. */
  readonly #held = new Uint8Array(BUNDLE_BYTES);
  #heldAt = 0;
  #heldEnd = 0;

  framesDelivered = 0;
  bundlesDuplicate = 0;
  bundlesRefused = 0;
  /** Lossy frames that were dropped because there was no room for them. */
  lossyDropped = 0;

  constructor(deliver: Deliver) {
    this.#deliver = deliver;
  }

  /**
   * Takes the bundle that fills `packet` from `at` on.
   *
   * @param low the low 32 bits of the bundle's number
   * @param many whether each frame follows its length
   * @returns false when there is no room above: the packet must then count as never received
   * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set
   */
  take(packet: Uint8Array, at: number, low: number, many: boolean): boolean {
    const number = widen(low, this.#received.floor);
    if (number >= this.#received.floor + BUNDLE_SPAN)
      throw invalid('its bundle number is outside the window');
    // A packet without an acknowledgement has room for more than a bundle, and for more than {@link #held} takes.
    if (at === packet.length || packet.length - at > BUNDLE_BYTES || (many && !areFrames(packet, at)))
      throw invalid('its frames are malformed');
    if (this.#received.has(number)) {
      this.bundlesDuplicate++;
      return true;
    }
    if (this.#heldEnd > 0 || !(many ? this.#takeMany(packet, at) : this.#handUp(packet.subarray(at)))) {
      this.bundlesRefused++;
      return false;
    }
    this.#received.add(number);
    return true;
  }

  /**
   * Takes the lossy frames that fill `packet` from `at` on. Drops those for which there is no room above.
   *
   * @throws {TunnelError} ERR_PACKET_INVALID, `remote` set
   */
  takeLossy(packet: Uint8Array, at: number, many: boolean): void {
    if (at === packet.length || (many && !areFrames(packet, at))) throw invalid('its frames are malformed');
    if (!many) {
      if (!this.#handUp(packet.subarray(at))) this.lossyDropped++;
      return;
    }
    let next = at;
    while (next < packet.length) {
      next = this.#handUpFrom(packet, next);
      if (next === packet.length) return;
      this.lossyDropped++;
      next += LENGTH_BYTES + ((packet[next]! << 8) | packet[next + 1]!);
    }
  }

  /** Hands up as much of the held rest as there is room for. */
  flush(): void {
    if (this.#heldEnd === 0) return;
    this.#heldAt = this.#handUpFrom(this.#held.subarray(0, this.#heldEnd), this.#heldAt);
    if (this.#heldAt === this.#heldEnd) this.#heldEnd = 0;
  }

  /**
   * Hands up frames and holds the rest. Returns false, holding nothing, when not even the first frame is
   * taken.
   */
  #takeMany(packet: Uint8Array, at: number): boolean {
    const next = this.#handUpFrom(packet, at);
    if (next === at) return false;
    if (next < packet.length) {
      this.#held.set(packet.subarray(next));
      this.#heldAt = 0;
      this.#heldEnd = packet.length - next;
    }
    return true;
  }

  /** Hands up frames with lengths until one is refused. Returns its offset, or the end. */
  #handUpFrom(bytes: Uint8Array, at: number): number {
    let next = at;
    while (next < bytes.length) {
      const start = next + LENGTH_BYTES;
      const end = start + ((bytes[next]! << 8) | bytes[next + 1]!);
      if (!this.#handUp(bytes.subarray(start, end))) return next;
      next = end;
    }
    return next;
  }

  #handUp(frame: Uint8Array): boolean {
    if (!this.#deliver(frame)) return false;
    this.framesDelivered++;
    return true;
  }
}
