/** Kills a process while it rewrites the state file: `tsx bench/power_cut.ts [--cuts N] [--seed S]`. */
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
let left = cuts;

/** Starting a process takes most of the time, so a few run at once, each with its own folder. */
async function cutInTurn(_: undefined, worker: number): Promise<void> {
  while (left-- > 0) found[await cutPower(temp.file(`state ${worker}`), chance)]++;
}

try {
  await Promise.all(Array.from({ length: 4 }, () => undefined).map(cutInTurn));
} finally {
  temp.remove();
}
console.log(
  `${cuts} cuts, seed ${values.seed}: found the old file ${found.old} times, the new file ${found.new} times`,
);
