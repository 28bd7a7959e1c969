/**
 * A process that rewrites a state file forever, for the power-cut test: `rewriting_program.ts FOLDER`. Each
 * save holds the next number; after each save the process prints the number in a line.
 */
import { writeSync } from 'node:fs';
import { createIdentity } from '../../src/state/identity.js';
import { openIdentity } from '../../src/state/identity_file.js';

const [folder = ''] = process.argv.slice(2);
const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
const identity = opened.identity ?? createIdentity();
// Several disk blocks long, so that half a file would show.
const padding = 'x'.repeat(20_000);
for (let number = 1; ; number++) {
  await opened.save(identity, { number, padding });
  writeSync(1, `${number}\n`);
}
