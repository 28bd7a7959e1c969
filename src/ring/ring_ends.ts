import { HeldDoorbell, PortDoorbell } from './doorbell.js';
import { RingReader, type RingReaderOptions, type TakeRecord } from './ring_reader.js';
import { RingWriter } from './ring_writer.js';
import type { SharedMemory } from './shared.js';
import { WAKE_BYTES, WakeWords } from './wake_words.js';

/** One thread's ends of the two rings and of the doorbell. */
export class RingEnds {
  readonly writer: RingWriter;
  readonly reader: RingReader;
  readonly bell: HeldDoorbell;
  readonly #nextTurn: (callback: () => void) => void;
  readonly #onRoom: () => void;
  #running = false;
  #closed = false;

  /**
   * @param writes the ring that this thread writes: 0 for outbound, 1 for inbound
   * @param onRoom called when something that was refused may have room now; not before {@link run}
   */
  constructor(shared: SharedMemory, writes: 0 | 1, options: RingReaderOptions, onRoom: () => void) {
    const memory = [shared.outbound, shared.inbound] as const;
    const reads = writes === 0 ? 1 : 0;
    const words = (ring: 0 | 1): WakeWords => new WakeWords(shared.wake, ring * WAKE_BYTES);
    this.#nextTurn = options.nextTurn ?? ((callback) => void setImmediate(callback));
    this.#onRoom = onRoom;
    this.bell = new HeldDoorbell(new PortDoorbell(shared.bell));
    this.writer = new RingWriter(memory[writes], words(writes), this.bell, this.announceSoon);
    this.reader = new RingReader(memory[reads], words(reads), this.bell, options);
  }

  /** Hands incoming records to `take` from the next turn on. Does not keep the process alive. */
  run(take: TakeRecord): void {
    this.#running = true;
    this.reader.run(take);
    this.bell.onRing(() => {
      this.#onRoom();
      this.reader.rung();
    });
  }

  /** Announces room that this thread found by itself: no bell rings for it. */
  readonly announceSoon = (): void => {
    this.#nextTurn(() => {
      if (this.#running && !this.#closed) this.#onRoom();
    });
  };

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Stops taking and sending records. Whatever is still in the rings is lost. */
  close(): void {
    this.#closed = true;
    this.reader.stop();
    this.bell.close();
  }
}
