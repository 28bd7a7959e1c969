import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { fuzz, fuzzTargets } from '../support/fuzz.js';

/** Inputs that once did harm, and those that came close: `{ "target name": ["text …" or "bytes …"] }`. */
const corpus: Record<string, readonly string[]> = JSON.parse(
  await readFile(new URL('../support/fuzz_corpus.json', import.meta.url), 'utf8'),
);

const inputOf = (line: string): string | Uint8Array =>
  line.startsWith('bytes ') ? Buffer.from(line.slice(6), 'hex') : String(JSON.parse(line.slice(5)));

describe('what strangers wrote', () => {
  for (const target of fuzzTargets()) {
    test(`${target.name}: is read or refused, and nothing else`, { timeout: 60_000 }, async () => {
      for (const line of corpus[target.name] ?? []) await target.run(inputOf(line));
      // The same ones each time; bench/fuzz.ts takes others, and millions of them.
      const { accepted, refused } = await fuzz(target, Math.ceil(2000 * target.share) + 40, 1);
      assert.ok(accepted > 0, 'some are valid');
      assert.ok(refused > 0, 'some are not');
    });
  }

  test('the corpus names targets that there are', () => {
    const names = new Set(fuzzTargets().map(({ name }) => name));
    assert.deepEqual(
      Object.keys(corpus).filter((name) => !names.has(name)),
      [],
    );
  });
});
