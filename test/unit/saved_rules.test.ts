import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SavedRules } from '../../src/cli/service/saved_rules.js';
import { MAX_RULES } from '../../src/rules/rule_book.js';
import { failsWith } from '../support/fails_with.js';

test('saved rules are never more than a later start can read', () => {
  const saved = new SavedRules(undefined);
  for (let port = 1; port <= MAX_RULES; port++) {
    saved.add('expose', String(port));
    saved.add('allowReverse', String(port));
  }
  const isFull = failsWith('ERR_LIMIT', /is not saved, because \d+ are saved already/);
  assert.throws(() => saved.add('expose', '9999'), isFull);
  assert.throws(() => saved.add('allowReverse', '9999'), isFull);
  saved.add('expose', '1');
  const later = new SavedRules(saved.state);
  for (const option of ['expose', 'allowReverse'] as const)
    assert.equal(later.texts(option).length, MAX_RULES);
});
