import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Relays } from '../../src/worker/bootstrap.js';

const key = (first: number): Uint8Array => new Uint8Array(32).fill(first);

function given(relays: Relays): string[] {
  const taken: string[] = [];
  relays.giveTo(3, {
    addFriendRelay: (friend, ip, port, { 0: first }) => taken.push(`${friend} ${ip} ${port} ${first}`) > 0,
  });
  return taken;
}

test('two ends that heard of the same relays in any order give a friend the same four', () => {
  const [a, b] = [new Relays(), new Relays()];
  const firsts = [9, 200, 1, 77, 3, 150];
  for (const first of firsts) a.add('192.0.2.1', first, key(first));
  for (const first of firsts.toReversed()) b.add('192.0.2.1', first, key(first));
  assert.deepEqual(given(a), ['3 192.0.2.1 1 1', '3 192.0.2.1 3 3', '3 192.0.2.1 9 9', '3 192.0.2.1 77 77']);
  assert.deepEqual(given(b), given(a));
});

test('a relay is kept once, at its latest address', () => {
  const relays = new Relays();
  relays.add('192.0.2.1', 1, key(5));
  relays.add('192.0.2.2', 2, key(5));
  assert.deepEqual(given(relays), ['3 192.0.2.2 2 5']);
});

test('no more than 64 relays are kept', () => {
  const relays = new Relays();
  for (let first = 255; first > 100; first--) relays.add('192.0.2.1', 1, key(first));
  assert.equal(relays.size, 64);
});
