import { copyBytes } from '../core/copy_bytes.js';
import { TunnelError } from '../core/errors.js';
import { PortDoorbell } from './doorbell.js';
import { HeldDoorbell } from './held_doorbell.js';
import { Inbox, type InboxOptions } from './inbox.js';
import { Outbox } from './outbox.js';
import { channelIdOf, flagsOf, packHeader, RECORD_HEADER_BYTES, readHeader, writeHeader } from './record.js';
import { RingReader, RingWriter } from './ring.js';
import type { SharedMemory } from './shared.js';
import { WAKE_BYTES, WakeWords } from './wake_words.js';

/** What a thread does with what the other one sends. */
export interface SideHandlers {
  /**
   * One frame: `length` bytes of `bytes` from `offset`, good until this returns.
   *
   * @returns false to leave it in the ring; nothing more is taken until {@link Side.resume}
   */
  frame(channelId: number, flags: number, bytes: Uint8Array, offset: number, length: number): boolean;
  /** The ring refused a frame, and has room now. */
  ringRoom(): void;
}

/**
 * One thread's end of the two rings and the doorbell. Frames are written with
 * {@link reserve} and {@link commit}, and come to the handlers of {@link run}; falling asleep
 * and waking the other thread is all done in here.
 */
export abstract class Side<Handlers extends SideHandlers> {
  /** What the offsets of {@link reserve} are in. */
  readonly bytes: Uint8Array;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  readonly #nextTurn: (callback: () => void) => void;
  protected closed = false;
  protected readonly bell: HeldDoorbell;
  #handlers: Handlers | undefined;

  /** @param writes the ring this thread writes, 0 for outbound, 1 for inbound */
  protected constructor(shared: SharedMemory, writes: 0 | 1, options: InboxOptions) {
    const memory = [shared.outbound, shared.inbound] as const;
    const reads = writes === 0 ? 1 : 0;
    const words = (ring: 0 | 1): WakeWords => new WakeWords(shared.wake, ring * WAKE_BYTES);
    this.#nextTurn = options.nextTurn ?? ((callback) => void setImmediate(callback));
    this.bell = new HeldDoorbell(new PortDoorbell(shared.bell));
    this.#outbox = new Outbox(new RingWriter(memory[writes]), words(writes), this.bell, this.announceSoon);
    this.#inbox = new Inbox(new RingReader(memory[reads]), words(reads), this.bell, options);
    this.bytes = this.#outbox.bytes;
  }

  /**
   * From the next turn of the event loop on, gives what comes to `handlers`. To be called once;
   * does not keep the process alive while nothing comes.
   */
  run(handlers: Handlers): void {
    this.#refuseIfClosed();
    this.#inbox.run((bytes, offset, length) => {
      const header = readHeader(bytes, offset);
      const frame = offset + RECORD_HEADER_BYTES;
      return handlers.frame(channelIdOf(header), flagsOf(header), bytes, frame, length - RECORD_HEADER_BYTES);
    });
    this.#handlers = handlers;
    this.bell.onRing(() => {
      this.announceRoom(handlers);
      this.#inbox.rung();
    });
  }

  /** Goes on after a handler left a frame in the ring. */
  resume(): void {
    this.#inbox.resume();
  }

  /**
   * Room for one frame in the ring, to be filled and then {@link commit}ted before the next.
   *
   * @param channelId 0 to 2^24 - 1
   * @param flags 0 to 255
   * @returns its offset in {@link bytes}; undefined when there is no room: a handler tells when
   * @throws {TunnelError} ERR_CLOSED
   * @throws {RangeError} for numbers out of range, and for a frame that never fits
   */
  reserve(channelId: number, flags: number, frameBytes: number): number | undefined {
    this.#refuseIfClosed();
    const header = packHeader(channelId, flags);
    const offset = this.#outbox.reserve(RECORD_HEADER_BYTES + frameBytes);
    if (offset === undefined) return undefined;
    writeHeader(this.bytes, offset, header);
    return offset + RECORD_HEADER_BYTES;
  }

  /** Sends what {@link reserve} made room for, and wakes the other thread if it sleeps. */
  commit(): void {
    this.#outbox.commit();
  }

  /** {@link reserve}, copy, {@link commit}; false when there is no room now. */
  tryWrite(channelId: number, flags: number, frame: Uint8Array): boolean {
    const offset = this.reserve(channelId, flags, frame.byteLength);
    if (offset === undefined) return false;
    copyBytes(this.bytes, offset, frame);
    this.commit();
    return true;
  }

  /** True after {@link close}. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Takes and sends no more. What is in the rings is lost: close when nothing matters any more. */
  close(): void {
    this.closed = true;
    this.#inbox.stop();
    this.bell.close();
  }

  /** For room that this thread found by itself: no bell will ring for it. */
  protected readonly announceSoon = (): void => {
    this.#nextTurn(() => {
      if (this.#handlers !== undefined && !this.closed) this.announceRoom(this.#handlers);
    });
  };

  protected announceRoom(handlers: Handlers): void {
    if (this.#outbox.takeRoom()) handlers.ringRoom();
  }

  #refuseIfClosed(): void {
    if (this.closed) throw new TunnelError('ERR_CLOSED', 'the ring to the other thread; start a new node');
  }
}
