import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { copyBytes } from '../../src/core/copy_bytes.js';

test('copies as set() does, whatever the lengths, positions and kinds of memory', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 1500, size: 'max' }),
      fc.nat(40),
      fc.nat(40),
      fc.boolean(),
      fc.boolean(),
      (bytes, at, after, toShared, fromShared) => {
        const memory = (shared: boolean, length: number): Uint8Array =>
          new Uint8Array(shared ? new SharedArrayBuffer(length) : new ArrayBuffer(length));
        const length = at + bytes.length + after;
        const to = memory(toShared, length).fill(0xaa);
        const wanted = new Uint8Array(length).fill(0xaa);
        const from = memory(fromShared, bytes.length + 3).subarray(3);
        from.set(bytes);
        copyBytes(to, at, from);
        wanted.set(bytes, at);
        assert.deepEqual(new Uint8Array(to), wanted);
      },
    ),
  );
});

test('refuses what does not fit, and writes nothing', () => {
  for (const length of [1, 100, 192, 1344]) {
    const to = new Uint8Array(length);
    assert.throws(() => copyBytes(to, 1, new Uint8Array(length).fill(1)), RangeError);
    assert.deepEqual(to, new Uint8Array(length));
  }
});

test('copies only the view, not the memory around it', () => {
  const around = new Uint8Array(3000).map((_, at) => at);
  const to = new Uint8Array(1000);
  copyBytes(to, 0, around.subarray(777, 1777));
  assert.deepEqual(to, around.slice(777, 1777));
});
