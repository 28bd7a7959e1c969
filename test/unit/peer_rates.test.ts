import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsOf } from '../../src/core/peer_limits.js';
import { PeerRates } from '../../src/peer/peer_rates.js';
import { openFrame } from '../support/attacker.js';
import { ListenerBench, uuid } from '../support/peer_bench.js';

const LIMITS = limitsOf({ maxOpensPerSecond: 2 });

/** Requests `count` streams in the newest session. @returns how many of its requests passed */
function asked(bench: ListenerBench, first: number, count = 6): number {
  const before = bench.requests.length;
  for (let stream = first; stream < first + count; stream++)
    bench.node.newest.deliver(openFrame(uuid(stream), 'h', 1));
  return bench.requests.length - before;
}

test('a new session does not renew what the peer has used up of its rates', async () => {
  const bench = new ListenerBench({ limits: LIMITS });
  await bench.join(uuid(0xc0));
  assert.equal(asked(bench, 1), 4);
  await bench.join(uuid(0xc1));
  assert.equal(bench.node.channels.length, 2);
  assert.equal(asked(bench, 21), 0);
  await bench.pass(1_000);
  assert.equal(bench.requests.length, 4 + 2);
});

test('nor does a peer that leaves and comes again', async () => {
  const rates = new PeerRates(LIMITS);
  const first = new ListenerBench({ limits: LIMITS, rates });
  await first.join();
  assert.equal(asked(first, 1), 4);
  await first.peer.close('peer-shutdown');
  const again = new ListenerBench({ limits: LIMITS, rates, timers: first.timers });
  await again.join();
  assert.equal(asked(again, 21), 0);
});

test('what one peer has used up costs another peer nothing', () => {
  const rates = new PeerRates(limitsOf({ maxOpensPerSecond: 2, maxBytesPerSecond: 1_000 }));
  const [busy, other] = [rates.of('A', 0), rates.of('B', 0)];
  for (let taken = 0; taken < 4; taken++) assert.ok(busy.session.opens.take(0));
  busy.bytes?.received.spend(1_000_000, 0, busy);
  assert.ok(!busy.session.opens.take(0));
  assert.ok(other.session.opens.take(0));
  assert.equal(other.bytes?.received.waitMs(0, other), 0);
  assert.equal(rates.of('A', 0), busy);
});

test('a thousand peers are remembered, those whose session began last', () => {
  const rates = new PeerRates(LIMITS);
  const [first, second] = [rates.of('first', 0), rates.of('second', 0)];
  for (let peer = 0; peer < 1022; peer++) rates.of(`peer ${peer}`, 0);
  assert.equal(rates.of('first', 0), first);
  rates.of('one more', 0);
  assert.equal(rates.of('first', 0), first);
  assert.notEqual(rates.of('second', 0), second);
});

test('without a rate of bytes there is nothing to remember of it', () => {
  assert.equal(new PeerRates(limitsOf()).of('A', 0).bytes, undefined);
});
