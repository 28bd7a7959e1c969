import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { openIdentity } from '../../src/state/identity_file.js';
import { programWords } from './build.js';
import { startChild } from './child_process.js';
import type { Mutator } from './mutate.js';

const [command, ...words] = programWords(new URL('./rewriting_program.ts', import.meta.url));

/**
 * Starts a process that rewrites the state file in `folder`, kills it at a random moment, and opens the file.
 *
 * @returns whether the interrupted save is in the file
 * @throws when the file is neither the old nor the new one, or cannot be opened
 */
export async function cutPower(folder: string, chance: Mutator): Promise<'old' | 'new'> {
  const child = startChild(command, [...words, folder]);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const after = 1 + chance.below(4);
  // Turns of the event loop, from one to far into the next rewrite, spread evenly over orders of magnitude.
  let turns = Math.floor(4 ** (chance.random() * 8));
  let saved = 0;
  const kill = (): void => {
    if (turns-- <= 0) child.kill('SIGKILL');
    else setImmediate(kill);
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    saved = Number(line);
    if (saved === after) kill();
  });
  await once(child, 'close');
  if (saved < after) throw new Error(`the process exited by itself: ${errors}`);
  const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
  const { access, identity } = opened;
  await opened.release();
  const number =
    typeof access === 'object' && access !== null && 'number' in access ? access.number : undefined;
  const isNew = number === saved + 1;
  if (identity === undefined || !(number === saved || isNew)) {
    throw new Error(`save ${saved} was complete, but the file holds ${String(number)}`);
  }
  return isNew ? 'new' : 'old';
}
