/**
 * Programs bundled by the bundlers that docs/how-to/node-programs.md names. What each has built is moved to another
 * folder, and the project is deleted, before it runs. npm gets the bundlers.
 */
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { build } from 'esbuild';
import { installedPackage } from '../support/installed_package.js';
import { NpmTools } from '../support/npm_tools.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const LINE = { exitCode: 0, stdout: 'a line through the tunnel\n', stderr: '' };

const { user } = installedPackage();
const folder = new TempFolder();
const tools = new NpmTools(folder);
after(() => folder.remove());

/** A copy of the folder with the installed package and the programs. */
function project(name: string): string {
  const copy = folder.file(`${name} project`);
  cpSync(user, copy, { recursive: true });
  return copy;
}

/** Puts what a bundler has built into a folder of its own, and deletes the project. */
function moved(from: string, built: string): string {
  const to = folder.file(`moved ${readdirSync(folder.path).length} #%41 ü`);
  renameSync(join(from, built), to);
  rmSync(from, { recursive: true });
  return to;
}

/** Copies the worker and the wasm next to a bundle: the recipe for bundlers that leave references as they are. */
function copyFiles(from: string, to: string): void {
  const own = join(from, 'node_modules/tox-wasm-tunnel');
  copyFileSync(join(own, 'dist/worker/main.mjs'), join(to, 'tox-wasm-tunnel-worker.mjs'));
  copyFileSync(join(own, 'wasm/dist/tox.wasm'), join(to, 'tox.wasm'));
}

/** Runs a script that uses a bundler's API, with the project as its current folder. */
async function bundled(tool: string, from: string, script: string): Promise<void> {
  const file = join(tool, `${readdirSync(tool).length}.mjs`);
  writeFileSync(file, script);
  const { exitCode, stdout, stderr } = await runProgram(process.execPath, [file], { cwd: from });
  assert.equal(exitCode, 0, `${stdout}${stderr}`);
}

describe('bundled and moved elsewhere', () => {
  before(() =>
    tools.install(
      ['webpack@5'],
      ['@rspack/core@1'],
      ['rollup@4', '@rollup/plugin-node-resolve@16'],
      ['vite@6'],
      ['@vercel/nft@0.29'],
    ),
  );

  for (const [name, module] of [
    ['webpack@5', 'webpack'],
    ['@rspack/core@1', '@rspack/core'],
  ] as const) {
    for (const [format, more] of [
      ['CommonJS', "output: { path, filename: 'server.cjs' }"],
      [
        'ES modules',
        "output: { path, filename: 'server.mjs', module: true, chunkFormat: 'module' }, experiments: { outputModule: true }",
      ],
    ] as const) {
      test(`${name} to ${format} takes the worker and the wasm along without any configuration`, async (context) => {
        const tool = tools.folderOf(name, context);
        if (tool === undefined) return;
        const from = project(`${module.replace(/\W/g, '')} ${format}`);
        await bundled(
          tool,
          from,
          `import * as all from ${JSON.stringify(module)};
          const bundle = all.rspack ?? all.default;
          const path = process.cwd() + '/out';
          bundle({ mode: 'production', target: 'node', entry: './main.mjs', context: process.cwd(), ${more} }, (error, stats) => {
            if (error || stats.hasErrors() || stats.hasWarnings()) throw error ?? new Error(stats.toString());
          });`,
        );
        const out = moved(from, 'out');
        const server = join(out, format === 'CommonJS' ? 'server.cjs' : 'server.mjs');
        assert.deepEqual(await runProgram(process.execPath, [server], { cwd: out }), LINE);
      });
    }
  }

  for (const [format, extension] of [
    ['es', 'mjs'],
    ['cjs', 'cjs'],
  ] as const) {
    test(`rollup to ${format}, with the two files copied next to it`, async (context) => {
      const tool = tools.folderOf('rollup@4', context);
      if (tool === undefined) return;
      const from = project(`rollup ${format}`);
      await bundled(
        tool,
        from,
        `import { rollup } from 'rollup';
        import resolve from '@rollup/plugin-node-resolve';
        const bundle = await rollup({ input: { server: 'main.mjs' }, plugins: [resolve({ exportConditions: ['node'] })], external: /^node:/, onwarn: () => {} });
        await bundle.write({ dir: 'out', format: '${format}', entryFileNames: '[name].${extension}', chunkFileNames: 'parts/[name]-[hash].${extension}' });`,
      );
      copyFiles(from, join(from, 'out'));
      const out = moved(from, 'out');
      assert.deepEqual(await runProgram(process.execPath, [join(out, `server.${extension}`)]), LINE);
    });
  }

  test('vite for a server, with its default names and the worker as a second entry', async (context) => {
    const tool = tools.folderOf('vite@6', context);
    if (tool === undefined) return;
    const from = project('vite');
    await bundled(
      tool,
      from,
      `import { build } from 'vite';
      await build({
        logLevel: 'error', configFile: false, root: process.cwd(), ssr: { noExternal: true },
        build: { ssr: true, outDir: 'out', rollupOptions: { input: { server: 'main.mjs', 'tox-wasm-tunnel-worker': 'tox-wasm-tunnel/worker' } } },
      });`,
    );
    copyFileSync(join(from, 'node_modules/tox-wasm-tunnel/wasm/dist/tox.wasm'), join(from, 'out/tox.wasm'));
    writeFileSync(join(from, 'out/package.json'), '{ "type": "module" }\n');
    const out = moved(from, 'out');
    const server = readdirSync(out).find((name) => name.startsWith('server.')) ?? '';
    assert.deepEqual(await runProgram(process.execPath, [join(out, server)]), LINE);
  });

  test('the tracer of Next finds every file that a standalone output needs', async (context) => {
    const tool = tools.folderOf('@vercel/nft@0.29', context);
    if (tool === undefined) return;
    const from = project('nft');
    await bundled(
      tool,
      from,
      `import { cpSync } from 'node:fs';
      import { nodeFileTrace } from '@vercel/nft';
      const { fileList } = await nodeFileTrace(['main.mjs'], { base: process.cwd() });
      for (const file of fileList) cpSync(file, 'out/' + file);`,
    );
    const out = moved(from, 'out');
    assert.deepEqual(await runProgram(process.execPath, [join(out, 'main.mjs')]), LINE);
  });

  test('esbuild to CommonJS for an old target, with the two files copied next to it', async () => {
    const from = project('esbuild');
    const { warnings } = await build({
      absWorkingDir: from,
      entryPoints: { server: './main.mjs' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'es2020',
      outdir: 'out',
      outExtension: { '.js': '.cjs' },
      logLevel: 'silent',
    });
    assert.deepEqual(warnings, []);
    copyFiles(from, join(from, 'out'));
    const out = moved(from, 'out');
    assert.deepEqual(await runProgram(process.execPath, [join(out, 'server.cjs')]), LINE);
  });

  test('esbuild to CommonJS, with both in other places, when the program names them', async () => {
    const from = project('esbuild-named');
    await build({
      absWorkingDir: from,
      entryPoints: { server: './named_files.cjs', 'parts/thread': 'tox-wasm-tunnel/worker' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      outdir: 'out',
      outExtension: { '.js': '.cjs' },
      logLevel: 'silent',
    });
    copyFileSync(join(from, 'node_modules/tox-wasm-tunnel/wasm/dist/tox.wasm'), join(from, 'out/parts/tox'));
    const out = moved(from, 'out');
    assert.deepEqual(await runProgram(process.execPath, [join(out, 'server.cjs')]), LINE);
  });
});
