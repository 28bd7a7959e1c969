/**
 * The built binary matches the sources: its exports and imports, its build record, its constants and its
 * cipher.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import fc from 'fast-check';
import sodium from 'libsodium-wrappers';
import { wasmFile } from '../../src/bridge/package_files.js';
import { LOSSLESS_PACKET_ID, LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../src/core/packets.js';
import { FAMILY_IPV4, FAMILY_IPV6, SOCKET_DATAGRAM, SOCKET_STREAM } from '../../src/worker/net/network.js';
import { TOX_CONSTANTS } from '../../src/worker/tox/constants.js';
import { loadTox, readWasm } from '../../src/worker/tox/load.js';
import { wasmApi } from '../../src/worker/tox/webassembly.js';
import { SimNetwork } from '../support/sim_network.js';
import { compiledTox } from '../support/tox_world.js';

before(() => sodium.ready);

const root = new URL('../../', import.meta.url);
const lines = (path: string) =>
  readFileSync(new URL(path, root), 'utf8')
    .split('\n')
    .filter((line) => line !== '');

/** The fields of build.json and sources.json that we read. */
interface Pinned {
  readonly version?: string;
  readonly sha256?: string;
  readonly bytes?: number;
  readonly toxcore?: string;
  readonly libsodium?: string;
}

function json(path: string): Pinned {
  // Any field may be missing, and each is compared with its expected value.
  return JSON.parse(readFileSync(new URL(path, root), 'utf8')) as Pinned;
}

function load() {
  return loadTox(compiledTox(), new SimNetwork().host('198.51.100.1').toxHost());
}

test('the wasm is where both sources and dist look for it', async () => {
  assert.equal(wasmFile().href, new URL('wasm/dist/tox.wasm', root).href);
  assert.equal((await readWasm(wasmFile())).length, readFileSync(wasmFile()).length);
});

test('the binary exports what exports.txt lists, and imports what imports.txt lists', () => {
  const exported = wasmApi.Module.exports(compiledTox()).map(({ name }) => name);
  assert.deepEqual(exported.sort(), lines('wasm/exports.txt').sort());
  const imported = wasmApi.Module.imports(compiledTox()).map(({ module, name }) => `${module} ${name}`);
  assert.deepEqual(imported.sort(), lines('wasm/imports.txt').sort());
});

test('build.json describes this binary and the pinned versions', () => {
  const record = json('wasm/dist/build.json');
  const bytes = readFileSync(wasmFile());
  assert.equal(record.sha256, createHash('sha256').update(bytes).digest('hex'));
  assert.equal(record.bytes, bytes.length);
  assert.equal(record.toxcore, json('vendor/toxcore/sources.json').version);
  assert.equal(record.libsodium, json('vendor/libsodium/sources.json').version);
});

test('the constants repeated in TypeScript match those in the headers', () => {
  const values = load().constants();
  for (const [name, value] of Object.entries(TOX_CONSTANTS)) assert.equal(values.get(name), value, name);
  const versions = ['MAJOR', 'MINOR', 'PATCH'].map((part) => values.get(`TOX_VERSION_${part}`));
  assert.equal(versions.join('.'), json('vendor/toxcore/sources.json').version);
  assert.equal(values.get('TOX_MAX_CUSTOM_PACKET_SIZE'), MAX_PACKET_BYTES);
  assert.equal(values.get('TOX_AF_INET'), FAMILY_IPV4);
  assert.equal(values.get('TOX_AF_INET6'), FAMILY_IPV6);
  assert.equal(values.get('TOX_SOCK_STREAM'), SOCKET_STREAM);
  assert.equal(values.get('TOX_SOCK_DGRAM'), SOCKET_DATAGRAM);
});

test('our packet ids are in the ranges that toxcore accepts', () => {
  const values = load().constants();
  const inRange = (id: number, kind: string) =>
    id >= values.get(`PACKET_ID_RANGE_${kind}_CUSTOM_START`)! &&
    id <= values.get(`PACKET_ID_RANGE_${kind}_CUSTOM_END`)!;
  assert.equal(inRange(LOSSLESS_PACKET_ID, 'LOSSLESS'), true);
  assert.equal(inRange(LOSSY_PACKET_ID, 'LOSSY'), true);
  assert.equal(inRange(LOSSLESS_PACKET_ID, 'LOSSY'), false);
});

test('with or without SIMD, packets of any length encrypt as in another build of libsodium', () => {
  const tox = load();
  const key = Uint8Array.from({ length: 32 }, (_, i) => 7 * i + 1);
  const nonce = Uint8Array.from({ length: 24 }, (_, i) => 255 - i);
  const message = Uint8Array.from({ length: 2048 }, (_, i) => (i * i + 3) & 0xff);
  for (let length = 0; length <= message.length; length++) {
    const part = message.subarray(0, length);
    assert.deepEqual(
      tox.seal(key, nonce, part),
      sodium.crypto_secretbox_easy(part, nonce, key),
      `${length} bytes`,
    );
  }
});

test('any key, nonce and packet give the same bytes as libsodium', () => {
  const tox = load();
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length, size: 'max' });
  const packet = fc.uint8Array({ maxLength: MAX_PACKET_BYTES, size: 'max' });
  fc.assert(
    fc.property(bytes(32), bytes(24), packet, (key, nonce, message) => {
      assert.deepEqual(tox.seal(key, nonce, message), sodium.crypto_secretbox_easy(message, nonce, key));
    }),
  );
});

test('similar keys and nonces, in any order, do not share derived subkeys', () => {
  const tox = load();
  const resembling = (length: number, at: readonly number[]) =>
    fc.tuple(fc.constantFrom(...at), fc.nat(3)).map(([where, value]) => {
      const bytes = new Uint8Array(length);
      bytes[where] = value;
      return bytes;
    });
  // The cache holds the subkeys of eight pairs: this uses more pairs, and often repeats some.
  const pair = fc.tuple(resembling(32, [0, 15, 16, 31]), resembling(24, [0, 7, 15, 16, 23]));
  const message = new Uint8Array(65).fill(1);
  fc.assert(
    fc.property(fc.array(pair, { minLength: 1, maxLength: 60, size: 'max' }), (pairs) => {
      for (const [key, nonce] of pairs) {
        assert.deepEqual(tox.seal(key, nonce, message), sodium.crypto_secretbox_easy(message, nonce, key));
      }
    }),
  );
});

test('more bytes than the staging buffer holds are refused', () => {
  const tox = load();
  assert.throws(() => tox.seal(new Uint8Array(32), new Uint8Array(24), new Uint8Array(4000)), RangeError);
  assert.throws(() => tox.seal(new Uint8Array(32), new Uint8Array(24), new Uint8Array(5000)), RangeError);
});

test('the memory starts small', () => {
  assert.equal(load().memoryBytes(), 16 * 1024 * 1024);
});
