import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { ipBytes } from '../../src/core/ip.js';
import { AddressCache, broadcastAddresses, broadcastFamily } from '../../src/worker/net/udp_addresses.js';

const at = (address: string, netmask: string, internal = false) =>
  ({ address, netmask, internal, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NetworkInterfaceInfo; // the other fields are not used

const INTERFACES = {
  lo: [at('127.0.0.1', '255.0.0.0', true), at('::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', true)],
  eth0: [
    at('192.168.7.2', '255.255.255.0'),
    at('10.1.2.3', '255.240.0.0'),
    at('fe80::1', 'ffff:ffff:ffff:ffff::'),
  ],
  wlan0: [at('fe80::2', 'ffff:ffff:ffff:ffff::'), at('2001:db8::2', 'ffff:ffff:ffff:ffff::')],
  gone: undefined,
};

test('what goes to everybody goes to each network of each interface, and not to loopback', () => {
  assert.deepEqual(broadcastAddresses('ipv4', false, INTERFACES), ['192.168.7.255', '10.15.255.255']);
  assert.deepEqual(broadcastAddresses('ipv4', true, INTERFACES), [
    '::ffff:192.168.7.255',
    '::ffff:10.15.255.255',
  ]);
  assert.deepEqual(broadcastAddresses('ipv6', true, INTERFACES), [
    'ff02:0:0:0:0:0:0:1%eth0',
    'ff02:0:0:0:0:0:0:1%wlan0',
  ]);
  assert.deepEqual(broadcastAddresses('ipv4', false, {}), []);
});

test('only the addresses of LAN discovery are to everybody', () => {
  const cache = new AddressCache();
  const isFor = (text: string) => {
    const bytes = ipBytes(text);
    assert.ok(bytes);
    return broadcastFamily(bytes, cache.textOf(bytes));
  };
  assert.equal(isFor('255.255.255.255'), 'ipv4');
  assert.equal(isFor('::ffff:255.255.255.255'), 'ipv4');
  assert.equal(isFor('ff02::1'), 'ipv6');
  for (const other of [
    '255.255.255.254',
    '192.168.7.255',
    '::ffff:255.0.0.1',
    '2001:db8::ff00:1',
    'ff02::2',
    '::',
  ])
    assert.equal(isFor(other), undefined, other);
});
