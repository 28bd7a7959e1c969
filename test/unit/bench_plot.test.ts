import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { plot, type Results } from '../../bench/plot.js';

const bench = (name: string): string => readFileSync(new URL(`../../bench/${name}`, import.meta.url), 'utf8');

test('bench/results.svg is what npm run plot makes of bench/results.json', () => {
  const results = JSON.parse(bench('results.json')) as Results;
  assert.equal(bench('results.svg'), plot(results));
});
