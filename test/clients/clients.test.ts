/**
 * Client libraries over a tunnel, each family of them in a process of its own: they work, they outlive the loss of the
 * far end, and they get an answer or an error for all their jobs when the tunnel closes.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../support/run_program.js';
import { FAMILIES } from './harness/families.js';

/** Time for one family. It takes less than a minute on two idle cores. */
const LIMIT_MS = 240_000;

const program = fileURLToPath(new URL('./harness/family_program.ts', import.meta.url));

describe('client libraries over a tunnel', { concurrency: true }, () => {
  for (const [family, load] of Object.entries(FAMILIES)) {
    test(`clients of the family ${family} work, recover with the far end, and leave no job open`, async () => {
      const { CLIENTS } = await load();
      const options = ['--unhandled-rejections=strict', '--import', 'tsx'];
      const finished = await runProgram(process.execPath, [...options, program, family], {
        limitMs: LIMIT_MS,
      });
      const expected = CLIENTS.flatMap(({ name, whenLost }) => [
        `${name} works: yes`,
        `${name} jobs when the far end was lost and came back: ${whenLost}`,
        `${name} works again: yes`,
        `${name} jobs when the tunnel closed: error`,
        `${name} jobs when the tunnel closed while the far end was lost: error`,
      ]);
      const lines = finished.stdout.trimEnd().split('\n');
      assert.deepEqual(
        { ...finished, stdout: lines.sort() },
        { exitCode: 0, stdout: expected.sort(), stderr: '' },
      );
    });
  }
});

test('the table of clients in the docs has exactly the ones that are tried here', async () => {
  const page = readFileSync(new URL('../../docs/how-to/node-programs.md', import.meta.url), 'utf8');
  const [, table = ''] = page.split('## Pass the tunnel to a client library');
  const [rows = ''] = table.split('\n## ');
  const documented = [...rows.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name);
  const families = await Promise.all(Object.values(FAMILIES).map(async (load) => await load()));
  assert.deepEqual(
    documented.sort(),
    families.flatMap(({ CLIENTS }) => CLIENTS.map(({ name }) => name)).sort(),
  );
});
