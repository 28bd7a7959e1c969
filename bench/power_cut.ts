/** Kills a process in the middle of rewriting the state file: `tsx bench/power_cut.ts [--cuts N] [--seed S]`. */
import { parseArgs } from 'node:util';
import { Mutator } from '../test/support/mutate.js';
import { cutPower } from '../test/support/power_cut.js';
import { TempFolder } from '../test/support/temp_folder.js';

const { values } = parseArgs({
  options: { cuts: { type: 'string', default: '500' }, seed: { type: 'string', default: '1' } },
});
const cuts = Number(values.cuts);
const temp = new TempFolder();
const chance = new Mutator(Number(values.seed));
const found = { old: 0, new: 0 };
try {
  for (let cut = 0; cut < cuts; cut++) found[await cutPower(temp.file('state'), chance)]++;
} finally {
  temp.remove();
}
console.log(
  `${cuts} cuts, seed ${values.seed}: ${found.old} times the old file, ${found.new} times the new one`,
);
