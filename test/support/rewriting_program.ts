/**
 * A process that rewrites a state file without end, for the power-cut test: `rewriting_program.ts
 * FOLDER`. Each save holds the next number; when one is done its number is said in a line.
 */
import { writeSync } from 'node:fs';
import { createIdentity } from '../../src/state/identity.js';
import { openIdentity } from '../../src/state/identity_file.js';

const [folder = ''] = process.argv.slice(2);
const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
const identity = opened.identity ?? createIdentity();
// Several blocks of a disk, so that half a file could be seen.
const padding = 'x'.repeat(20_000);
for (let number = 1; ; number++) {
  await opened.save(identity, { number, padding });
  writeSync(1, `${number}\n`);
}
