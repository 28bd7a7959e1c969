/**
 * Runs the tests: `tsx test/run.ts [--skip-programs] [FOLDER|FILE ...]`; without names, all of them.
 *
 * Programs that the end-to-end tests talk to (sshd, a native toxcore …) come from Debian's
 * packages: root on Debian gets the missing ones here; elsewhere their tests are skipped and
 * say which program they miss.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { buildSources } from './support/build.js';
import { hasProgram, TEST_PROGRAMS } from './support/programs.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const testFolder = join(root, 'test');

/** Asked before a package's server is started; see invoke-rc.d(8). */
const NO_SERVERS = '/usr/sbin/policy-rc.d';

/**
 * Files at a time. The machines that run this have two cores, but the longest end-to-end tests wait
 * most of the time: for a patience, for a stranger to get no answer.
 */
const CONCURRENCY = 4;

/** Start first, in this order: files that take much longer than the others, so that none of them is left at the end. */
const LONGEST = [
  'e2e/tickets',
  'sim/tunnel_life',
  'e2e/life',
  'integration/tox_visitors',
  'e2e/nat',
  'sim/relay_switch',
];

/** Then folder by folder: those whose files take long first. */
const FOLDERS = ['e2e', 'sim', 'integration', 'property', 'contract', 'unit'];

function testFiles(names: readonly string[]): string[] {
  // test/package has a runner of its own.
  const folders = readdirSync(testFolder, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && entry.name !== 'package',
  );
  const all = folders.flatMap((folder) =>
    readdirSync(join(testFolder, folder.name))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => relative(root, join(testFolder, folder.name, name))),
  );
  return all
    .filter(
      (file) =>
        names.length === 0 || names.some((name) => file.split(/[\\/]/)[1] === name || file.includes(name)),
    )
    .sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/** Where a file stands in the order of the run. */
function place(file: string): number {
  const [, folder = '', name = ''] = file.split(/[\\/]/);
  const place = LONGEST.indexOf(`${folder}/${name.replace('.test.ts', '')}`);
  return place === -1 ? LONGEST.length + FOLDERS.indexOf(folder) : place;
}

function installPrograms(): void {
  const missing = TEST_PROGRAMS.filter((program) => !hasProgram(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => program.debianPackage))];
  const mayInstall =
    process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && process.env['TOX_WASM_NO_APT'] !== '1';
  if (!mayInstall) {
    console.error(
      `tests: without ${packages.join(', ')} (Debian packages) the tests that need them are skipped`,
    );
    return;
  }
  console.error(`tests: installing ${packages.join(', ')} by apt-get (TOX_WASM_NO_APT=1 forbids it)`);
  // A server that a package brings is for the tests alone: Debian's way to say that none is to be started.
  const startsServers = !existsSync(NO_SERVERS);
  if (startsServers) writeFileSync(NO_SERVERS, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const options = { stdio: ['ignore', 'ignore', 'inherit'] as ['ignore', 'ignore', 'inherit'] };
  try {
    execFileSync('apt-get', ['update', '-qq'], options);
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
      ...options,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch {
    console.error('tests: apt-get failed; the tests that need these programs are skipped');
  } finally {
    if (startsServers) rmSync(NO_SERVERS);
  }
}

const names = process.argv.slice(2).filter((word) => !word.startsWith('--'));
if (!process.argv.includes('--skip-programs')) installPrograms();

const files = testFiles(names);
if (files.length === 0) {
  console.error(`tests: no test file matches ${names.join(', ')}`);
  process.exit(2);
}
await buildSources(root);
// The files inherit this process's tsx.
run({ files: files.map((file) => join(root, file)), concurrency: CONCURRENCY })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);
