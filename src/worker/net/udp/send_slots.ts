/** Longest datagram that toxcore sends. Source: MAX_UDP_PACKET_SIZE, toxcore/network.h. */
const SLOT_BYTES = 2048;

/**
 * Memory that datagrams are sent from: the wasm writes again over what it handed out, so each is
 * copied, but into the same few places again and again instead of into a new buffer each.
 * Whoever uses it must know that a slot's last datagram has left before its turn comes again.
 */
export class SendSlots {
  readonly count: number;
  readonly #memory: Uint8Array;
  readonly #views: Uint8Array[];
  #next = 0;

  /** @param count how many datagrams may be under way */
  constructor(count: number) {
    this.count = count;
    this.#memory = new Uint8Array(count * SLOT_BYTES);
    this.#views = Array.from({ length: count }, () => new Uint8Array(0));
  }

  /** A copy of `bytes`, good until {@link count} more were made. */
  copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SLOT_BYTES) return new Uint8Array(bytes);
    const slot = this.#next;
    this.#next = (slot + 1) % this.count;
    let view = this.#views[slot]!;
    // Nearly all are of one size: the view is made once.
    if (view.length !== bytes.length) {
      view = this.#memory.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + bytes.length);
      this.#views[slot] = view;
    }
    view.set(bytes);
    return view;
  }
}
