import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { StartOptions } from '../../src/bridge/contract.js';
import { WorkerLink } from '../../src/bridge/worker_link.js';
import { systemTimers, type Timers } from '../../src/core/clock.js';
import { TunnelError } from '../../src/core/errors.js';
import { workerUrl } from '../support/build.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const LOCAL: StartOptions = {
  kind: 'bootstrap',
  bindAddress: '127.0.0.1',
  udpPorts: { from: 0, to: 0 },
  lanDiscovery: false,
};

function faulty(context: TestContext, fault: string, timers: Timers = systemTimers) {
  const entry = workerUrl(new URL(`../support/faulty_worker.ts?${fault}`, import.meta.url));
  const link = WorkerLink.spawn({ entry, timers });
  context.after(() => link.close());
  const fatals: TunnelError[] = [];
  link.on('fatal', (error) => fatals.push(error));
  return { link, fatals };
}

function died(error: unknown): boolean {
  return TunnelError.is(error) && error.code === 'ERR_WORKER_DIED';
}

for (const [fault, words] of [
  ['trap-turn', /RuntimeError: unreachable/],
  ['throw-turn', /planted in a turn/],
  ['reject-turn', /planted in a promise/],
  ['exit-turn', /exit code 7/],
  ['trap-call', /RuntimeError: unreachable/],
  ['exit-call', /exit code 7/],
] as const) {
  test(`a worker that dies (${fault}) gives one clear error, and every call rejects`, async (context) => {
    const { link, fatals } = faulty(context, fault);
    const fatal = once(link, 'fatal');
    await link.worker.start(LOCAL).catch((error: unknown) => assert.ok(died(error)));
    const node = { host: '127.0.0.1', port: 9, key: new Uint8Array(32) };
    const calls = [link.worker.bootstrap([node]), link.worker.stats()];
    const outcomes = Promise.allSettled(calls);
    await fatal;
    const [call] = await outcomes;
    assert.ok(fault.endsWith('turn') || (call?.status === 'rejected' && died(call.reason)));
    await assert.rejects(link.worker.stats(), died);
    assert.equal(fatals.length, 1);
    assert.match(fatals[0]!.message, words);
    assert.match(fatals[0]!.message, /start a new node/);
    await link.close();
    assert.equal(fatals.length, 1);
  });
}

test('a worker that hangs is terminated, and pending calls reject', async (context) => {
  const timers = new VirtualTimers();
  const { link, fatals } = faulty(context, 'hang-call', timers);
  await link.worker.start(LOCAL);
  const node = { host: '127.0.0.1', port: 9, key: new Uint8Array(32) };
  const call = assert.rejects(link.worker.bootstrap([node]), /ERR_CLOSED|already closed/);
  const closed = link.close();
  assert.equal(timers.running, 1);
  // The worker would never answer this call.
  await assert.rejects(link.worker.stats(), /ERR_CLOSED|already closed/);
  timers.advance(60_000);
  await closed;
  await call;
  assert.deepEqual(fatals, []);
});

for (const fault of ['hang-turn', 'spin-turn']) {
  test(`a worker that hangs by itself (${fault}) is stopped, and is reported as gone`, async (context) => {
    const timers = new VirtualTimers();
    const { link, fatals } = faulty(context, fault, timers);
    await link.worker.start(LOCAL);
    const call = assert.rejects(link.worker.stats(), died);
    timers.advance(60_000);
    assert.equal(fatals.length, 1);
    assert.match(fatals[0]!.message, /did nothing for 30 s and was stopped; .* start a new node/);
    await call;
    await link.close();
    assert.equal(timers.running, 0);
  });
}

test('a worker with nothing to do is not taken for one that hangs', async (context) => {
  const timers = new VirtualTimers();
  const { link, fatals } = faulty(context, 'none', timers);
  await link.worker.start(LOCAL);
  for (let look = 0; look < 16; look++) {
    const { workerBeats } = link.rings;
    while (link.rings.workerBeats === workerBeats) await new Promise((resolve) => setImmediate(resolve));
    timers.advance(2_000);
  }
  assert.deepEqual(fatals, []);
});

test('a worker whose clean shutdown fails is closed all the same', async (context) => {
  const { link, fatals } = faulty(context, 'throw-close');
  await link.worker.start(LOCAL);
  await link.close();
  assert.deepEqual(fatals, []);
  await assert.rejects(link.worker.stats(), (error) => TunnelError.is(error) && error.code === 'ERR_CLOSED');
});

test('a link closed right after its start, or twice, closes cleanly', async (context) => {
  const { link } = faulty(context, 'none');
  const [start] = [link.worker.start(LOCAL).catch((error: unknown) => error)];
  await Promise.all([link.close(), link.close()]);
  const outcome = await start;
  assert.ok(!(outcome instanceof Error) || TunnelError.is(outcome));
});

test('a refusal by the worker arrives as the original error, and the worker survives', async (context) => {
  const { link, fatals } = faulty(context, 'none');
  await assert.rejects(link.worker.stats(), (error) => TunnelError.is(error) && error.code === 'ERR_CLOSED');
  const { udpPort } = await link.worker.start(LOCAL);
  assert.ok(udpPort > 0);
  await assert.rejects(
    link.worker.start(LOCAL),
    (error) => TunnelError.is(error) && error.code === 'ERR_TOX_START',
  );
  await assert.rejects(
    link.worker.addFriend(new Uint8Array(38), new Uint8Array(1)),
    /bootstrap node has no friends/,
  );
  assert.equal((await link.worker.stats()).datagramsIn, 0);
  assert.deepEqual(fatals, []);
});

test('a missing entry file is one clear error as well', async (context) => {
  const link = WorkerLink.spawn({ entry: new URL('../support/no_such_worker.js', import.meta.url) });
  context.after(() => link.close());
  const fatal = once(link, 'fatal');
  await assert.rejects(link.worker.stats(), died);
  await fatal;
});
