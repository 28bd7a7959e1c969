import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { humanBytes, humanDuration, printable, visibleJson } from '../../src/cli/output/human.js';
import { Reporter } from '../../src/cli/output/reporter.js';
import { printable as wirePrintable } from '../../src/mux/wire/codec.js';
import { anyText } from '../support/any_text.js';
import { VirtualTimers } from '../support/virtual_timers.js';

describe('human-readable output', () => {
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

  test('nothing that a peer sends moves the cursor, or colours or hides text', () => {
    assert.equal(
      printable('a\u001b[31mb\nc\u009bd\u202ee\u007f'),
      'a\\u001b[31mb\\u000ac\\u009bd\\u202ee\\u007f',
    );
    assert.equal(printable('größer, 漢字 😀'), 'größer, 漢字 😀');
    assert.equal(
      printable('a\u061cb\u200bc\ufe0fd\u{e0041}e\u{e000}f\u00a0g\u00adh\u3164'),
      'a\\u061cb\\u200bc\\ufe0fd\\u{e0041}e\\ue000f\\u00a0g\\u00adh\\u3164',
    );
    fc.assert(
      fc.property(anyText({ maxLength: 200, size: 'max' }), (text) => {
        assert.doesNotMatch(printable(text), /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
      }),
    );
  });

  test('every code point is shown, escaped, or replaced by its general category', () => {
    const hidden = /^[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Variation_Selector}\p{Bidi_Control}]$/u;
    const seen = /^[\p{L}\p{N}\p{P}\p{S}\p{Mc}\p{Me}]$/u;
    for (let code = 0; code <= 0x10ffff; code++) {
      const char = String.fromCodePoint(code);
      const shown = printable(char);
      const isEscaped = shown !== char;
      if (isEscaped !== (wirePrintable(char) === '\ufffd' && code !== 0xfffd)) assert.fail(code.toString(16));
      if (hidden.test(char) && !isEscaped) assert.fail(`${code.toString(16)} passes`);
      // Fillers are letters and symbols that have no picture.
      if (seen.test(char) && isEscaped && !/[\p{DI}\u2800]/u.test(char))
        assert.fail(`${code.toString(16)} is escaped`);
      if (isEscaped && !/^\\u(?:[\da-f]{4}|\{[\da-f]{5,6}\})$/.test(shown)) assert.fail(shown);
    }
  });

  test('JSON has the same characters escaped, and parses to the same value', () => {
    fc.assert(
      fc.property(anyText({ maxLength: 200, size: 'max' }), (text) => {
        const json = visibleJson({ text });
        assert.equal(printable(json), json);
        assert.deepEqual(JSON.parse(json), { text });
      }),
    );
  });
});

describe('repeated lines', () => {
  function bench(verbose = 0) {
    const timers = new VirtualTimers();
    const stderr = new PassThrough();
    const stdout = new PassThrough();
    const reporter = new Reporter(
      stdout,
      stderr,
      { json: false, verbose, quiet: false },
      { timers, wallClock: () => new Date(0) },
    );
    const take = (): string[] =>
      String(stderr.read() ?? '')
        .split('\n')
        .filter((line) => line !== '');
    const refuse = (target: string): void =>
      reporter.event({ event: 'refused', target, reason: 'limit', message: 'full', peer: 'A'.repeat(64) });
    return { timers, reporter, take, refuse };
  }

  test('are printed once, and then as a count every 10 seconds', () => {
    const { timers, take, refuse } = bench();
    for (let each = 0; each < 4430; each++) refuse('web:80');
    refuse('db:1');
    const [first, other, ...none] = take();
    assert.match(first ?? '', /^Refused web:80 .*: full$/);
    assert.match(other ?? '', /^Refused db:1 /);
    assert.deepEqual(none, []);
    timers.advance(10_000);
    assert.deepEqual(take(), [`… and 4,429 more in the last 10 s: ${first}`]);
    refuse('web:80');
    assert.deepEqual(take(), []);
    timers.advance(10_000);
    assert.deepEqual(take(), [`… and 1 more in the last 10 s: ${first}`]);
    timers.advance(10_000);
    assert.equal(timers.running, 0);
    refuse('web:80');
    assert.deepEqual(take(), [first], 'after a pause it is printed at once again');
  });

  test('up to 64 kinds are printed at once, and the others only as a count', () => {
    const { timers, take, refuse } = bench();
    for (let port = 0; port < 1000; port++) refuse(`web:${port}`);
    assert.equal(take().length, 64);
    timers.advance(10_000);
    assert.deepEqual(take(), ['… 936 other lines in the last 10 s']);
  });

  test('--quiet prints log lines of errors and nothing else', () => {
    const { reporter, take } = bench();
    reporter.hush();
    for (const level of ['warn', 'error', 'info'] as const) reporter.logger.log(level, 'no file descriptor');
    assert.deepEqual(take(), ['error: no file descriptor']);
  });

  test('are counted at the end, and so are repeated warnings', () => {
    const { timers, reporter, take } = bench(1);
    for (let each = 0; each < 3; each++) reporter.logger.log('warn', 'no room', { peer: 'x' });
    for (let each = 0; each < 2; each++) reporter.logger.log('info', 'as it is');
    assert.deepEqual(take(), ['warn: no room {"peer":"x"}', 'info: as it is', 'info: as it is']);
    reporter.event({ event: 'closed', durationMs: 1, bytesIn: 0, bytesOut: 0 });
    assert.deepEqual(take().slice(0, 1), ['… and 2 more in the last 10 s: warn: no room {"peer":"x"}']);
    assert.equal(timers.running, 0);
  });
});
