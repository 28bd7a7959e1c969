import { workerData } from 'node:worker_threads';
import { type BenchEnds, openEnds, otherWork } from './doorbell_setup.js';

// workerData is untyped; bench/doorbell.ts passes exactly this.
const ends = workerData as BenchEnds;
const { bell, outbox, inbox } = openEnds(ends, 1);
const staysAlive = setInterval(() => {}, 1000);
const stopWork = ends.load ? await otherWork() : () => {};
let closed = false;

bell.onRing(() => {
  if (outbox.takeRoom()) inbox.resume();
  inbox.rung();
});
inbox.run((bytes, offset, length) => {
  if (length === 1) {
    closed = true;
    clearInterval(staysAlive);
    stopWork();
    setImmediate(() => bell.close());
  }
  if (!ends.echo && !closed) return true;
  const place = outbox.reserve(length);
  if (place === undefined) return false;
  outbox.bytes.set(bytes.subarray(offset, offset + length), place);
  outbox.commit();
  return true;
});
