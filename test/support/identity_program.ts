/**
 * A process that uses an identity, for tests: `identity_program.ts WHAT FOLDER ROLE`. It reports the result
 * to its parent in one line, and lives until its standard input ends. WHAT is `open`, `ephemeral` or `race`
 * (prints "ready" and waits for a line, so that several open at the same moment).
 */
import { createIdentity } from '../../src/state/identity.js';
import type { Role } from '../../src/state/identity_file.js';
import { openIdentity } from '../../src/state/identity_file.js';

const [what = '', folder = '', role = ''] = process.argv.slice(2);

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const inputEnded = new Promise<void>((resolve) => {
  process.stdin.on('end', resolve).resume();
});

async function open(onBusy: 'fail' | 'ephemeral'): Promise<void> {
  try {
    // Tests start this only with one of the three roles.
    const opened = await openIdentity({ folder, role: role as Role, onBusy });
    if (opened.identity === undefined) await opened.save(createIdentity());
    say(opened.ephemeral ? 'ephemeral' : 'held');
    await inputEnded;
    await opened.release();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

if (what === 'race') {
  say('ready');
  await new Promise<void>((resolve) => {
    process.stdin.once('data', () => resolve());
  });
}
await open(what === 'ephemeral' ? 'ephemeral' : 'fail');
