import { workerData } from 'node:worker_threads';
import { type BenchEnds, openEnds, otherWork } from './doorbell_setup.js';

// workerData is untyped; bench/doorbell.ts passes exactly this.
const ends = workerData as BenchEnds;
const { bell, writer, reader } = openEnds(ends, 1);
const staysAlive = setInterval(() => {}, 1000);
const stopWork = ends.load ? await otherWork() : () => {};
let closed = false;

bell.onRing(() => {
  if (writer.takeRoom()) reader.resume();
  reader.rung();
});
reader.run((bytes, offset, length) => {
  if (length === 1) {
    closed = true;
    clearInterval(staysAlive);
    stopWork();
    setImmediate(() => bell.close());
  }
  if (!ends.echo && !closed) return true;
  const place = writer.reserve(length);
  if (place === undefined) return false;
  writer.bytes.set(bytes.subarray(offset, offset + length), place);
  writer.commit();
  return true;
});
