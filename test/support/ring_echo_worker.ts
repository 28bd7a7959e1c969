// Sends every frame back, with its flags in byte 4. Reports half of the bytes as drained at once and
// the rest a turn later. Ends at an empty frame.
import { parentPort, workerData } from 'node:worker_threads';
import type { SharedMemory } from '../../src/ring/shared.js';
import { WorkerRings } from '../../src/ring/worker_rings.js';

// workerData is untyped; the tests give exactly this.
const rings = new WorkerRings(workerData as SharedMemory, { budgetRecords: 64 });
parentPort?.ref(); // the rings keep no thread alive

/** Frames that the inbound ring refused, in order. */
const waiting: { readonly channelId: number; readonly frame: Uint8Array }[] = [];

function sendBack(channelId: number, frame: Uint8Array): boolean {
  if (!rings.write(channelId, frame)) return false;
  const now = frame.length >>> 1;
  rings.drained(channelId, now);
  setImmediate(() => rings.drained(channelId, frame.length - now));
  if (frame.length === 0) {
    setImmediate(() => {
      rings.close();
      parentPort?.unref();
    });
  }
  return true;
}

rings.run({
  frame(channelId, flags, view) {
    const frame = view.slice();
    if (frame.length > 4) frame[4] = flags;
    if (waiting.length > 0 || !sendBack(channelId, frame)) waiting.push({ channelId, frame });
  },
  room() {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if (!sendBack(next.channelId, next.frame)) return;
      waiting.shift();
    }
  },
});
