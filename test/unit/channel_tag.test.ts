import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Agreement, channelTag } from '../../src/mux/wire/agreement.js';
import { uuid } from '../support/peer_bench.js';

function agreement(ourSession: Uint8Array, theirSession: Uint8Array): Agreement {
  return { version: 1, frameBytes: 1344, features: 0, ourSession, theirSession, fields: new Map() };
}

/** FNV-1a as specified, in arithmetic without overflow. */
function fnv1a(bytes: readonly number[]): number {
  let hash = 0x811c9dc5n;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffff_ffffn;
  return Number(hash);
}

test('both ends derive the same tag: FNV-1a of the connector’s UUID, then the listener’s', () => {
  const [connector, listener] = [uuid(0xc0), uuid(0xa0)];
  const tag = channelTag(agreement(connector, listener), 'connector');
  assert.equal(tag, channelTag(agreement(listener, connector), 'listener'));
  assert.equal(tag, fnv1a([...connector, ...listener]));
  assert.equal(tag, 0x94925845);
});

test('another session at either end has another tag, and so does the same pair in swapped roles', () => {
  const tags = [
    channelTag(agreement(uuid(1), uuid(2)), 'connector'),
    channelTag(agreement(uuid(2), uuid(1)), 'connector'),
    channelTag(agreement(uuid(1), uuid(3)), 'connector'),
    channelTag(agreement(uuid(3), uuid(2)), 'connector'),
  ];
  assert.equal(new Set(tags).size, tags.length);
  for (const tag of tags) assert.ok(Number.isInteger(tag) && tag >= 0 && tag < 2 ** 32);
});
