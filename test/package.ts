/**
 * `npm run test:package [FILE…]`: what npm would publish, tried as its users get it: packed,
 * installed into an empty folder, and run there on each Node that is supported. The tests are in
 * test/package; `npm test` leaves them out, because they need npm's registry for the dependencies
 * and for the Nodes that this is not.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { INSTALLED_PACKAGE, type InstalledPackage, type TriedNode } from './support/installed_package.js';
import { TempFolder } from './support/temp_folder.js';

/** The release lines of Node that the package is for. */
const MAJORS = [20, 22, 24];

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = join(root, 'test', 'package');

// npm sets it for its scripts. It is run by its file: on Windows `npm` itself is no program.
const npm = process.env['npm_execpath'];
if (npm === undefined) {
  process.stderr.write('package: to be run by npm: npm run test:package\n');
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

if (!existsSync(join(root, 'wasm', 'dist', 'tox.wasm'))) {
  process.stderr.write('package: wasm/dist/tox.wasm is missing: npm run wasm builds it\n');
  process.exit(2);
}
// What npm would run by itself before it packs, without the wasm: where that comes from elsewhere
// (macOS and Windows in CI) there is no compiler for it.
for (const args of [
  ['run', '--silent', 'build'],
  ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder.path],
]) {
  execFileSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
}
const tarball = readdirSync(folder.path).find((name) => name.endsWith('.tgz'));
if (tarball === undefined) throw new Error('npm pack made no tarball');
say(`packed as ${tarball}`);

const user = folder.file('user');
mkdirSync(user);
writeFileSync(join(user, 'package.json'), '{ "private": true }\n');
execFileSync(
  process.execPath,
  [npm, 'install', '--silent', '--no-audit', '--no-fund', folder.file(tarball)],
  {
    cwd: user,
    stdio: 'inherit',
  },
);
cpSync(join(tests, 'programs'), user, { recursive: true });

const nodes: TriedNode[] = [];
for (const major of MAJORS) {
  const node = nodeOf(major);
  if (node === undefined) say(`Node ${major} is not tried: npm cannot get the package node@${major} here`);
  else nodes.push(node);
}
say(`installed, to be tried on Node ${nodes.map(({ version }) => version).join(', ')}`);

const installed: InstalledPackage = { tarball: folder.file(tarball), user, nodes, npx };
const names = process.argv.slice(2);
const files = readdirSync(tests)
  .filter((name) => name.endsWith('.test.ts') && (names.length === 0 || names.some((n) => name.includes(n))))
  .map((name) => join(tests, name));
const runner = spawn(
  process.execPath,
  ['--import', 'tsx', '--test', '--test-concurrency=2', '--test-reporter=spec', ...files],
  { cwd: root, stdio: 'inherit', env: { ...process.env, [INSTALLED_PACKAGE]: JSON.stringify(installed) } },
);
runner.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
