import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SavedRules } from '../../src/cli/service/saved_rules.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { parseReverseRule } from '../../src/rules/reverse_rule.js';
import { MAX_RULES } from '../../src/rules/rule_book.js';
import { failsWith } from '../support/fails_with.js';

test('saved rules are never more than a later start can read', () => {
  const saved = new SavedRules(undefined);
  for (let port = 1; port <= MAX_RULES; port++) {
    saved.add(parseExposeSpec(String(port)));
    saved.addReverse(parseReverseRule(String(port)));
  }
  const isFull = failsWith('ERR_LIMIT', /is not saved, because \d+ are saved already/);
  assert.throws(() => saved.add(parseExposeSpec('9999')), isFull);
  assert.throws(() => saved.addReverse(parseReverseRule('9999')), isFull);
  saved.add(parseExposeSpec('1'));
  assert.equal(new SavedRules(saved.state).texts.length, 2 * MAX_RULES);
});
