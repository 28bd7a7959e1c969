import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldDoorbell } from '../../src/ring/doorbell.js';

function held(): { bell: HeldDoorbell; rings: () => number; closed: () => boolean; answer: () => void } {
  let rings = 0;
  let closed = false;
  let answer = (): void => {};
  const bell = new HeldDoorbell({
    ring: () => {
      rings++;
    },
    onRing: (callback) => {
      answer = callback;
    },
    close: () => {
      closed = true;
    },
  });
  return { bell, rings: () => rings, closed: () => closed, answer: () => answer() };
}

test('a bell that is not held rings at once, each time', () => {
  const { bell, rings } = held();
  bell.ring();
  bell.ring();
  assert.equal(rings(), 2);
});

test('a held bell rings once on release, however often it was rung', () => {
  const { bell, rings } = held();
  bell.hold();
  bell.ring();
  bell.ring();
  assert.equal(rings(), 0);
  bell.release();
  assert.equal(rings(), 1);
  bell.release();
  assert.equal(rings(), 1);
  bell.ring();
  assert.equal(rings(), 2);
});

test('a held bell stays silent if it was not rung', () => {
  const { bell, rings } = held();
  bell.hold();
  bell.release();
  assert.equal(rings(), 0);
});

test('a bell closed while held does not ring', () => {
  const { bell, rings, closed } = held();
  bell.hold();
  bell.ring();
  bell.close();
  bell.release();
  assert.ok(closed());
  assert.equal(rings(), 0);
});

test('rings of the other thread arrive, held or not', () => {
  const { bell, answer } = held();
  let heard = 0;
  bell.onRing(() => {
    heard++;
  });
  bell.hold();
  answer();
  assert.equal(heard, 1);
});
