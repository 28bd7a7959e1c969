/** Fuzzes every reader of foreign input: `tsx bench/fuzz.ts --help`. */
import { register } from 'node:module';
import { parseArgs } from 'node:util';
import { BranchCounters } from '../test/support/branch_counters.js';
import type { FuzzResult } from '../test/support/fuzz.js';
import { table } from './table.js';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '10000000' },
    only: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    blind: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(`Usage: tsx bench/fuzz.ts [options]

The fuzzer counts the branches of the code under test and mutates the inputs that take new ones.

  --inputs N   total number of inputs (default 10000000), shared among the targets
  --only NAME  run only targets whose name contains NAME; repeatable
  --seed S     repeat a run: the same seed and corpus give the same inputs (default: random)
  --keep       add a few inputs to test/corpus that reach branches the corpus does not
  --blind      do not count branches: faster, but finds less`);
  process.exit(0);
}
const counters = values.blind ? undefined : new BranchCounters();
if (counters !== undefined) {
  globalThis.countersFor = (branches) => counters.region(branches);
  register(new URL('../test/support/counting_loader.ts', import.meta.url));
}
// Everything loaded from here on is counted.
const { distilled, fuzz, fuzzTargets } = await import('../test/support/fuzz.js');
const { addToCorpus, readCorpus } = await import('../test/support/fuzz_corpus.js');

const inputs = Number(values.inputs);
const seed = Number(values.seed);
const targets = (await fuzzTargets()).filter(
  ({ name }) => values.only.length === 0 || values.only.some((only) => name.includes(only)),
);
const shares = targets.reduce((sum, { share }) => sum + share, 0);
if (!(inputs > 0 && Number.isSafeInteger(seed) && shares > 0)) {
  console.error('--inputs and --seed take whole numbers, and --only the name of a target; see --help');
  process.exit(2);
}
console.log(`seed ${seed}`);
const results: FuzzResult[] = [];
for (const target of targets) {
  const corpus = readCorpus(target.name);
  const count = Math.ceil((inputs * target.share) / shares);
  const result = await fuzz(target, count, { seed, corpus, counters });
  console.error(`${result.name}: ${result.inputs} inputs in ${(result.ms / 1000).toFixed(1)} s`);
  results.push(result);
  if (!values.keep || counters === undefined) continue;
  const few = await distilled(target, [...target.seeds, ...corpus], result.found, counters);
  const added = addToCorpus(target.name, few);
  console.error(`${result.name}: added ${added} inputs to the corpus`);
}
const sum = (of: 'inputs' | 'accepted' | 'refused' | 'branches' | 'ms') =>
  results.reduce((all, each) => all + each[of], 0);
const all = {
  name: 'all',
  inputs: sum('inputs'),
  accepted: sum('accepted'),
  refused: sum('refused'),
  branches: sum('branches'),
  ms: sum('ms'),
};
console.log(
  table(
    ['target', 'inputs', 'accepted', 'refused', 'branches', 'seconds'],
    [...results, all].map(({ name, inputs: given, accepted, refused, branches, ms }) => [
      name,
      given,
      accepted,
      refused,
      branches,
      Math.round(ms / 1000),
    ]),
    0,
  ),
);
