import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChannelTable } from '../../src/bridge/channel_table.js';
import type { ChannelHandlers } from '../../src/bridge/node_channel.js';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_PEERS } from '../../src/core/limits.js';
import { slotOf } from '../../src/ring/record.js';

/** What one channel hears, in words. */
function listening(heard: string[], name = ''): ChannelHandlers {
  return {
    frame: (frame) => heard.push(`${name}frame ${frame.join(' ')}`),
    flush: () => heard.push(`${name}flush`),
    room: () => heard.push(`${name}room`),
    failed: (error) => heard.push(`${name}failed ${error.code}`),
  };
}

const BYTES = Uint8Array.of(9, 1, 2, 3, 9);

test('frames reach the handlers of their channel, and one flush comes after the batch', async () => {
  const table = new ChannelTable();
  const heard: string[] = [];
  const a = table.add(listening(heard, 'a '));
  const b = table.add(listening(heard, 'b '));
  assert.ok(table.frame(a, 0, BYTES, 1, 2));
  assert.ok(table.frame(b, 0, BYTES, 2, 1));
  assert.ok(table.frame(a, 0, BYTES, 3, 1));
  assert.deepEqual(heard.splice(0), ['a frame 1 2', 'b frame 2', 'a frame 3']);
  await Promise.resolve();
  assert.deepEqual(heard.splice(0), ['a flush', 'b flush']);
  table.frame(a, 0, BYTES, 1, 1);
  await Promise.resolve();
  assert.deepEqual(heard, ['a frame 1', 'a flush']);
});

test('ids of a slot are used once, and a late record of a closed channel reaches nobody', async () => {
  const table = new ChannelTable();
  const heard: string[] = [];
  const first = table.add(listening(heard, '1 '));
  table.frame(first, 0, BYTES, 1, 1);
  table.remove(first);
  const second = table.add(listening(heard, '2 '));
  assert.equal(slotOf(first), slotOf(second));
  assert.notEqual(first, second);
  assert.ok(table.frame(first, 0, BYTES, 1, 1), 'it is taken out of the ring all the same');
  table.remove(first);
  table.failed(first, new TunnelError('ERR_PACKET_INVALID', 'late'));
  await Promise.resolve();
  assert.deepEqual(heard.splice(0), ['1 frame 1'], 'no flush for a channel that was closed meanwhile');
  table.frame(second, 0, BYTES, 1, 1);
  assert.deepEqual(heard, ['2 frame 1']);
});

test('one channel more than there are slots is refused, and a closed one makes room', () => {
  const table = new ChannelTable();
  const ids = Array.from({ length: MAX_PEERS }, () => table.add(listening([])));
  assert.deepEqual(
    ids.map(slotOf).sort((a, b) => a - b),
    [...Array(MAX_PEERS).keys()],
  );
  assert.throws(
    () => table.add(listening([])),
    (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT' && error.message.includes('wait'),
  );
  table.remove(ids[5]!);
  const again = table.add(listening([]));
  assert.equal(slotOf(again), 5);
});

test('ids stay within 24 bits for ever', () => {
  const table = new ChannelTable();
  let last = 0;
  for (let times = 0; times <= 2 ** 18; times++) {
    last = table.add(listening([]));
    assert.ok(last < 2 ** 24);
    table.remove(last);
  }
  assert.equal(last, 0, 'the numbers begin again');
});

test('a channel that cannot go on hears of it, and of nothing after it', async () => {
  const table = new ChannelTable();
  const heard: string[] = [];
  const id = table.add(listening(heard));
  table.frame(id, 0, BYTES, 1, 1);
  table.failed(id, new TunnelError('ERR_PACKET_INVALID', 'nonsense'));
  table.frame(id, 0, BYTES, 1, 1);
  table.ringRoom();
  table.channelRoom(slotOf(id));
  await Promise.resolve();
  assert.deepEqual(heard, ['frame 1', 'failed ERR_PACKET_INVALID']);
});

test('room in the ring is told to all, each first in its turn; room of one peer to it alone', () => {
  const table = new ChannelTable();
  const heard: string[] = [];
  table.add(listening(heard, 'a '));
  const b = table.add(listening(heard, 'b '));
  table.add(listening(heard, 'c '));
  table.ringRoom();
  table.ringRoom();
  assert.deepEqual(heard.splice(0), ['a room', 'b room', 'c room', 'b room', 'c room', 'a room']);
  table.channelRoom(slotOf(b));
  table.channelRoom(MAX_PEERS - 1);
  assert.deepEqual(heard, ['b room']);
});

test('a consumer that throws in its flush takes nothing from the peers after it', async (t) => {
  const table = new ChannelTable();
  const heard: string[] = [];
  const thrown: unknown[] = [];
  // What is thrown in a microtask goes to the process; here it is caught at the queue.
  const queue = globalThis.queueMicrotask;
  t.mock.method(globalThis, 'queueMicrotask', (work: () => void) =>
    queue(() => {
      try {
        work();
      } catch (error) {
        thrown.push(error);
      }
    }),
  );
  const broken = new Error('a fault of the consumer');
  const a = table.add({
    ...listening(heard, 'a '),
    flush: () => {
      throw broken;
    },
  });
  const b = table.add(listening(heard, 'b '));
  table.frame(a, 0, BYTES, 1, 1);
  table.frame(b, 0, BYTES, 1, 1);
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(thrown, [broken]);
  assert.deepEqual(heard.splice(0), ['a frame 1', 'b frame 1', 'b flush']);
  table.frame(b, 0, BYTES, 1, 1);
  await Promise.resolve();
  assert.deepEqual(heard, ['b frame 1', 'b flush'], 'later batches are flushed as before');
});
