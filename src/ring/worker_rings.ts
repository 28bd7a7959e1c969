import { copyBytes } from '../core/copy_bytes.js';
import { TunnelError } from '../core/errors.js';
import { BacklogTable } from './backlog.js';
import { Pulse } from './pulse.js';
import {
  channelIdOf,
  flagsOf,
  packHeader,
  RECORD_HEADER_BYTES,
  readHeader,
  slotOf,
  writeHeader,
} from './record.js';
import { RingEnds } from './ring_ends.js';
import type { RingReaderOptions } from './ring_reader.js';
import type { SharedMemory } from './shared.js';

/**
 * The worker takes everything that waits. Taking a frame costs one copy, and a keystroke can
 * overtake bulk data only in the channel.
 */
const WORKER_BUDGET_RECORDS = 512;

/** What the worker does with what the main thread sends. */
export interface WorkerRingsHandlers {
  /** One frame for a channel. The view is valid during the call only. */
  frame(channelId: number, flags: number, frame: Uint8Array): void;
  /** The inbound ring refused a frame, and has room now. */
  room(): void;
}

/** The worker's end of the rings. It takes every frame; the backlog that it reports holds main back. */
export class WorkerRings {
  readonly #ends: RingEnds;
  readonly #backlog: BacklogTable;
  readonly #pulse: Pulse;
  #handlers: WorkerRingsHandlers | undefined;

  constructor(shared: SharedMemory, options: RingReaderOptions = {}) {
    this.#ends = new RingEnds(shared, 1, { budgetRecords: WORKER_BUDGET_RECORDS, ...options }, () => {
      if (this.#ends.writer.takeRoom()) this.#handlers?.room();
    });
    this.#backlog = new BacklogTable(shared.backlog);
    this.#pulse = new Pulse(shared.pulse);
  }

  /** Hands incoming frames to `handlers` from the next turn on. Call it once. */
  run(handlers: WorkerRingsHandlers): void {
    this.#handlers = handlers;
    this.#ends.run((bytes, offset, length) => {
      const header = readHeader(bytes, offset);
      const frame = bytes.subarray(offset + RECORD_HEADER_BYTES, offset + length);
      handlers.frame(channelIdOf(header), flagsOf(header), frame);
      return true;
    });
  }

  /**
   * Copies a frame into the inbound ring, and wakes the main thread if it sleeps.
   *
   * @returns false when there is no room now; {@link WorkerRingsHandlers.room} says when
   * @throws {TunnelError} ERR_CLOSED
   */
  write(channelId: number, frame: Uint8Array): boolean {
    if (this.#ends.isClosed)
      throw new TunnelError('ERR_CLOSED', 'the ring to the other thread; start a new Tox node');
    const { writer } = this.#ends;
    const offset = writer.reserve(RECORD_HEADER_BYTES + frame.byteLength);
    if (offset === undefined) return false;
    writeHeader(writer.bytes, offset, packHeader(channelId, 0));
    copyBytes(writer.bytes, offset + RECORD_HEADER_BYTES, frame);
    writer.commit();
    return true;
  }

  /**
   * Reports that `frameBytes` of a channel have left the backlog: sent for the first time, or
   * discarded with their channel. Every byte of every frame must be reported once, or main stops
   * writing to that slot permanently.
   */
  drained(channelId: number, frameBytes: number): void {
    if (this.#backlog.drained(slotOf(channelId, this.#backlog.slots), frameBytes)) this.#ends.bell.ring();
  }

  /**
   * Wakes the main thread at most once for everything that `turn` does, and shows it that the worker takes
   * turns.
   */
  inOneTurn(turn: () => void): void {
    this.#pulse.beat();
    this.#ends.bell.hold();
    try {
      turn();
    } finally {
      this.#ends.bell.release();
    }
  }

  /** Stops taking and sending records. Whatever is still in the rings is lost. */
  close(): void {
    this.#ends.close();
  }
}
