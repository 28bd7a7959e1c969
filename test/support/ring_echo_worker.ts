// Returns every frame unchanged, drains half of it at once and the rest a turn later, and exits at an empty
// frame of channel 0.
import { parentPort, workerData } from 'node:worker_threads';
import type { SharedMemory } from '../../src/ring/shared.js';
import { WorkerSide } from '../../src/ring/worker_side.js';

// workerData is untyped; the tests pass exactly this.
const side = new WorkerSide(workerData as SharedMemory, { budgetRecords: 64 });
parentPort?.ref(); // the rings keep no thread alive

side.run({
  frame(channelId, flags, bytes, offset, length) {
    const place = side.reserve(channelId, flags, length);
    if (place === undefined) return false;
    side.bytes.set(bytes.subarray(offset, offset + length), place);
    side.commit();
    const now = length >>> 1;
    side.drained(channelId, now);
    setImmediate(() => side.drained(channelId, length - now));
    if (channelId === 0 && length === 0) {
      setImmediate(() => {
        side.close();
        parentPort?.unref();
      });
    }
    return true;
  },
  ringRoom: () => side.resume(),
});
