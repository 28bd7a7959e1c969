import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MainSide } from '../../src/ring/main_side.js';
import { allocateShared } from '../../src/ring/shared.js';
import { sourceWorker } from '../support/source_worker.js';

const ECHO = new URL('../support/ring_echo_worker.ts', import.meta.url);
const CHANNELS = [1, 2, 62, 0xff_ffff]; // slots 1, 2, 62, 63

/** What record `i` holds: mixed lengths of 12 to 1373 bytes, its number at both ends. */
const lengthOf = (i: number): number => 12 + ((i * 7919) % 1362);

/** Sends records 0 to `count` - 1 to a worker that sends them back, and looks at every one. */
async function echo(count: number, capacityBytes: number, backlogLimitBytes: number) {
  const pair = allocateShared(capacityBytes);
  const worker = sourceWorker(ECHO, { workerData: pair.worker, transferList: [...pair.transferList] });
  const ended = once(worker, 'exit');
  const side = new MainSide(pair.main, { backlogLimitBytes, budgetRecords: 64 });
  let sent = 0;
  let seen = 0;
  const refusals = { ring: 0, channel: 0 };

  const send = (): void => {
    while (sent < count) {
      const length = lengthOf(sent);
      const channelId = CHANNELS[sent % CHANNELS.length]!;
      const place = side.reserve(channelId, sent & 0xff, length);
      if (place === undefined) return;
      side.bytes.fill(sent & 0xff, place, place + length);
      for (const at of [place, place + length - 4]) {
        for (let byte = 0; byte < 4; byte++) side.bytes[at + byte] = sent >>> (8 * byte);
      }
      side.commit();
      sent++;
    }
  };
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    side.run({
      frame(channelId, flags, bytes, offset, length) {
        if (seen === count) {
          assert.deepEqual([channelId, flags, length], [0, 7, 0]);
          resolve();
          return true;
        }
        // assert.equal with its message costs too much a million times.
        const word = (at: number): number =>
          (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
        const middle = offset + Math.min(length - 5, Math.max(4, length >>> 1));
        const whole =
          channelId === CHANNELS[seen % CHANNELS.length] &&
          flags === (seen & 0xff) &&
          length === lengthOf(seen) &&
          word(offset) === seen &&
          word(offset + length - 4) === seen &&
          bytes[middle] === (seen & 0xff);
        if (!whole) reject(new Error(`record ${seen} is torn or lost: ${channelId} ${flags} ${length}`));
        seen++;
        if (seen === count) assert.ok(side.tryWrite(0, 7, new Uint8Array(0)));
        return true;
      },
      ringRoom() {
        refusals.ring++;
        send();
      },
      channelRoom() {
        refusals.channel++;
        send();
      },
    });
    send();
  });
  side.close();
  assert.deepEqual(await ended, [0]);
  return { sent, seen, refusals, room: CHANNELS.map((channelId) => side.room(channelId)) };
}

test('a million records cross two threads and come back, none lost, none torn, in order', async () => {
  const limitBytes = 1024 * 1024;
  const { seen, refusals, room } = await echo(1_000_000, 1 << 16, limitBytes);
  assert.equal(seen, 1_000_000);
  assert.ok(refusals.ring > 0, 'the ring was full at times');
  assert.deepEqual(
    room,
    CHANNELS.map(() => limitBytes),
  );
});

test('with room for few frames a channel, all come through by the bell', async () => {
  const { seen, refusals } = await echo(100_000, 1 << 16, 4096);
  assert.equal(seen, 100_000);
  assert.ok(refusals.channel > 0, 'the backlog was full at times');
});
