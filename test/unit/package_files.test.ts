import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wasmFile, workerFile } from '../../src/bridge/package_files.js';

const at = (path: string): URL => new URL(path, 'file:///app/');

test('in the package, the worker and the wasm are found in their places', () => {
  const own = at('node_modules/tox-wasm-tunnel/dist/bridge/package_files.js');
  assert.equal(workerFile(own).href, at('node_modules/tox-wasm-tunnel/dist/worker/main.js').href);
  assert.equal(wasmFile(own).href, at('node_modules/tox-wasm-tunnel/wasm/dist/tox.wasm').href);
});

test('in the sources, the worker is a source too', () => {
  const own = at('src/bridge/package_files.ts');
  assert.equal(workerFile(own).href, at('src/worker/main.ts').href);
  assert.equal(wasmFile(own).href, at('wasm/dist/tox.wasm').href);
});

test('in a bundle, both are expected next to it, and the worker has the extension of the bundle', () => {
  for (const extension of ['.js', '.mjs', '.cjs']) {
    const own = at(`out/server${extension}`);
    assert.equal(workerFile(own).href, at(`out/tox-wasm-tunnel-worker${extension}`).href);
    assert.equal(wasmFile(own).href, at('out/tox.wasm').href);
  }
});
