import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { humanBytes, humanDuration, printable } from '../../src/cli/human.js';

describe('what people read', () => {
  const bytes: ReadonlyArray<readonly [number, string]> = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [1949, '1.9 kB'],
    [9949, '9.9 kB'],
    [9950, '10 kB'],
    [12_345, '12 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [56_000_000, '56 MB'],
    [7_200_000_000, '7.2 GB'],
    [3e15, '3000 TB'],
  ];
  for (const [count, text] of bytes) {
    test(`${count} bytes are ${text}`, () => assert.equal(humanBytes(count), text));
  }

  const durations: ReadonlyArray<readonly [number, string]> = [
    [0, '0 s'],
    [999, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min 0 s'],
    [3_599_999, '59 min 59 s'],
    [3_600_000, '1 h 0 min'],
    [86_399_999, '23 h 59 min'],
    [86_400_000, '1 d 0 h'],
    [2_000_000_000, '23 d 3 h'],
  ];
  for (const [ms, text] of durations) {
    test(`${ms} ms are ${text}`, () => assert.equal(humanDuration(ms), text));
  }

  test('nothing that a peer sends can move the cursor, colour or hide text', () => {
    assert.equal(
      printable('a\u001b[31mb\nc\u009bd\u202ee\u007f'),
      'a\\u001b[31mb\\u000ac\\u009bd\\u202ee\\u007f',
    );
    assert.equal(printable('größer, 漢字 😀'), 'größer, 漢字 😀');
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200, size: 'max' }), (text) => {
        assert.doesNotMatch(printable(text), /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
      }),
    );
  });
});
