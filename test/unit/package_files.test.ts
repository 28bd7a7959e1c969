import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type CodePlace, wasmFile, workerFile } from '../../src/bridge/package_files.js';
import { TempFolder } from '../support/temp_folder.js';

const folder = new TempFolder();
after(() => folder.remove());
/** Odd characters, which a URL and a path write differently. */
const app = pathToFileURL(`${folder.file('a b#c%d ü')}/`);
mkdirSync(new URL('out/parts/', app), { recursive: true });

const at = (path: string): URL => new URL(path, app);

/** Code at `own` whose references are as they were written. */
function placeAt(path: string): CodePlace {
  const own = at(path);
  const files = {
    worker: new URL('../worker/main.mjs', own),
    wasm: new URL('../../wasm/dist/tox.wasm', own),
  };
  return { own, files };
}

test('in the package, the worker and the wasm are found in their places', () => {
  const place = placeAt('node_modules/tox-wasm-tunnel/dist/bridge/package_files.js');
  assert.equal(workerFile(place).href, at('node_modules/tox-wasm-tunnel/dist/worker/main.mjs').href);
  assert.equal(wasmFile(place).href, at('node_modules/tox-wasm-tunnel/wasm/dist/tox.wasm').href);
});

test('in the sources, the worker is a source too', () => {
  const place = placeAt('src/bridge/package_files.ts');
  assert.equal(workerFile(place).href, at('src/worker/main.ts').href);
  assert.equal(wasmFile(place).href, at('wasm/dist/tox.wasm').href);
});

test('in a bundle, both are expected next to it, and the worker has the extension of the bundle', () => {
  for (const extension of ['.js', '.mjs', '.cjs']) {
    const place = placeAt(`out/server${extension}`);
    assert.equal(workerFile(place).href, at(`out/tox-wasm-tunnel-worker${extension}`).href);
    assert.equal(wasmFile(place).href, at('out/tox.wasm').href);
  }
});

test('a bundle in CommonJS, which cannot refer to files, looks next to itself too', () => {
  const own = at('out/server.cjs');
  assert.equal(workerFile({ own }).href, at('out/tox-wasm-tunnel-worker.cjs').href);
  assert.equal(wasmFile({ own }).href, at('out/tox.wasm').href);
});

test('a bundle finds the worker with any extension, and both in the folder above', () => {
  writeFileSync(at('out/tox-wasm-tunnel-worker.mjs'), '');
  writeFileSync(at('out/tox.wasm'), '');
  for (const own of ['out/server.cjs', 'out/parts/shared-1a2b.js']) {
    assert.equal(workerFile(placeAt(own)).href, at('out/tox-wasm-tunnel-worker.mjs').href);
    assert.equal(wasmFile(placeAt(own)).href, at('out/tox.wasm').href);
  }
});

test('where a bundler has put the files, they are used, whatever it calls the bundle', () => {
  const files = { worker: at('out/5f3a.mjs'), wasm: at('out/77c1.wasm') };
  for (const own of [at('out/server.cjs'), at('node_modules/tox-wasm-tunnel/dist/bridge/package_files.js')]) {
    assert.equal(workerFile({ own, files }).href, files.worker.href);
    assert.equal(wasmFile({ own, files }).href, files.wasm.href);
  }
});
