// What a peer gains by choosing its streams' UUIDs: npx tsx bench/stream_ids.ts
// It searches for numbers that fall into one bucket of V8's hash of numbers, which has no secret, and gives its streams
// UUIDs that are these numbers, as `idKey` once read them. Then it sends DATA for streams that do not exist.
import { randomBytes } from 'node:crypto';
import { offsetFrame, openFrame, TYPES } from '../test/support/attacker.js';
import { aloneWith } from '../test/support/mux_link.js';
import { table } from './table.js';

const STREAMS = 4096;
const FRAMES = 20_000;
/** A Map with 4096 entries has so many buckets: 2 entries a bucket. */
const BUCKET_BITS = 13;
const MASK = (1n << 64n) - 1n;

/** The hash of a number above 2^31 in V8: ComputeLongHash of the bits of the double (src/utils/utils.h, base/hashing). */
function v8Hash(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  let hash = view.getBigUint64(0);
  hash = ((~hash & MASK) + ((hash << 18n) & MASK)) & MASK;
  hash ^= hash >> 31n;
  hash = (hash * 21n) & MASK;
  hash ^= hash >> 11n;
  hash = (hash + ((hash << 6n) & MASK)) & MASK;
  hash ^= hash >> 22n;
  return hash & 0x3fffffffn;
}

/** A UUID whose bytes 0 to 5 and 7 hold this number of 53 bits. */
function idWith(key: number): Uint8Array {
  const id = new Uint8Array(16).fill(0x11);
  const high = Math.floor(key / 2 ** 32);
  new DataView(id.buffer).setUint32(0, key >>> 0);
  id[4] = (high >> 13) & 0xff;
  id[5] = (high >> 5) & 0xff;
  id[7] = high & 0x1f;
  return id;
}

function collidingIds(count: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let key = 2 ** 45 + 1; found.length < count; key += 7919) {
    if ((v8Hash(key) & ((1n << BigInt(BUCKET_BITS)) - 1n)) === 0n) found.push(idWith(key));
  }
  return found;
}

/** Microseconds for each frame, with this many streams open. */
function measure(ids: readonly Uint8Array[]): number {
  const { session, sink } = aloneWith({
    role: 'listener',
    onOpen: (request) => request.accept({}),
    random16: () => Uint8Array.from(randomBytes(16)),
  });
  for (const id of ids.slice(0, STREAMS)) session.receive(openFrame(id, 'localhost', 80));
  session.flush();
  sink.take();
  const strangers = ids.slice(STREAMS);
  const frames = Array.from({ length: FRAMES }, (_, index) =>
    offsetFrame(TYPES.data, strangers[index % strangers.length] ?? new Uint8Array(16), 0, 1),
  );
  let bestUs = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 3; run++) {
    const beginMs = performance.now();
    for (const frame of frames) session.receive(frame);
    bestUs = Math.min(bestUs, ((performance.now() - beginMs) * 1000) / FRAMES);
  }
  return bestUs;
}

const beginMs = performance.now();
const chosen = collidingIds(STREAMS + 100);
process.stdout.write(
  `${chosen.length} UUIDs found in ${((performance.now() - beginMs) / 1000).toFixed(1)} s\n\n`,
);
const random = Array.from({ length: STREAMS + 100 }, () => Uint8Array.from(randomBytes(16)));
const rows = (
  [
    ['random', random],
    ['chosen', chosen],
  ] as const
).map(([name, ids]) => {
  const us = measure(ids);
  return [name, us, 26 / us];
});
process.stdout.write(table(['UUIDs', 'µs a frame', 'MB/s that fill a core'], rows));
