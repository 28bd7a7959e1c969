/** Feeds everything that reads what others wrote: `tsx bench/fuzz.ts [--inputs N] [--only NAME] [--seed S]`. */
import { parseArgs } from 'node:util';
import { type FuzzResult, fuzz, fuzzTargets } from '../test/support/fuzz.js';
import { table } from './table.js';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '10000000' },
    only: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(`Usage: tsx bench/fuzz.ts [options]

  --inputs N   inputs in all (default 10000000), shared among the targets
  --only NAME  only targets whose name contains NAME; repeatable
  --seed S     the same inputs for the same seed (default: chance)`);
  process.exit(0);
}
const inputs = Number(values.inputs);
const seed = Number(values.seed);
const targets = fuzzTargets().filter(
  ({ name }) => values.only.length === 0 || values.only.some((only) => name.includes(only)),
);
const shares = targets.reduce((sum, { share }) => sum + share, 0);
if (!(inputs > 0 && Number.isSafeInteger(seed) && shares > 0)) {
  console.error('--inputs and --seed are whole numbers, and --only names a target; see --help');
  process.exit(2);
}
console.log(`seed ${seed}`);
const results: FuzzResult[] = [];
for (const target of targets) {
  const result = await fuzz(target, Math.ceil((inputs * target.share) / shares), seed);
  console.error(`${result.name}: ${result.inputs} inputs in ${(result.ms / 1000).toFixed(1)} s`);
  results.push(result);
}
const sum = (of: 'inputs' | 'accepted' | 'refused' | 'ms') =>
  results.reduce((all, each) => all + each[of], 0);
const rows = [
  ...results,
  { name: 'all', inputs: sum('inputs'), accepted: sum('accepted'), refused: sum('refused'), ms: sum('ms') },
];
console.log(
  table(
    ['target', 'inputs', 'accepted', 'refused', 'seconds'],
    rows.map(({ name, inputs: given, accepted, refused, ms }) => [
      name,
      given,
      accepted,
      refused,
      Math.round(ms / 1000),
    ]),
    0,
  ),
);
