import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IdHash } from '../../src/mux/session/id_hash.js';

describe('the hash of stream UUIDs', () => {
  /** A UUID whose bytes 0 to 5 and 7 hold a number: an attacker chooses the number. */
  const idWith = (value: number): Uint8Array => {
    const id = new Uint8Array(16).fill(0x11);
    new DataView(id.buffer).setUint32(0, value >>> 0);
    id[4] = Math.floor(value / 2 ** 45) & 0xff;
    return id;
  };

  test('is HalfSipHash-2-4 of the UUID under the secret', () => {
    const id = Uint8Array.from({ length: 18 }, (_, index) => index - 1);
    assert.equal(new IdHash(Uint8Array.of(3, 2, 1, 0, 7, 6, 5, 4)).of(id, 1), 5_483_676_043_982_451);
  });

  test('spreads UUIDs that differ little over all buckets, differently for each secret', () => {
    const ids = Array.from({ length: 4096 }, (_, index) => idWith(index * 8192));
    const bucketsOf = (secret: number): number[] =>
      ids.map((id) => new IdHash(new Uint8Array(8).fill(secret)).of(id, 0) % 2048);
    for (const secret of [1, 2]) {
      const counts = new Map<number, number>();
      for (const bucket of bucketsOf(secret)) counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
      // Two of them in each bucket on average; all 4096 fall into one for a number read from the UUID.
      assert.ok(Math.max(...counts.values()) <= 12, String(Math.max(...counts.values())));
    }
    const others = bucketsOf(2);
    const same = bucketsOf(1).filter((bucket, index) => bucket === others[index]);
    assert.ok(same.length < 20, String(same.length));
  });
});
