/** A program bundled into one file, with the worker and the wasm next to it and no node_modules. */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { build } from 'esbuild';
import { installedPackage } from '../support/installed_package.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const LINE = { exitCode: 0, stdout: 'a line through the tunnel\n', stderr: '' };

const { user, nodes } = installedPackage();
const folder = new TempFolder();
after(() => folder.remove());

/** The commands of docs/how-to/node-programs.md. */
async function bundle(out: string, entryPoints: Readonly<Record<string, string>>): Promise<void> {
  const { warnings } = await build({
    absWorkingDir: user,
    entryPoints,
    bundle: true,
    platform: 'node',
    format: 'esm',
    outdir: out,
    outExtension: { '.js': '.mjs' },
    logLevel: 'silent',
  });
  assert.deepEqual(warnings, []);
}

function copyWasm(to: string): void {
  copyFileSync(join(user, 'node_modules/tox-wasm-tunnel/wasm/dist/tox.wasm'), to);
}

describe('bundled by esbuild', { concurrency: true }, () => {
  test('with the worker and the wasm next to it, it runs on every Node', async () => {
    const out = folder.file('beside');
    await bundle(out, { server: './main.mjs', 'tox-wasm-tunnel-worker': 'tox-wasm-tunnel/worker' });
    copyWasm(join(out, 'tox.wasm'));
    assert.deepEqual(readdirSync(out).sort(), ['server.mjs', 'tox-wasm-tunnel-worker.mjs', 'tox.wasm']);
    for (const { execPath } of nodes) {
      assert.deepEqual(await runProgram(execPath, [join(out, 'server.mjs')]), LINE);
    }
  });

  test('with both in other places, it runs when the program names them', async () => {
    const out = folder.file('named');
    await bundle(out, { server: './named_files.mjs', 'parts/thread': 'tox-wasm-tunnel/worker' });
    copyWasm(join(out, 'parts', 'tox'));
    assert.deepEqual(await runProgram(process.execPath, [join(out, 'server.mjs')]), LINE);
  });

  test('without the worker, or without the wasm, the error names the missing file', async () => {
    const out = folder.file('bare');
    await bundle(out, { server: './main.mjs' });
    const noWorker = await runProgram(process.execPath, [join(out, 'server.mjs')]);
    assert.equal(noWorker.exitCode, 1);
    assert.match(noWorker.stderr, /tox-wasm-tunnel-worker\.mjs/);
    await bundle(out, { 'tox-wasm-tunnel-worker': 'tox-wasm-tunnel/worker' });
    const noWasm = await runProgram(process.execPath, [join(out, 'server.mjs')]);
    assert.equal(noWasm.exitCode, 1);
    assert.match(noWasm.stderr, /bare\/tox\.wasm cannot be read: .*docs\/how-to\/node-programs\.md/);
  });
});
