import { after, test } from 'node:test';
import { Mutator } from '../support/mutate.js';
import { cutPower } from '../support/power_cut.js';
import { TempFolder } from '../support/temp_folder.js';

const temp = new TempFolder();
after(() => temp.remove());

test('kill -9 at any moment of a rewrite leaves the old state or the new one', {
  timeout: 120_000,
}, async () => {
  // bench/power_cut.ts does this 500 times.
  const chance = new Mutator(7);
  for (let cut = 0; cut < 20; cut++) await cutPower(temp.file('state'), chance);
});
