import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressWatch } from '../../src/worker/address_watch.js';
import { VirtualTimers } from '../support/virtual_timers.js';

test('no address counts as gone while the system cannot list its addresses', () => {
  const timers = new VirtualTimers();
  let addresses: string[] | undefined;
  const told: string[][] = [];
  const watch = new AddressWatch({
    timers,
    addresses: () => addresses,
    gone: (present) => told.push([...present]),
  });
  addresses = ['127.0.0.1', '192.0.2.1'];
  timers.advance(1_000);
  addresses = undefined;
  timers.advance(5_000);
  assert.deepEqual(told, []);
  addresses = ['127.0.0.1'];
  timers.advance(1_000);
  assert.deepEqual(told, [['127.0.0.1']]);
  watch.stop();
});

test('a lost address is reported once, within a second, with the remaining ones; a new address is not reported', () => {
  const timers = new VirtualTimers();
  let addresses = ['127.0.0.1', '192.0.2.1'];
  const told: string[][] = [];
  const watch = new AddressWatch({
    timers,
    addresses: () => addresses,
    gone: (present) => told.push([...present]),
  });
  timers.advance(5_000);
  addresses = ['127.0.0.1', '192.0.2.1', '192.0.2.2'];
  timers.advance(5_000);
  assert.deepEqual(told, []);
  addresses = ['127.0.0.1', '192.0.2.3'];
  timers.advance(1_000);
  assert.deepEqual(told, [['127.0.0.1', '192.0.2.3']]);
  timers.advance(5_000);
  assert.equal(told.length, 1);
  watch.stop();
  assert.equal(timers.running, 0);
});
