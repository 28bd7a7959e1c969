import assert from 'node:assert/strict';
import { test } from 'node:test';
import { natKindOf, type Sighting } from '../../src/cli/commands/doctor_nat_kind.js';
import { readSeenAddresses } from '../../src/worker/tox/seen_addresses.js';

const PORT = 33445;
const LOCAL = ['127.0.0.1', '192.168.1.2', 'fe80::1%eth0', '2001:db8::2'];
const seen = (by: string, ip: string, port: number): Sighting => ({
  by: { ip: by, port: 1 },
  as: { ip, port },
});
const kindOf = (...sightings: readonly Sighting[]) => natKindOf(sightings, LOCAL, PORT)?.kind;

test('one port for all nodes is a NAT that peers can traverse, different ports are a symmetric one', () => {
  const [a, b] = ['198.51.100.1', '198.51.100.2'];
  assert.equal(kindOf(seen(a, '203.0.113.5', PORT), seen(b, '203.0.113.5', PORT)), 'keeps-port');
  assert.equal(kindOf(seen(a, '203.0.113.5', 7000), seen(b, '203.0.113.5', 7000)), 'moves-port');
  assert.equal(kindOf(seen(a, '203.0.113.5', 7000), seen(b, '203.0.113.5', 7001)), 'symmetric');
  assert.equal(kindOf(seen(a, '203.0.113.5', 7000), seen(b, '203.0.113.6', 7000)), 'symmetric');
  assert.deepEqual(natKindOf([seen(a, '203.0.113.5', 7), seen(b, '203.0.113.5', 7)], LOCAL, PORT), {
    kind: 'moves-port',
    seenAs: '203.0.113.5:7',
  });
});

test('a machine seen at its own address has no NAT, and one node is enough to see that', () => {
  assert.equal(kindOf(seen('198.51.100.1', '192.168.1.2', PORT)), 'none');
  assert.deepEqual(natKindOf([seen('2001:db8::9', '2001:db8:0:0:0:0:0:2', PORT)], LOCAL, PORT), {
    kind: 'none',
    seenAs: '[2001:db8:0:0:0:0:0:2]:33445',
  });
  assert.equal(kindOf(seen('198.51.100.1', '192.168.1.2', 7)), undefined, 'its own address, another port');
});

test('too few observations say nothing: none, and one machine or two ports of one', () => {
  assert.equal(kindOf(), undefined);
  assert.equal(kindOf(seen('198.51.100.1', '203.0.113.5', PORT)), undefined);
  const twice = [1, 2].map((port) => ({
    ...seen('198.51.100.1', '203.0.113.5', PORT),
    by: { ip: '198.51.100.1', port },
  }));
  assert.equal(kindOf(...twice), undefined);
});

test('with observations of both families, IPv4 counts', () => {
  const ipv6 = [seen('2001:db8::9', '2001:db8::2', PORT), seen('2001:db8::8', '2001:db8::2', PORT)];
  const ipv4 = [seen('198.51.100.1', '203.0.113.5', 1), seen('198.51.100.2', '203.0.113.5', 1)];
  assert.equal(kindOf(...ipv6), 'none');
  assert.equal(kindOf(...ipv6, ...ipv4), 'moves-port');
});

test('observations are read as the wasm writes them', () => {
  const place = (family: number, ip: string, port: string) =>
    Buffer.from(`0${family}${ip.padEnd(32, '0')}${port}`, 'hex');
  const bytes = Buffer.concat([
    place(4, 'c6336401', '82a5'),
    place(4, 'cb007105', '0050'),
    place(6, '20010db8000000000000000000000001', '82a5'),
    place(6, '20010db8000000000000000000000002', 'ffff'),
  ]);
  assert.deepEqual(readSeenAddresses(bytes), [
    { by: { ip: '198.51.100.1', port: 33445 }, as: { ip: '203.0.113.5', port: 80 } },
    {
      by: { ip: '2001:db8:0:0:0:0:0:1', port: 33445 },
      as: { ip: '2001:db8:0:0:0:0:0:2', port: 65535 },
    },
  ]);
  assert.deepEqual(readSeenAddresses(new Uint8Array(0)), []);
});
