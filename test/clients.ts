/**
 * `npm run test:clients [-- FAMILY…]`: runs client libraries from npm over the tunnel; test/clients/harness/families.ts
 * lists the families. They are packages of their own in test/clients, which this installs when they are missing. `npm
 * test` skips these tests, because they need the npm registry.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const clients = join(root, 'test', 'clients');
/** The lock file of what is installed. */
const installed = join(clients, 'node_modules', '.installed-lock.json');
const lock = readFileSync(join(clients, 'package-lock.json'), 'utf8');

if (!existsSync(installed) || readFileSync(installed, 'utf8') !== lock) {
  // npm sets this for its scripts. Run by its file, because on Windows `npm` itself is not an executable.
  const npm = process.env['npm_execpath'];
  if (npm === undefined) {
    process.stderr.write('clients: run this with npm run test:clients\n');
    process.exit(2);
  }
  const args = [npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  execFileSync(process.execPath, args, { cwd: clients, stdio: 'inherit' });
  writeFileSync(installed, lock);
}
if (!existsSync(join(root, 'wasm', 'dist', 'tox.wasm'))) {
  process.stderr.write('clients: wasm/dist/tox.wasm is missing; build it with npm run wasm\n');
  process.exit(2);
}

async function run(...args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  await once(child, 'exit');
  return child.exitCode === 0;
}

const names = process.argv.slice(2).flatMap((name) => ['--test-name-pattern', name]);
const tests = join(clients, 'clients.test.ts');
const results = await Promise.all([
  // The linters of the root cannot check these types without the packages.
  run(join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--noEmit', '-p', clients),
  run('--import', 'tsx', '--test', '--test-reporter=spec', ...names, tests),
]);
process.exitCode = results.every(Boolean) ? 0 : 1;
