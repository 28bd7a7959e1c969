import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ipBytes, ipText } from '../../src/core/ip.js';
import { AddressCache } from '../../src/worker/net/udp_addresses.js';

const vectors: readonly (readonly [text: string, bytes: string])[] = [
  ['127.0.0.1', '7f000001'],
  ['255.255.255.255', 'ffffffff'],
  ['::', '00000000000000000000000000000000'],
  ['::1', '00000000000000000000000000000001'],
  ['1::', '00010000000000000000000000000000'],
  ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ['fe80::5%vlan0.7', 'fe800000000000000000000000000005'],
  ['2001:db8::a:b', '20010db80000000000000000000a000b'],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ['::ffff:192.0.2.33', '00000000000000000000ffffc0000221'],
  ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
];
for (const [text, hex] of vectors) {
  test(`${text} is ${hex}`, () => {
    assert.equal(Buffer.from(ipBytes(text) ?? []).toString('hex'), hex);
  });
}

for (const text of ['', 'localhost', '1.2.3', '1.2.3.256', '1:2', ':::', '1.2.3.4:80']) {
  test(`"${text}" is not a numeric address`, () => assert.equal(ipBytes(text), undefined));
}

test('every address reads back as written', () => {
  const ip = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4, size: 'max' }),
    fc.uint8Array({ minLength: 16, maxLength: 16, size: 'max' }),
    fc
      .uint8Array({ minLength: 4, maxLength: 4, size: 'max' })
      .map((v4) => Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, ...v4])),
  );
  fc.assert(fc.property(ip, (bytes) => assert.deepEqual(ipBytes(ipText(bytes)), bytes)));
});

test('an IPv4 address inside IPv6 is written so that the system recognizes it', () => {
  assert.equal(ipText(Buffer.from('00000000000000000000ffffc0000221', 'hex')), '::ffff:192.0.2.33');
});

test('a cache of thousands of addresses answers as if it remembered each one', () => {
  const cache = new AddressCache();
  const bytes = Uint8Array.of(10, 0, 0, 0); // a single reused array, as on toxcore's side
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) {
      bytes.set([i >>> 16, i >>> 8, i], 1);
      const text = `10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`;
      assert.equal(cache.textOf(bytes), text);
      assert.deepEqual(cache.bytesOf(text), bytes);
    }
  }
});

test('a cache keeps no reference to its input bytes', () => {
  const cache = new AddressCache();
  const bytes = Uint8Array.of(10, 0, 0, 1);
  cache.textOf(bytes);
  bytes[3] = 2;
  assert.equal(cache.textOf(bytes), '10.0.0.2');
  assert.equal(cache.textOf(Uint8Array.of(10, 0, 0, 1)), '10.0.0.1');
});

test('a link-local address is answered through the interface on which it was heard', () => {
  const cache = new AddressCache();
  const bytes = cache.bytesOf('fe80::1%eth7');
  assert.ok(bytes);
  assert.equal(cache.textOf(bytes), 'fe80::1%eth7');
});

test('a text that is not an address has no bytes', () => {
  assert.equal(new AddressCache().bytesOf('nonsense'), undefined);
});
