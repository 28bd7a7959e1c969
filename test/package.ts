/**
 * `npm run test:package [-- [--tarball TARBALL] FILE…]`: tests the package as users get it from npm. Packs it,
 * or takes a tarball that is already packed, installs it into an empty folder, and runs it there on each
 * supported Node. The tests are in test/package; `npm test` skips them, because they need the npm registry
 * for the dependencies and for the other versions of Node. Those in `BY_NAME` run only when a FILE names them.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { INSTALLED_PACKAGE, type InstalledPackage, type TriedNode } from './support/installed_package.js';
import { TempFolder } from './support/temp_folder.js';

/** The supported release lines of Node. */
const MAJORS = [20, 22, 24];

/** Tests that take minutes. */
const BY_NAME = ['next.test.ts', 'runtimes.test.ts'];

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = join(root, 'test', 'package');

// npm sets this for its scripts. Run by its file, because on Windows `npm` itself is not an executable.
const npm = process.env['npm_execpath'];
if (npm === undefined) {
  process.stderr.write('package: run this with npm run test:package\n');
  process.exit(2);
}
const npx = join(dirname(npm), 'npx-cli.js');

function say(text: string): void {
  process.stdout.write(`package: ${text}\n`);
}

function nodeOf(major: number): TriedNode | undefined {
  if (process.versions.node.split('.')[0] === String(major))
    return { version: process.version, execPath: process.execPath };
  try {
    const print = "process.stdout.write(process.version + ' ' + process.execPath)";
    const args = [npx, '--yes', '--package', `node@${major}`, '--', 'node', '-e', print];
    const printed = execFileSync(process.execPath, args, { cwd: folder.path, encoding: 'utf8' });
    const space = printed.indexOf(' ');
    return { version: printed.slice(0, space), execPath: printed.slice(space + 1) };
  } catch {
    return undefined;
  }
}

const folder = new TempFolder();
process.on('exit', () => folder.remove());

/** Packs the package into the temporary folder. */
function pack(npm: string): string {
  if (!existsSync(join(root, 'wasm', 'dist', 'tox.wasm'))) {
    process.stderr.write('package: wasm/dist/tox.wasm is missing; build it with npm run wasm\n');
    process.exit(2);
  }
  // The steps that npm runs before it packs, without building the wasm: in CI on macOS and Windows it
  // comes from another job, and there is no compiler for it.
  for (const args of [
    ['run', '--silent', 'build'],
    ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder.path],
  ]) {
    execFileSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const name = readdirSync(folder.path).find((entry) => entry.endsWith('.tgz'));
  if (name === undefined) throw new Error('npm pack created no tarball');
  say(`packed as ${name}`);
  return folder.file(name);
}

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { tarball: { type: 'string' } },
});
const tarball = values.tarball === undefined ? pack(npm) : resolve(values.tarball);

const user = folder.file('user');
mkdirSync(user);
writeFileSync(join(user, 'package.json'), '{ "private": true }\n');
execFileSync(process.execPath, [npm, 'install', '--silent', '--no-audit', '--no-fund', tarball], {
  cwd: user,
  stdio: 'inherit',
});
cpSync(join(tests, 'programs'), user, { recursive: true });

const nodes: TriedNode[] = [];
for (const major of MAJORS) {
  const node = nodeOf(major);
  if (node === undefined) say(`skipping Node ${major}: npm cannot get the package node@${major} here`);
  else nodes.push(node);
}
say(`installed; testing on Node ${nodes.map(({ version }) => version).join(', ')}`);

const installed: InstalledPackage = { tarball, user, nodes, npx };
const files = readdirSync(tests)
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => (names.length === 0 ? !BY_NAME.includes(name) : names.some((n) => name.includes(n))))
  .map((name) => join(tests, name));
const runner = spawn(
  process.execPath,
  ['--import', 'tsx', '--test', '--test-concurrency=2', '--test-reporter=spec', ...files],
  { cwd: root, stdio: 'inherit', env: { ...process.env, [INSTALLED_PACKAGE]: JSON.stringify(installed) } },
);
runner.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
