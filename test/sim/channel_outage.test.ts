import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BUNDLE_BYTES } from '../../src/worker/channel/packet.js';
import { type SimPath, simPath } from '../support/sim_path.js';

const LINK = { delayMs: 20, rateMbps: 100, queueBytes: 500_000, loss: 0.001 };
const TOTAL_BYTES = BUNDLE_BYTES * 40_000;

function setDown({ ab, ba }: SimPath, down: boolean): void {
  ab.down = down;
  ba.down = down;
}

/** Runs to the end of the transfer and checks that every frame arrived exactly once. */
function assertComplete(path: SimPath, bytes = TOTAL_BYTES): void {
  const { clock, a, b } = path;
  clock.run(clock.nowMs + 60_000, () => b.receivedBytes >= bytes);
  clock.run(clock.nowMs + 1_000);
  assert.ifError(a.error);
  assert.ifError(b.error);
  assert.equal(b.receivedBytes, bytes);
  assert.ok(b.received.every((times) => times === 1));
}

/** The share of the link rate that arrives within the second that starts 2 s from now. */
function rateAfterThreeSeconds({ clock, b }: SimPath): number {
  clock.run(clock.nowMs + 2_000);
  const before = b.receivedBytes;
  clock.run(clock.nowMs + 1_000);
  return (b.receivedBytes - before) / (LINK.rateMbps * 125 * 1_000);
}

describe('an outage that nobody reported to the channel', () => {
  for (const seconds of [1, 8, 20, 60]) {
    test(`${seconds} s: nothing is lost, and full speed returns within 3 s`, () => {
      const path = simPath(seconds, LINK);
      path.a.bulk(TOTAL_BYTES);
      path.clock.run(1_300);
      setDown(path, true);
      path.clock.run(1_300 + seconds * 1_000);
      setDown(path, false);
      assert.ok(rateAfterThreeSeconds(path) > 0.85);
      assertComplete(path);
    });
  }
});

describe('an outage with the friend offline', () => {
  for (const seconds of [1, 8, 20, 60]) {
    test(`${seconds} s: the channel is silent, then everything continues, at full speed within 3 s`, () => {
      const path = simPath(seconds, LINK);
      const { clock, a, b } = path;
      a.bulk(TOTAL_BYTES);
      clock.run(1_300);
      setDown(path, true);
      clock.run(1_800);
      a.channel.freeze(clock.nowMs);
      b.channel.freeze(clock.nowMs);
      const packets = a.packets;
      clock.run(1_800 + seconds * 1_000);
      assert.equal(a.packets, packets);
      setDown(path, false);
      a.channel.thaw(clock.nowMs);
      a.wake();
      // The far end learns of it a little later.
      clock.after(400, () => {
        b.channel.thaw(clock.nowMs);
        b.wake();
      });
      assert.ok(rateAfterThreeSeconds(path) > 0.85);
      assertComplete(path);
    });
  }
});

test('in the first round trip after a thaw little is sent', () => {
  const path = simPath(31, LINK);
  const { clock, a, b } = path;
  a.bulk(TOTAL_BYTES);
  clock.run(2_000);
  a.channel.freeze(2_000);
  b.channel.freeze(2_000);
  clock.run(12_000);
  const packets = a.packets;
  a.channel.thaw(12_000);
  b.channel.thaw(12_000);
  a.wake();
  b.wake();
  clock.run(12_030);
  assert.ok(a.packets > packets);
  assert.ok(a.packets - packets <= 40, `${a.packets - packets} packets`);
});

test('the channel adapts to a path that becomes four times longer and lossy, and back', () => {
  const path = simPath(32, LINK);
  const { clock, a, b, ab, ba } = path;
  a.bulk(2 * TOTAL_BYTES);
  clock.run(1_000);
  for (const end of [a, b]) end.channel.pathChanged(1_000);
  ab.delayMs = 80;
  ba.delayMs = 80;
  ab.loss = 0.02;
  clock.run(4_000);
  for (const end of [a, b]) end.channel.pathChanged(4_000);
  ab.delayMs = 20;
  ba.delayMs = 20;
  ab.loss = 0;
  const speed = rateAfterThreeSeconds(path);
  assert.ok(speed > 0.85, `${speed}`);
  assertComplete(path, 2 * TOTAL_BYTES);
});

test('stats report how long the peer owes an answer, and only then', () => {
  const path = simPath(33, LINK);
  const { clock, a } = path;
  a.frame(100);
  clock.run(3_000);
  assert.equal(a.channel.stats(clock.nowMs).unansweredMs, 0);
  setDown(path, true);
  clock.run(9_000);
  a.frame(100);
  clock.run(14_000);
  const { unansweredMs } = a.channel.stats(clock.nowMs);
  assert.ok(unansweredMs > 5_000 && unansweredMs < 15_000, `${unansweredMs} ms`);
});

test('a path that reports full or offline is retried soon, but not in a busy loop', () => {
  const path = simPath(34, LINK);
  const { clock, a, b } = path;
  let tries = 0;
  Object.defineProperty(a, 'result', {
    get: () => {
      tries++;
      return clock.nowMs < 1_000 ? 'full' : 'sent';
    },
  });
  a.frame(100);
  a.frame(100, true);
  clock.run(990);
  // The end reads the result twice per try.
  assert.ok(tries <= 1_200, `${tries / 2} tries in a second`);
  clock.run(1_050);
  assert.equal(b.receivedFrames, 2);
  assert.equal(a.channel.stats(clock.nowMs).packetsOut <= 3, true);
});

test('a receiver that is full for two seconds loses nothing and gets each frame once', () => {
  const path = simPath(35, LINK);
  const { clock, a, b } = path;
  a.bulk(TOTAL_BYTES / 4);
  clock.run(1_000);
  b.accepts = () => false;
  clock.run(3_000);
  assert.ok(b.channel.stats(clock.nowMs).refusedIn > 0);
  b.accepts = () => true;
  b.wake();
  clock.run(clock.nowMs + 60_000, () => b.receivedBytes >= TOTAL_BYTES / 4);
  clock.run(clock.nowMs + 1_000);
  assert.equal(b.receivedBytes, TOTAL_BYTES / 4);
  assert.ok(b.received.every((times) => times === 1));
});
