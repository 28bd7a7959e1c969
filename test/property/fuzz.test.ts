import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fuzz, fuzzTargets } from '../support/fuzz.js';
import { corpusTargets, readCorpus } from '../support/fuzz_corpus.js';

const targets = await fuzzTargets();

describe('foreign input', () => {
  for (const target of targets) {
    test(`${target.name}: accepted or refused, and nothing else`, { timeout: 60_000 }, async () => {
      const corpus = readCorpus(target.name);
      // The same inputs each time; bench/fuzz.ts tries millions of others.
      const inputs = corpus.length + Math.ceil(2000 * target.share) + 40;
      const { accepted, refused } = await fuzz(target, inputs, { seed: 1, corpus });
      assert.ok(accepted > 0, 'some are valid');
      assert.ok(refused > 0, 'some are invalid');
    });
  }

  test('every file of the corpus belongs to a target', () => {
    const names = new Set(targets.map(({ name }) => name));
    assert.deepEqual(
      corpusTargets().filter((name) => !names.has(name)),
      [],
    );
  });
});
