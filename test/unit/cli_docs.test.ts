import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { EXIT } from '../../src/cli/process/exit_codes.js';
import { buildProgram } from '../../src/cli/program.js';
import { RETURN_CODES } from '../../src/core/return_codes.js';

const docs = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
const program = await buildProgram();

const rows = (heading: string): string[] => {
  const section = docs.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return section.split('\n').filter((line) => line.startsWith('| `') || /^\| \d/.test(line));
};

describe('docs/cli.md', () => {
  test('has every option with the commands that take it, and no other', () => {
    const documented = rows('Options').map((row) => {
      const [, flags = '', commands = ''] = row.split('|');
      return `${/--[a-z-]+/.exec(flags)?.[0]} ${commands.trim()}`;
    });
    const names = program.commands.map((command) => command.name());
    const takers = new Map<string, string[]>();
    for (const command of program.commands) {
      for (const { long } of command.options)
        takers.set(long ?? '', [...(takers.get(long ?? '') ?? []), command.name()]);
    }
    const real = [...takers].map(
      ([long, of]) => `${long} ${of.length === names.length ? 'all' : of.join(', ')}`,
    );
    assert.deepEqual(documented.sort(), [...real, '--version '].sort());
  });

  test('has every exit code, and no other', () => {
    const documented = rows('Exit codes').map((row) => Number(row.split('|')[1]));
    assert.deepEqual(documented, Object.values(EXIT));
  });

  test('has every event, and no other', async () => {
    const source = await readFile(new URL('../../src/cli/output/events.ts', import.meta.url), 'utf8');
    const real = [...source.matchAll(/event: ([^;]*);/g)].flatMap(([, names = '']) =>
      [...names.matchAll(/'([a-z]+)'/g)].map(([, name]) => name),
    );
    const [, ...documented] = rows('Events').map((row) => /`([a-z]+)`/.exec(row)?.[1]);
    assert.deepEqual(documented.sort(), real.sort());
  });

  test('has every return code', () => {
    for (const code of Object.keys(RETURN_CODES)) assert.match(docs, new RegExp(`\\b${code}\\b`));
  });
});
