import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { spawnWorker } from '../../src/bridge/spawn.js';
import { MainRings } from '../../src/ring/main_rings.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../../src/ring/record.js';
import type { RingChannel } from '../../src/ring/ring_channel.js';
import { allocateShared } from '../../src/ring/shared.js';
import { workerUrl } from '../support/build.js';

const ECHO = workerUrl(new URL('../support/ring_echo_worker.ts', import.meta.url));
const PEERS = 1000;
const SLOTS = [1, 2, 64, 999];

/** Mixed record lengths of 12 to 1373 bytes. */
const lengthOf = (i: number): number => 12 + ((i * 7919) % 1362);
const isUrgent = (i: number): boolean => i % 3 === 0;
const isLossy = (i: number): boolean => i % 5 === 0;

/** Bytes of a slot that the worker has reported as drained, mod 2^32. */
const drainedBytes = (backlog: SharedArrayBuffer, slot: number): number =>
  Atomics.load(new Int32Array(backlog), slot * 4) >>> 0;

/** Sends records 0 to `count` - 1 to a worker that sends them back, and checks every one. */
async function echo(count: number, capacityBytes: number, backlogLimitBytes: number) {
  const pair = allocateShared({ channels: PEERS, capacityBytes });
  const worker = spawnWorker(ECHO, { workerData: pair.worker, transferList: [...pair.transferList] });
  const ended = once(worker, 'exit');
  const rings = new MainRings(pair.main, { backlogLimitBytes, urgentReserveBytes: 0, budgetRecords: 64 });
  let sent = 0;
  let seen = 0;
  let refusals = 0;
  let finish: () => void = () => {};
  let fail: (error: Error) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  worker.once('error', fail);

  const send = (): void => {
    while (sent < count) {
      const length = lengthOf(sent);
      const frame = channels[sent % SLOTS.length]!.reserve(length, isUrgent(sent), isLossy(sent));
      if (frame === undefined) return;
      frame.fill(sent & 0xff);
      for (const at of [0, length - 4]) {
        for (let byte = 0; byte < 4; byte++) frame[at + byte] = sent >>> (8 * byte);
      }
      channels[sent % SLOTS.length]!.commit();
      sent++;
    }
  };
  const take = (slot: number, frame: Uint8Array): void => {
    const { length } = frame;
    if (seen === count) {
      assert.deepEqual([slot, length], [SLOTS[0], 0]);
      finish();
      return;
    }
    // assert.equal with its message is too slow for a million calls.
    const word = (at: number): number =>
      (frame[at]! | (frame[at + 1]! << 8) | (frame[at + 2]! << 16) | (frame[at + 3]! << 24)) >>> 0;
    const middle = Math.min(length - 5, Math.max(5, length >>> 1));
    const flags = (isUrgent(seen) ? FLAG_URGENT : 0) | (isLossy(seen) ? FLAG_LOSSY : 0);
    const whole =
      slot === SLOTS[seen % SLOTS.length] &&
      length === lengthOf(seen) &&
      frame[4] === flags &&
      word(0) === seen &&
      word(length - 4) === seen &&
      frame[middle] === (seen & 0xff);
    if (!whole) fail(new Error(`record ${seen} is torn or lost: slot ${slot}, ${length} bytes`));
    seen++;
    if (seen === count) {
      assert.ok(channels[0]!.reserve(0, false));
      channels[0]!.commit();
    }
  };
  const all = Array.from({ length: PEERS }, (_, slot) =>
    rings.open({
      frame: (frame) => take(slot, frame),
      flush: () => {},
      room: () => {
        refusals++;
        send();
      },
      failed: fail,
    }),
  );
  const channels: RingChannel[] = SLOTS.map((slot) => all[slot]!);
  send();
  await finished;
  rings.close();
  assert.deepEqual(await ended, [0]);
  return {
    seen,
    refusals,
    sentBytes: channels.map(({ bytesSent }) => bytesSent),
    lossless: channels.reduce((sum, { framesSent }) => sum + framesSent, 0),
    drained: SLOTS.map((slot) => drainedBytes(pair.main.backlog, slot)),
  };
}

// 250,000 records fill the ring thousands of times, in as many states of both ends.
test('250,000 records go to another thread and back: none lost, none torn, all in order', async () => {
  const { seen, refusals, sentBytes, drained } = await echo(250_000, 1 << 16, 1024 * 1024);
  assert.equal(seen, 250_000);
  assert.ok(refusals > 0, 'the ring was full at times');
  assert.deepEqual(drained, sentBytes);
});

test('all frames arrive when each channel has room for only a few and must wait for the doorbell', async () => {
  const { seen, refusals, lossless } = await echo(100_000, 1 << 16, 4096);
  assert.equal(seen, 100_000);
  assert.ok(refusals > 0, 'the backlog was full at times');
  assert.equal(lossless, 80_000 + 1, 'only the lossless frames and the empty last one count');
});
