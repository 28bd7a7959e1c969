/** When a channel seeks its peer, because either address may have changed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldChannel, Notes } from '../support/channel_pair.js';

const STEP_MS = 10;

/** Pumps until that time. @returns when the channel sought its peer */
function seekTimes(end: HeldChannel, fromMs: number, toMs: number): number[] {
  const times: number[] = [];
  for (let nowMs = fromMs; nowMs < toMs; nowMs += STEP_MS) {
    const before = end.seeks;
    end.pump(nowMs);
    if (end.seeks > before) times.push(nowMs);
  }
  return times;
}

function seeker(): HeldChannel {
  return new HeldChannel(1, true, new Notes(), true);
}

/** Makes this many bundles from the peer, each in its own packet. */
function receiveBundles(end: HeldChannel, count: number): void {
  const peer = new HeldChannel(2, true, new Notes());
  for (let i = 0; i < count; i++) peer.send('aa'.repeat(1_300));
  for (let nowMs = 0; nowMs < 100; nowMs++) peer.channel.pump(nowMs);
  assert.equal(peer.sent.length, count);
  for (const packet of peer.sent) end.receive(packet, 0);
}

test('a peer that owes an answer is sought after a second, then every half second until it answers', () => {
  const end = seeker();
  end.send('61');
  const [first, ...next] = seekTimes(end, 0, 2_700);
  assert.ok(first !== undefined && first >= 1_000 && first <= 1_100, `first after ${first} ms`);
  assert.deepEqual(next, [first + 500, first + 1_000, first + 1_500]);
  end.receive('db 01 0a0b0c0d 00000000 0000 00 00', 2_700);
  assert.deepEqual(seekTimes(end, 2_700, 9_000), []);
});

test('a peer that was busy sending and falls silent is pinged and sought', () => {
  const end = seeker();
  receiveBundles(end, 32);
  end.pump(0);
  assert.deepEqual(seekTimes(end, 0, 1_000), []);
  assert.equal(end.pump(1_000).length, 1, 'a ping');
  assert.equal(end.seeks, 1);
  const [next] = seekTimes(end, 1_010, 4_000);
  assert.ok(
    next !== undefined && next <= 2_100,
    `and again after ${next} ms, when the ping stays unanswered`,
  );
});

test('a peer that answers the ping is left alone until it is busy again', () => {
  const end = seeker();
  receiveBundles(end, 32);
  end.pump(0);
  end.pump(1_000);
  end.receive('db 01 0a0b0c0d 00000000 0000 00 00', 1_040);
  assert.deepEqual(seekTimes(end, 1_040, 9_000), []);
});

test('a peer that sends little may fall silent without being sought', () => {
  const end = seeker();
  receiveBundles(end, 31);
  assert.deepEqual(seekTimes(end, 0, 9_000), []);
});

test('a frozen channel does not search for its peer', () => {
  const end = seeker();
  end.send('61');
  end.pump(0);
  end.channel.freeze(0);
  assert.deepEqual(seekTimes(end, 0, 5_000), []);
});
