import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { EXIT } from '../../src/cli/process/exit_codes.js';
import { buildProgram } from '../../src/cli/program.js';
import { RETURN_CODES } from '../../src/core/return_codes.js';
import { cliReference } from '../../tools/cli_reference.js';

const program = await buildProgram();

const page = (name: string): string =>
  readFileSync(new URL(`../../docs/reference/${name}`, import.meta.url), 'utf8');

/** The text below a heading of the second level, up to the next one. */
const section = (text: string, heading: string): string =>
  text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';

const rows = (text: string): string[] =>
  text.split('\n').filter((line) => line.startsWith('| `') || /^\| \d/.test(line));

describe('docs/reference/command-line.md', () => {
  const written = page('command-line.md');

  test('matches the output of npm run reference', () => {
    assert.equal(written, cliReference(program));
  });

  test('has every option of every command below its name, and no other', () => {
    const shared = rows(section(written, 'Shared options')).map((row) => ({
      long: longOf(row),
      commands: row.split(' | ')[1] ?? '',
    }));
    for (const command of program.commands) {
      const name = command.name();
      const text = section(written, name);
      const own = rows(text)
        .filter((row) => /^\| `-/.test(row))
        .map(longOf);
      const listed = /\[Shared options\]\(#shared-options\): ([^.]*)\./.exec(text)?.[1] ?? '';
      const real = command.options.map(({ long }) => long ?? '').sort();
      assert.deepEqual([...own, ...[...listed.matchAll(/--[a-z-]+/g)].map(String)].sort(), real, name);
      for (const { long, commands } of shared) {
        const isTaker = commands === 'all' || commands.split(', ').includes(name);
        assert.equal(isTaker && !own.includes(long), listed.includes(`\`${long}\``), `${long} of ${name}`);
      }
    }
  });
});

describe('docs/reference/exit-codes.md', () => {
  test('has every exit code, and no other', () => {
    const documented = rows(section(page('exit-codes.md'), 'Exit codes')).map((row) =>
      Number(row.split('|')[1]),
    );
    assert.deepEqual(documented, Object.values(EXIT));
  });

  test('has every return code, and no other', () => {
    const documented = rows(section(page('exit-codes.md'), 'Return codes')).map((row) =>
      row.split('|')[1]?.trim(),
    );
    assert.deepEqual(documented, Object.keys(RETURN_CODES));
  });
});

describe('docs/reference/events.md', () => {
  test('has every event, and no other', () => {
    const source = readFileSync(new URL('../../src/cli/output/events.ts', import.meta.url), 'utf8');
    const real = [...source.matchAll(/event: ([^;]*);/g)].flatMap(([, names = '']) =>
      [...names.matchAll(/'([a-z]+)'/g)].map(([, name]) => name),
    );
    const [, ...documented] = rows(page('events.md')).map((row) => /`([a-z]+)`/.exec(row)?.[1]);
    assert.deepEqual(documented.sort(), real.sort());
  });
});

/** The long name of the option in the first column. */
function longOf(row: string): string {
  return /--[a-z-]+/.exec(row)?.[0] ?? '';
}
