import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Joiner, type JoinerOptions } from '../../src/bridge/joiner.js';
import { TunnelError } from '../../src/core/errors.js';
import type { BootstrapAddress } from '../../src/core/tox_network.js';
import { turn } from '../support/fake_node.js';
import { VirtualTimers } from '../support/virtual_timers.js';

function nodes(count: number): BootstrapAddress[] {
  return Array.from({ length: count }, (_, i) => ({ host: `n${i}`, port: 1, key: new Uint8Array(32) }));
}

function bench(options: Partial<JoinerOptions> = {}) {
  const timers = new VirtualTimers();
  const said: string[] = [];
  const tries: number[] = [];
  const answer: { failed: readonly string[]; error?: Error } = { failed: [] };
  const joiner = new Joiner({
    nodes: nodes(2),
    lanDiscovery: true,
    bootstrap: async (list) => {
      tries.push(list.length);
      await turn();
      if (answer.error !== undefined) throw answer.error;
      return answer;
    },
    timers,
    onWaiting: (message) => said.push(message),
    ...options,
  });
  const pass = async (ms: number): Promise<void> => {
    for (let leftMs = ms; leftMs > 0; leftMs -= 1_000) {
      timers.advance(Math.min(1_000, leftMs));
      await turn();
      await turn();
    }
  };
  return { joiner, timers, said, tries, answer, pass };
}

test('tries at once and every 5 s while off the network, and stops once it has joined', async () => {
  const { joiner, timers, tries, pass } = bench();
  joiner.pathChanged('none');
  joiner.pathChanged('none');
  assert.deepEqual(tries, [2]);
  await pass(4_999);
  assert.equal(tries.length, 1);
  await pass(1);
  assert.equal(tries.length, 2);
  joiner.pathChanged('relay');
  joiner.pathChanged('udp');
  assert.equal(timers.running, 0);
  await pass(60_000);
  assert.equal(tries.length, 2);
  joiner.pathChanged('none');
  assert.equal(tries.length, 3);
});

test('runs one attempt at a time, and tries again after a failure', async () => {
  const answers: ((error?: Error) => void)[] = [];
  const { joiner, pass } = bench({
    bootstrap: () =>
      new Promise((resolve, reject) => {
        answers.push((error) => (error === undefined ? resolve({ failed: [] }) : reject(error)));
      }),
  });
  joiner.pathChanged('none');
  await pass(20_000);
  assert.equal(answers.length, 1, 'names are still being resolved');
  answers[0]?.(new TunnelError('ERR_WORKER_DIED', 'gone'));
  await pass(5_000);
  assert.equal(answers.length, 2);
});

test('reports after 10 s that joining takes long, then every minute, with advice', async () => {
  const { joiner, said, answer, pass } = bench();
  joiner.pathChanged('none');
  await pass(9_999);
  assert.deepEqual(said, []);
  await pass(1);
  const plain =
    'none of the 2 bootstrap nodes has answered yet; still trying. Is this machine online? Does a firewall block UDP?';
  assert.deepEqual(said.splice(0), [plain]);
  answer.failed = ['a (1)', 'b (2)', 'c (3)', 'd (4)', 'e (5)'];
  await pass(59_999);
  assert.deepEqual(said, []);
  await pass(1);
  assert.deepEqual(said.splice(0), [plain.replace(';', ' (unusable now: a (1), b (2), c (3) and 2 more);')]);
  answer.failed = ['a', 'b', 'c'];
  await pass(60_000);
  assert.match(said.splice(0).join(), /now: a, b, c\);/);
  answer.failed = [];
  await pass(60_000);
  assert.deepEqual(said, [plain], 'a node that works again is no longer named');
});

test('when the network is lost, reports it after 30 s, and says that connections stay', async () => {
  const { joiner, said, tries, pass } = bench({ nodes: nodes(1) });
  joiner.pathChanged('none');
  await pass(1);
  joiner.pathChanged('relay');
  joiner.pathChanged('none');
  assert.equal(tries.length, 2, 'it tries at once all the same');
  await pass(29_999);
  assert.deepEqual(said, []);
  await pass(1);
  assert.match(
    said.join(),
    /^lost the network: the bootstrap node has not answered since; still trying\. Open connections continue\./,
  );
});

test('uses the singular for one node', async () => {
  const { joiner, said, answer, pass } = bench({ nodes: nodes(1) });
  answer.failed = ['n0:1 (not found)'];
  joiner.pathChanged('none');
  await pass(10_000);
  assert.match(
    said[0] ?? '',
    /^the bootstrap node has not answered yet \(unusable now: n0:1 \(not found\)\);/,
  );
});

test('without nodes tries nothing, and reports whether it searches the LAN', async () => {
  for (const [lanDiscovery, words] of [
    [true, /no node found on this LAN yet/],
    [false, /name a bootstrap node/],
  ] as const) {
    const { joiner, tries, said, pass } = bench({ nodes: [], lanDiscovery });
    joiner.pathChanged('none');
    await pass(10_000);
    assert.deepEqual(tries, []);
    assert.match(said[0] ?? '', words);
  }
});

test('through a proxy reports its trouble, and does not mention a LAN', async () => {
  const { joiner, answer, said, pass } = bench({ proxied: true });
  answer.failed = ['the proxy h:1 requires a user name and password'];
  joiner.pathChanged('none');
  await pass(10_000);
  assert.match(
    said[0] ?? '',
    /unusable now: the proxy h:1 requires.*Is the proxy running, and does it let us through\?$/,
  );
  const empty = bench({ nodes: [], proxied: true });
  empty.joiner.pathChanged('none');
  await empty.pass(10_000);
  assert.match(empty.said[0] ?? '', /LAN discovery is off/);
});

test('once closed, neither tries nor reports, even when the network fails then', async () => {
  const { joiner, timers, tries, said, pass } = bench();
  joiner.pathChanged('none');
  joiner.close();
  assert.equal(timers.running, 0);
  joiner.pathChanged('udp');
  joiner.pathChanged('none');
  await pass(120_000);
  assert.deepEqual([tries.length, said], [1, []]);
});

test('stays silent when the handler of a report closes it', async () => {
  const { joiner, timers, said, pass } = bench({ onWaiting: () => joiner.close() });
  joiner.pathChanged('none');
  await pass(120_000);
  assert.equal(timers.running, 0);
  assert.deepEqual(said, []);
});
