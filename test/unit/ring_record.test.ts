import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MAX_PEERS } from '../../src/core/limits.js';
import {
  channelIdOf,
  FLAG_URGENT,
  flagsOf,
  generationsOf,
  MAX_CHANNEL_ID,
  packHeader,
  RECORD_HEADER_BYTES,
  readHeader,
  slotOf,
  writeHeader,
} from '../../src/ring/record.js';

describe('record header', () => {
  test('golden bytes: channel id little-endian in three bytes, flags in the fourth', () => {
    const bytes = new Uint8Array(6);
    writeHeader(bytes, 1, packHeader(0x010203, FLAG_URGENT | 0x80));
    assert.equal(Buffer.from(bytes).toString('hex'), '000302018100');
    assert.equal(readHeader(bytes, 1), 0x81010203);
    assert.equal(RECORD_HEADER_BYTES, 4);
  });

  test('channel id and flags round-trip', () => {
    const numbers = [fc.nat(MAX_CHANNEL_ID), fc.nat(255)] as const;
    fc.assert(
      fc.property(...numbers, (channelId, flags) => {
        const bytes = new Uint8Array(4);
        writeHeader(bytes, 0, packHeader(channelId, flags));
        assert.equal(channelIdOf(readHeader(bytes, 0)), channelId);
        assert.equal(flagsOf(readHeader(bytes, 0)), flags);
      }),
    );
  });

  for (const [channelId, flags] of [
    [2 ** 24, 0],
    [-1, 0],
    [0, 256],
    [0, -1],
  ] as const) {
    test(`channel ${channelId} with flags ${flags} is refused`, () => {
      assert.throws(() => packHeader(channelId, flags), RangeError);
    });
  }

  for (const size of [1, 64, 65, 1000, MAX_PEERS]) {
    test(`with ${size} slots, as many consecutive channel ids have distinct slots`, () => {
      const slots = new Set(Array.from({ length: size }, (_, i) => slotOf(MAX_CHANNEL_ID - i, size)));
      assert.equal(slots.size, size);
      assert.ok([...slots].every((slot) => slot >= 0 && slot < size));
    });

    test(`with ${size} slots, the last generation of the last slot is a channel id`, () => {
      const generations = generationsOf(size);
      const last = generations * size - 1;
      assert.ok(last <= MAX_CHANNEL_ID);
      assert.equal(slotOf(last, size), size - 1);
      assert.ok((generations + 1) * size - 1 > MAX_CHANNEL_ID, 'no generation is missing');
    });
  }
});
