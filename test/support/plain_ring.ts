import { RingReader, type TakeRecord } from '../../src/ring/ring_reader.js';
import { RingWriter } from '../../src/ring/ring_writer.js';
import { WAKE_BYTES, WakeWords } from '../../src/ring/wake_words.js';

const SILENT = { ring: () => {} };

/** A writer whose wake-ups have no effect. */
export class PlainWriter extends RingWriter {
  constructor(memory: SharedArrayBuffer) {
    super(memory, new WakeWords(new SharedArrayBuffer(WAKE_BYTES), 0), SILENT, () => {});
  }

  /** Reserves, copies and commits. Returns false when there is no room now. */
  tryWrite(record: Uint8Array): boolean {
    const offset = this.reserve(record.byteLength);
    if (offset === undefined) return false;
    this.bytes.set(record, offset);
    this.commit();
    return true;
  }
}

/** A reader that takes records only on request. */
export class PlainReader extends RingReader {
  constructor(memory: SharedArrayBuffer) {
    super(memory, new WakeWords(new SharedArrayBuffer(WAKE_BYTES), 0), SILENT);
  }

  /** Drains, with a view of each record. */
  drainViews(take: (record: Uint8Array) => boolean, budgetRecords: number): number {
    const takeView: TakeRecord = (bytes, offset, length) => take(bytes.subarray(offset, offset + length));
    return this.drain(takeView, budgetRecords);
  }
}
