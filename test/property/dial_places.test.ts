import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { DialPlaces } from '../../src/forward/exit/dial_places.js';

/**
 * The possible events: a dial of a target starts, one that has a place ends, or one that waits is cancelled.
 */
const step = fc.record({
  what: fc.constantFrom('dial', 'dial', 'dial', 'leave', 'give up'),
  which: fc.nat(7),
});

test('never takes more than all places, leaves none free that a dial could have, and loses none', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.array(step, { maxLength: 200 }),
      async (most, steps) => {
        const places = new DialPlaces(most);
        const active: string[] = [];
        const waiting: { target: string; cancel: AbortController }[] = [];
        const activeOf = (wanted: string): number => active.filter((target) => target === wanted).length;
        for (const { what, which } of steps) {
          const target = `target ${which}`;
          if (what === 'dial') {
            const free = most - active.length;
            const entered = places.tryEnter(target);
            assert.equal(entered, activeOf(target) < free);
            if (entered) active.push(target);
            else {
              const wait = { target, cancel: new AbortController() };
              waiting.push(wait);
              void places.enter(target, wait.cancel.signal).then((given) => {
                waiting.splice(waiting.indexOf(wait), 1);
                if (given) active.push(target);
              });
            }
          } else if (what === 'leave') {
            const [left] = active.splice(which % Math.max(1, active.length), 1);
            if (left !== undefined) places.leave(left);
          } else {
            waiting[which]?.cancel.abort();
          }
          await Promise.resolve();
          await Promise.resolve();
          assert.equal(places.active, active.length);
          assert.equal(places.waiting, waiting.length);
          assert.ok(active.length <= most);
          for (const { target: held } of waiting) assert.ok(activeOf(held) >= most - active.length);
        }
        // Once all have left in turn, every waiting dial has had its place.
        for (let left = active.shift(); left !== undefined; left = active.shift()) {
          places.leave(left);
          await Promise.resolve();
          await Promise.resolve();
        }
        assert.deepEqual([places.active, places.waiting, waiting.length], [0, 0, 0]);
      },
    ),
  );
});

test('waiting targets take turns, and each keeps the order of its dials', async () => {
  const places = new DialPlaces(1);
  assert.ok(places.tryEnter('a'));
  const turns: string[] = [];
  const wait = (target: string, name: string): void =>
    void places.enter(target, new AbortController().signal).then(() => turns.push(name));
  for (const name of ['a1', 'a2', 'a3']) wait('a', name);
  for (const name of ['b1', 'b2']) wait('b', name);
  wait('c', 'c1');
  for (const target of ['a', 'b', 'c', 'a', 'b', 'a', 'a']) {
    places.leave(target);
    await Promise.resolve();
  }
  assert.deepEqual(turns, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
});

test('no more dials wait than a peer may have streams', async () => {
  const places = new DialPlaces(1);
  assert.ok(places.tryEnter('a'));
  const wait = (target: string) => places.enter(target, new AbortController().signal);
  const waiting = Array.from({ length: 4096 }, () => wait('a'));
  assert.equal(await wait('b'), false);
  assert.equal(places.waiting, 4096);
  assert.equal(waiting.length, 4096);
});
