/**
 * Runs the tests: `tsx test/run.ts [--skip-programs] [FOLDER|FILE ...]`; without names, all of them.
 *
 * The programs that the end-to-end tests use (sshd, a native toxcore …) come from Debian packages. As
 * root on Debian, this script installs the missing ones; elsewhere their tests are skipped with a message
 * that names the missing program.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildSources, builtTest } from './support/build.js';
import { hasProgram, TEST_PROGRAMS } from './support/programs.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const testFolder = join(root, 'test');

/** Debian runs this script before it starts a server from a package; see invoke-rc.d(8). */
const NO_SERVERS = '/usr/sbin/policy-rc.d';

/**
 * Number of test files that run at once. CI machines have two cores, but the longest end-to-end tests
 * spend most of their time waiting.
 */
const CONCURRENCY = 4;

/** The files that take longest. They start first, in this order, so that none runs by itself at the end. */
const LONGEST = [
  'e2e/nat',
  'e2e/tickets',
  'e2e/life',
  'integration/tox_visitors',
  'e2e/native',
  'e2e/streams',
];

/** The order of the other files: folders with long tests first. */
const FOLDERS = ['e2e', 'sim', 'integration', 'property', 'contract', 'unit'];

/** Folders whose tests have a runner of their own: test/package.ts and test/clients.ts. */
const OWN_RUNNERS = ['package', 'clients'];

function testFiles(names: readonly string[]): string[] {
  const folders = readdirSync(testFolder, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && !OWN_RUNNERS.includes(entry.name),
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

/** The position of a file in the order of the run. */
function place(file: string): number {
  const [, folder = '', name = ''] = file.split(/[\\/]/);
  const place = LONGEST.indexOf(`${folder}/${name.replace('.test.ts', '')}`);
  return place === -1 ? LONGEST.length + FOLDERS.indexOf(folder) : place;
}

/**
 * Time for one process of tests. Each takes less than 3 minutes on a busy machine with two cores; one that
 * hangs must fail under its name, not keep the whole run.
 */
const PROCESS_LIMIT_MS = 15 * 60_000;

/** Number of pure test files that share a process: starting one costs more than most of their tests. */
const GROUP_FILES = 10;

/**
 * The end of each process. A socket or program that a test left, often one that failed, would keep its process, and so
 * the whole run, for good; this names what is open and ends the process.
 */
const END = `
import { after } from 'node:test';
after(() => {
  const end = () => {
    console.error('tests: this process stays alive after its last test:', process.getActiveResourcesInfo());
    process.exit();
  };
  setTimeout(end, 30_000).unref();
});
`;

/** Hooks at the top level of a file would run for the other files of its group too. */
const TOP_LEVEL_HOOK = /^(before|after|beforeEach|afterEach)\(/m;

function isPure(file: string): boolean {
  return /^test.(unit|property|contract)\b/.test(file) && !TOP_LEVEL_HOOK.test(readFileSync(file, 'utf8'));
}

/**
 * Replaces the test files by others that import them: several pure ones, or one that starts programs or takes long.
 *
 * @returns absolute paths. The files last as long as this process
 */
function grouped(files: readonly string[]): string[] {
  const pure = new Set(files.filter(isPure));
  const folder = mkdtempSync(join(tmpdir(), 'tox-wasm-tunnel-tests-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  // Neighbours test the same subject and take equally long, so each group gets every nth file.
  const count = Math.ceil(pure.size / GROUP_FILES);
  const groups = Array.from({ length: count }, (_, group) =>
    [...pure].filter((_, at) => at % count === group),
  );
  return [...files.filter((file) => !pure.has(file)).map((file) => [file]), ...groups].map((group, at) => {
    const [first = ''] = group;
    const name =
      group.length === 1 ? first.replace(/^test.|\.test\.ts$/g, '').replace(/\W/, '_') : `group_${at}`;
    const path = join(folder, `${name}.test.mjs`);
    const imports = group.map((file) => `import ${JSON.stringify(pathToFileURL(builtFile(file)).href)};\n`);
    writeFileSync(path, imports.join('') + END);
    return path;
  });
}

function builtFile(file: string): string {
  const path = builtTest(file);
  if (path === undefined) throw new Error('no build');
  return path;
}

function installPrograms(): void {
  const missing = TEST_PROGRAMS.filter((program) => !hasProgram(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => program.debianPackage))];
  const mayInstall =
    process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && process.env['TOX_WASM_NO_APT'] !== '1';
  if (!mayInstall) {
    console.error(
      `tests: skipping the tests that need ${packages.join(', ')}; install these Debian packages to run them`,
    );
    return;
  }
  console.error(
    `tests: installing ${packages.join(', ')} with apt-get (set TOX_WASM_NO_APT=1 to prevent this)`,
  );
  // Only the tests use the servers from packages, so tell Debian not to start any.
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
    console.error('tests: apt-get failed; skipping the tests that need these programs');
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
await buildSources();
// The files would inherit this process's tsx, which takes half a second each time.
process.execArgv = ['--enable-source-maps'];
run({ files: grouped(files), concurrency: CONCURRENCY, timeout: PROCESS_LIMIT_MS })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  // A program that outlived its test holds the pipes of that test, and with them this process.
  .on('end', () => process.exit())
  .pipe(process.stdout);
