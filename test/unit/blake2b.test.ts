import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sodium from 'libsodium-wrappers';
import { HASH_BYTES, isSame, keyedHash } from '../../src/access/proof.js';

const bytes = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 0xff);

describe('the keyed hash', () => {
  test('matches that of libsodium, for keys and texts of every length that we use', async () => {
    await sodium.ready;
    for (const keyBytes of [16, 32, 33, 64]) {
      for (const textBytes of [0, 1, 70, 127, 128, 129, 300]) {
        const key = bytes(keyBytes, textBytes);
        const text = bytes(textBytes, keyBytes);
        const at = textBytes >> 1;
        assert.deepEqual(
          keyedHash(key, text.subarray(0, at), text.subarray(at)),
          sodium.crypto_generichash(HASH_BYTES, text, key),
          `${keyBytes} and ${textBytes} bytes`,
        );
      }
    }
  });

  test('is the same only when all its inputs are', () => {
    const one = bytes(32, 1);
    assert.ok(isSame(one, one.slice()));
    assert.equal(isSame(one, one.subarray(1)), false);
    for (const at of [0, 15, 31]) {
      const other = one.slice();
      other[at] = (other[at] ?? 0) ^ 1;
      assert.equal(isSame(one, other), false);
    }
  });
});
