import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BranchCounters } from '../support/branch_counters.js';
import { countBranches } from '../support/count_branches.js';
import { distilled, fuzz } from '../support/fuzz.js';
import { bytesTarget } from '../support/fuzz_target.js';

let modules = 0;
type Run = (input: Uint8Array) => unknown;

/** Loads a module with counted branches. @returns its `run` */
async function counted(source: string, counters: BranchCounters): Promise<Run> {
  globalThis.countersFor = (branches) => counters.region(branches);
  try {
    const loaded: { run: Run } = await import(
      // A different text each time; otherwise the previous module with its counters would be returned.
      `data:text/javascript,${encodeURIComponent(countBranches(source))}//${modules++}`
    );
    return loaded.run;
  } finally {
    globalThis.countersFor = undefined;
  }
}

/** For each input, how many branches it took that no earlier input took. */
async function newBranches(source: string, inputs: readonly number[]): Promise<number[]> {
  const counters = new BranchCounters();
  const run = await counted(source, counters);
  let before = 0;
  return inputs.map((input) => {
    counters.clear();
    run(Uint8Array.of(input));
    counters.isNewBranch();
    const news = counters.reached - before;
    before += news;
    return news;
  });
}

describe('instrumented code', () => {
  for (const [what, source] of [
    ['if and else', 'export function run([a]) { if (a) return 1; else return 2; }'],
    ['an if in an else', 'export function run([a]) { if (a > 1) { } else if (a) a = 2; else a = 3; }'],
    ['?:', 'export function run([a]) { return a ? 1 : 2; }'],
    ['&&', 'export function run([a]) { return a && (() => 1)(); }'],
    ['||', 'export function run([a]) { return !a || [1, 2].map((x) => x); }'],
    ['??', 'export function run([a]) { return (a ? null : 1) ?? 2; }'],
    ['switch', 'export function run([a]) { switch (a) { case 1: return 1; default: return 2; } }'],
    ['catch', 'export function run([a]) { try { if (a) throw 1; } catch { a = 2; } }'],
    ['a loop', 'export function run([a]) { while (a--) { } for (const b of []) b(); }'],
    ['a callback', 'export const run = ([a]) => (a ? [1] : []).map((b) => ({ b }));'],
  ] as const) {
    test(`${what}: the other branch is new, the same branch is not`, async () => {
      const [first = 0, again, other = 0, otherAgain] = await newBranches(source, [0, 0, 1, 1]);
      assert.ok(first > 0, 'the function itself');
      assert.equal(again, 0);
      assert.ok(other > 0);
      assert.equal(otherAgain, 0);
    });
  }

  test('behaves as before, and every line stays in place', async () => {
    const source = [
      'const add = (a, b) => a + b;',
      'export function run(input) {',
      '  const [a = 0, b] = input;',
      '  let out = a > 1 ? add(a, 1) : b ?? (a && 7);',
      '  for (let i = 0; i < a; i++) out++',
      '  do out += 2; while (out < 3)',
      '  if (a === 9) throw new Error("line 7");',
      '  return { out, odd: out % 2 === 1 || undefined };',
      '}',
    ].join('\n');
    const plain: { run: Run } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
    const run = await counted(source, new BranchCounters());
    for (const input of [[], [0, 5], [1], [1, 2], [4], [7, 7]])
      assert.deepEqual(run(Uint8Array.from(input)), plain.run(Uint8Array.from(input)));
    assert.equal(countBranches(source).split('\n').length, source.split('\n').length);
    assert.throws(
      () => run(Uint8Array.of(9)),
      (error: Error) => /:7:\d+/.test(error.stack ?? ''),
    );
  });

  test('more rounds of a loop count as new by powers, not one by one', async () => {
    const counters = new BranchCounters();
    const run = await counted('export function run([a]) { while (a--) { } }', counters);
    const news = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 200, 201].filter((rounds) => {
      counters.clear();
      run(Uint8Array.of(rounds));
      return counters.isNews();
    });
    assert.deepEqual(news, [1, 2, 3, 4, 8, 16, 200]);
  });
});

describe('the fuzzer', () => {
  const SOURCE = `export function run(b) {
    if (b[0] === 0x13) if (b[1] === 0x37) if (b[2] === 0xca) if (b[3] === 0xfe)
      throw new Error('found');
  }`;
  const INPUTS = 400_000;

  async function maze(counters: BranchCounters) {
    const run = await counted(SOURCE, counters);
    const target = bytesTarget('maze', 1, [new Uint8Array(8)], 8, (input) => {
      run(input);
      return 'accepted';
    });
    return { target, counters };
  }

  test('finds a bug behind four consecutive bytes when branches count, and names the input', async () => {
    const { target, counters } = await maze(new BranchCounters());
    await assert.rejects(
      fuzz(target, INPUTS, { seed: 1, counters }),
      /maze: input \d+ of seed 1: bytes 1337cafe/,
    );
  });

  test('does not find it without', async () => {
    const { target } = await maze(new BranchCounters());
    const { found, branches } = await fuzz(target, INPUTS, { seed: 1 });
    assert.deepEqual([found, branches], [[], 0]);
  });

  test('distils its findings to a few inputs that reach as much', async () => {
    const { target, counters } = await maze(new BranchCounters());
    const found = ['00', '13', '1300', '1337', '133700', '14', '1337ca'].map((text) =>
      Buffer.from(text, 'hex'),
    );
    assert.deepEqual(await distilled(target, target.seeds, found, counters), [Buffer.from('1337ca', 'hex')]);
  });
});
