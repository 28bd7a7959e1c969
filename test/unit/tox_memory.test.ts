import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAMILY_IPV4, FAMILY_IPV6 } from '../../src/worker/net/network.js';
import { levelOf, pathOf, TOX_CONSTANTS } from '../../src/worker/tox/constants.js';
import { newAddress, readAddress, Staging, WasmMemory, writeAddress } from '../../src/worker/tox/memory.js';

// Fields of IP_Port, as wasm/system.c asserts them: family at 0, address at 8, port at 24.
const vectors = [
  {
    family: FAMILY_IPV4,
    ip: 'c0000201',
    port: 33_445,
    bytes: `02${'00'.repeat(7)}c0000201${'00'.repeat(12)}82a5`,
  },
  {
    family: FAMILY_IPV6,
    ip: '20010db8000000000000000000000001',
    port: 0x0102,
    bytes: `0a${'00'.repeat(7)}20010db80000000000000000000000010102`,
  },
] as const;

for (const { family, ip, port, bytes } of vectors) {
  test(`an address of family ${family} is ${bytes}, at any position`, () => {
    const address = newAddress();
    address.family = family;
    address.bytes.set(Buffer.from(ip, 'hex'));
    address.port = port;
    const memory = new Uint8Array(40);
    writeAddress(memory, 8, address);
    assert.equal(Buffer.from(memory.subarray(8, 34)).toString('hex'), bytes);
    assert.equal(Buffer.from(memory.subarray(34)).toString('hex'), '000000000000');

    const read = newAddress();
    readAddress(memory, 8, read);
    assert.equal(read.family, family);
    assert.equal(read.port, port);
    assert.equal(Buffer.from(read.bytes.subarray(0, ip.length / 2)).toString('hex'), ip);
  });
}

function memoryOf(bytes: number): { memory: WasmMemory; object: { buffer: ArrayBuffer } } {
  const object = { buffer: new ArrayBuffer(bytes) };
  return { memory: new WasmMemory(object), object };
}

test('after growth, views point to the new memory', () => {
  const { memory, object } = memoryOf(64);
  const before = memory.sameView(8, 4);
  object.buffer = new ArrayBuffer(128);
  memory.refresh();
  const after = memory.sameView(8, 4);
  assert.notEqual(after.buffer, before.buffer);
  assert.equal(after.buffer, object.buffer);
  assert.equal(memory.view(100, 28).length, 28);
  assert.equal(memory.bytes.length, 128);
});

test('a repeated request for the same place gives the same view, another place or length does not', () => {
  const { memory } = memoryOf(64);
  const view = memory.sameView(8, 4);
  assert.equal(memory.sameView(8, 4), view);
  assert.equal(memory.sameView(8, 5).length, 5);
  assert.equal(memory.sameView(9, 5).byteOffset, 9);
});

test('text ends before its NUL', () => {
  const { memory } = memoryOf(64);
  memory.bytes.set(Buffer.from('\0größe\0more'), 3);
  assert.equal(memory.text(4), 'größe');
  assert.equal(memory.text(3), '');
});

test('staging accepts what fits to the last byte, and wipes it all', () => {
  const { memory } = memoryOf(8192);
  memory.bytes.fill(9);
  const staging = new Staging(memory, 100);
  assert.equal(staging.put(new Uint8Array(TOX_CONSTANTS.STAGING_SIZE).fill(1)), true);
  assert.equal(staging.put(new Uint8Array(TOX_CONSTANTS.STAGING_SIZE).fill(2), 1), false);
  assert.equal(staging.put(Uint8Array.of(3), TOX_CONSTANTS.STAGING_SIZE - 1), true);
  assert.deepEqual([...staging.take(TOX_CONSTANTS.STAGING_SIZE - 2, 2)], [1, 3]);
  staging.wipe();
  assert.equal(
    staging.take(0, TOX_CONSTANTS.STAGING_SIZE).every((byte) => byte === 0),
    true,
  );
  assert.equal(memory.bytes[99], 9);
  assert.equal(memory.bytes[100 + TOX_CONSTANTS.STAGING_SIZE], 9);
});

test('staging returns a copy', () => {
  const { memory } = memoryOf(8192);
  const staging = new Staging(memory, 0);
  staging.put(Uint8Array.of(1, 2));
  const taken = staging.take(0, 2);
  staging.wipe();
  assert.deepEqual([...taken], [1, 2]);
});

test('a node is stored as key and text, and a non-numeric address is refused', () => {
  const { memory } = memoryOf(8192);
  memory.bytes.fill(9);
  const staging = new Staging(memory, 0);
  const key = new Uint8Array(32).fill(5);
  assert.equal(staging.putNode('192.0.2.1', 33_445, key), true);
  assert.equal(Buffer.from(staging.take(32, 10)).toString(), '192.0.2.1\0');
  assert.equal(staging.putNode('2001:db8::1', 1, key), true);
  assert.equal(staging.putNode('::', 65_535, key), true);
  for (const port of [0, -1, 65_536, 1.5, Number.NaN])
    assert.equal(staging.putNode('192.0.2.1', port, key), false);
  for (const ip of ['', '1', 'example.org', '192.0.2.1\0', ' 192.0.2.1', '1'.repeat(46), '::1%eth0']) {
    assert.equal(staging.putNode(ip, 1, key), false, ip);
  }
  for (const length of [0, 31, 33]) assert.equal(staging.putNode('::1', 1, new Uint8Array(length)), false);
});

test('paths and log levels map to our names, unknown ones too', () => {
  assert.deepEqual([0, 1, 2, 3, -1].map(pathOf), ['none', 'relay', 'udp', 'none', 'none']);
  assert.deepEqual([0, 1, 2, 3, 4, 5].map(levelOf), ['trace', 'debug', 'info', 'warn', 'error', 'error']);
});
