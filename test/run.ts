/**
 * Runs the tests: `tsx test/run.ts [--skip-programs] [FOLDER|FILE ...]`; without names, all of them.
 *
 * Programs that the end-to-end tests talk to (sshd, a native toxcore …) come from Debian's
 * packages: root on Debian gets the missing ones here; elsewhere their tests are skipped and
 * say which program they miss.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasProgram, TEST_PROGRAMS } from './support/programs.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const testFolder = join(root, 'test');

/** Asked before a package's server is started; see invoke-rc.d(8). */
const NO_SERVERS = '/usr/sbin/policy-rc.d';

/** Two files at a time: the machines this runs on have two cores, and the end-to-end tests start processes. */
const CONCURRENCY = 2;

function testFiles(names: readonly string[]): string[] {
  const folders = readdirSync(testFolder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const all = folders.flatMap((folder) =>
    readdirSync(join(testFolder, folder.name))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => relative(root, join(testFolder, folder.name, name))),
  );
  if (names.length === 0) return all.sort();
  return all
    .filter((file) => names.some((name) => file.split(/[\\/]/)[1] === name || file.includes(name)))
    .sort();
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
const runner = spawn(
  process.execPath,
  ['--import', 'tsx', '--test', `--test-concurrency=${CONCURRENCY}`, '--test-reporter=spec', ...files],
  { cwd: root, stdio: 'inherit' },
);
runner.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
