/**
 * The same program in other runtimes and forms: Bun, Deno, and single executable applications. npm gets the runtimes,
 * as the packages with their binaries for Linux on x64.
 */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { build } from 'esbuild';
import { installedPackage } from '../support/installed_package.js';
import { NpmTools } from '../support/npm_tools.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const LINE = { exitCode: 0, stdout: 'a line through the tunnel\n', stderr: '' };
const BUN = '@oven/bun-linux-x64@1';
const DENO = '@deno/linux-x64-glibc@2';
const POSTJECT = 'postject@1.0.0-alpha.6';
/** The name by which Node looks for a program in its own executable, and the mark that it searches for. */
const SEA_FUSE = ['NODE_SEA_BLOB', '--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'];

const { user, nodes } = installedPackage();
const folder = new TempFolder();
after(() => folder.remove());
const tools = new NpmTools(folder);

/** A new folder with a copy of the installed package and the programs. */
function project(name: string): string {
  const copy = folder.file(name);
  cpSync(user, copy, { recursive: true });
  return copy;
}

function copyFiles(to: string, worker: string): void {
  const own = join(user, 'node_modules/tox-wasm-tunnel');
  copyFileSync(join(own, 'dist/worker/main.mjs'), join(to, worker));
  copyFileSync(join(own, 'wasm/dist/tox.wasm'), join(to, 'tox.wasm'));
}

function bunOf(context: TestContext): string | undefined {
  const tool = tools.folderOf(BUN, context);
  return tool && join(tool, 'node_modules/@oven/bun-linux-x64/bin/bun');
}

/** Runs a command that must print nothing of its own that matters. */
async function succeeded(finished: Promise<Finished>): Promise<void> {
  const { exitCode, stdout, stderr } = await finished;
  assert.equal(exitCode, 0, stdout + stderr);
}

describe('other runtimes', () => {
  before(() => tools.install([BUN], [DENO], [POSTJECT]));

  test('Bun runs the program', async (context) => {
    const bun = bunOf(context);
    if (bun === undefined) return;
    assert.deepEqual(await runProgram(bun, ['main.mjs'], { cwd: user }), LINE);
  });

  test('Deno runs the program', async (context) => {
    const tool = tools.folderOf(DENO, context);
    if (tool === undefined) return;
    const deno = join(tool, 'node_modules/@deno/linux-x64-glibc/deno');
    const env = { ...process.env, DENO_NO_UPDATE_CHECK: '1', DENO_DIR: folder.file('deno') };
    assert.deepEqual(await runProgram(deno, ['run', '--allow-all', 'main.mjs'], { cwd: user, env }), LINE);
  });

  test('bun build, with the two files copied next to the bundle, which runs in Node and in Bun', async (context) => {
    const bun = bunOf(context);
    if (bun === undefined) return;
    const from = project('bun-build');
    await succeeded(runProgram(bun, ['build', 'main.mjs', '--target=node', '--outdir=out'], { cwd: from }));
    const out = join(from, 'out');
    writeFileSync(join(out, 'package.json'), '{ "type": "module" }\n');
    copyFiles(out, 'tox-wasm-tunnel-worker.mjs');
    for (const command of [process.execPath, bun])
      assert.deepEqual(await runProgram(command, [join(out, 'main.js')], { cwd: folder.path }), LINE);
  });

  test('bun build --compile, when the program names the two files', async (context) => {
    const bun = bunOf(context);
    if (bun === undefined) return;
    const from = project('bun-compile');
    const out = folder.file('bun-compiled');
    mkdirSync(out);
    const args = ['build', '--compile', 'beside_executable.cjs', '--outfile', join(out, 'server')];
    await succeeded(runProgram(bun, args, { cwd: from }));
    copyFiles(out, 'thread.mjs');
    assert.deepEqual(await runProgram(join(out, 'server'), [], { cwd: folder.path }), LINE);
  });

  for (const { version, execPath } of nodes) {
    test(`a single executable application of Node ${version}, when the program names the two files`, async (context) => {
      const tool = tools.folderOf(POSTJECT, context);
      if (tool === undefined) return;
      if (process.platform !== 'linux') {
        context.skip('the executables of other systems must be signed');
        return;
      }
      const out = folder.file(`sea-${version}`);
      await build({
        absWorkingDir: user,
        entryPoints: ['./beside_executable.cjs'],
        bundle: true,
        platform: 'node',
        format: 'cjs',
        outfile: join(out, 'main.cjs'),
        logLevel: 'silent',
      });
      const config = { main: 'main.cjs', output: 'blob', disableExperimentalSEAWarning: true };
      writeFileSync(join(out, 'sea.json'), JSON.stringify(config));
      await succeeded(runProgram(execPath, ['--experimental-sea-config', 'sea.json'], { cwd: out }));
      const app = join(out, 'app');
      copyFileSync(execPath, app);
      chmodSync(app, 0o755);
      const [name = '', ...fuse] = SEA_FUSE;
      const postject = join(tool, 'node_modules/postject/dist/cli.js');
      await succeeded(runProgram(process.execPath, [postject, app, name, join(out, 'blob'), ...fuse]));
      copyFiles(out, 'thread.mjs');
      assert.deepEqual(await runProgram(app, [], { cwd: folder.path }), LINE);
    });
  }
});
