/** The files that `npm run build` makes of the sources. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { bundleSources } from '../../tools/bundle_sources.js';
import { TempFolder } from '../support/temp_folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = new TempFolder();
after(() => folder.remove());
const files = new Map<string, string>();
before(async () => {
  await bundleSources(join(root, 'src'), folder.path);
  for (const name of readdirSync(folder.path, { recursive: true, encoding: 'utf8' }))
    if (/\.m?js$/.test(name)) files.set(name.replaceAll('\\', '/'), readFileSync(folder.file(name), 'utf8'));
});

/** The packages that package.json names. */
function packagesOf(kind: 'dependencies' | 'devDependencies'): string[] {
  // npm refuses a package.json in which these are anything else.
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    typeof kind,
    Readonly<Record<string, string>>
  >;
  return Object.keys(manifest[kind]);
}

/** What a file imports, except other files of the build. */
function importsOf(text: string): string[] {
  return ts
    .preProcessFile(text, true, true)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => !name.startsWith('.'));
}

const isBuiltin = (name: string): boolean => builtinModules.includes(name.replace(/^node:/, ''));

test('the build imports only packages that are installed with it', () => {
  const dependencies = packagesOf('dependencies');
  const unknown = [...files].flatMap(([file, text]) =>
    importsOf(text)
      .filter((name) => !isBuiltin(name) && !dependencies.some((one) => `${name}/`.startsWith(`${one}/`)))
      .map((name) => `${file}: ${name}`),
  );
  assert.deepEqual(unknown, []);
  assert.ok(importsOf(files.get('index.js') ?? '').length > 0);
});

test('the build names no package of development: bundlers would look for it', () => {
  const development = packagesOf('devDependencies');
  for (const [file, text] of files)
    for (const name of development)
      assert.ok(!new RegExp(`["'\`]${name}["'\`/]`).test(text), `${file} names ${name}`);
});

test('the worker is one file that imports nothing but Node, so that it runs wherever it is copied to', () => {
  const worker = files.get('worker/main.mjs') ?? '';
  assert.ok(importsOf(worker).includes('node:worker_threads'));
  assert.deepEqual(
    importsOf(worker).filter((name) => !isBuiltin(name)),
    [],
  );
  assert.doesNotMatch(worker, /\bimport\s*\.\s*meta\b/, 'a bundle in CommonJS has none');
});

test('bundlers see the references to the worker and the wasm', () => {
  const text = files.get('bridge/package_files.js') ?? '';
  for (const file of ['../worker/main.mjs', '../../wasm/dist/tox.wasm'])
    assert.match(text, new RegExp(String.raw`new URL\("${file}",\s*import\s*\.\s*meta\s*\.\s*url\)`));
});
