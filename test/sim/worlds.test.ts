/** Whole networks on virtual time, from seeds: docs/worlds.md. `bench/worlds.ts` runs many more. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GOOD, type Plan, planOf } from '../world/plan.js';
import { runWorld } from '../world/world.js';

/** Small worlds that together have every kind of fault, NAT and line. `.ci/run` runs the seeds 1 to 150. */
const SEEDS = [9, 10, 15, 39, 47, 63, 117, 124, 131];

describe('random worlds', { concurrency: false }, () => {
  for (const seed of SEEDS) {
    test(`seed ${seed} keeps every invariant`, async () => {
      const { broken } = await runWorld(planOf(seed));
      assert.deepEqual(broken, [], `npx tsx bench/worlds.ts --seed ${seed} --log`);
    });
  }
});

/** Runs a world, and expects every connector back within this time of the end of the last fault. */
async function isBackWithin(limitMs: number, plan: Plan): Promise<void> {
  const { broken, recoveriesMs } = await runWorld(plan);
  assert.deepEqual(broken, []);
  assert.ok(Math.max(...recoveriesMs) < limitMs, `it took ${recoveriesMs} ms`);
}

test('a seed replays to the same log, event by event', async () => {
  const [first, second] = [await runWorld(planOf(124)), await runWorld(planOf(124))];
  assert.deepEqual(second.log, first.log);
  assert.equal(second.events, first.events);
});

test('streams between connected ends do not notice that every bootstrap node dies', async () => {
  const { broken, longestSilenceMs } = await runWorld(planOf(11, 'nodes'));
  assert.deepEqual(broken, []);
  // The load sends a piece every 300 ms.
  assert.ok(longestSilenceMs < 600, `a stream was silent for ${longestSilenceMs} ms`);
});

// A TCP connection whose address is gone dies without a sign. Found by the seeds 229 and 272.
test('a connector that depends on a relay is back within 15 s after its NAT has another address', async () => {
  await isBackWithin(15_000, {
    seed: 272,
    nodes: 1,
    ends: [GOOD, { ...GOOD, nat: 'keeping', withoutUdp: true }],
    faults: [{ kind: 'move', end: 1, atMs: 20_000, forMs: 0 }],
  });
});

// A knock at the place of an earlier run must not replace the address at which a handshake is under way.
test('a connector on another port is back within 15 s after an outage, though it knocks where the listener was', async () => {
  await isBackWithin(15_000, {
    seed: 785,
    nodes: 1,
    ends: [
      { ...GOOD, nat: 'symmetric', hairpin: true, delayMs: 60, jitterMs: 5, loss: 0.005 },
      { ...GOOD, natTimeoutMs: 180_000, delayMs: 1 },
    ],
    faults: [
      { kind: 'stop', end: 1, atMs: 23_855, forMs: 300 },
      { kind: 'cut', end: 1, atMs: 24_120, forMs: 20_000 },
    ],
  });
});

// One end gives up a session after 32 s without a ping; the other, which was frozen, goes on believing in it. Found
// by the seed 1566.
test('a connector is back within 15 s of the end of a freeze in which the listener got another address', async () => {
  await isBackWithin(15_000, {
    seed: 1566,
    nodes: 2,
    ends: [GOOD, { ...GOOD, nat: 'keeping' }],
    faults: [
      { kind: 'freeze', end: 0, atMs: 19_500, forMs: 20_000 },
      { kind: 'move', end: 0, atMs: 26_300, forMs: 0 },
    ],
  });
});

// The same through a relay: the new handshake comes over the old connection. Found by the seeds 1871 and 2445.
test('a connector is back within 15 s of the end of a partition from a listener without UDP', async () => {
  await isBackWithin(15_000, {
    seed: 2445,
    nodes: 1,
    ends: [{ ...GOOD, withoutUdp: true }, GOOD],
    faults: [{ kind: 'partition', atMs: 16_000, forMs: 20_000 }],
  });
});

// toxcore forgets a relay that is away for a few seconds, and with it the only way between two ends that both stay.
test('a connector without UDP is back within 12 s of the return of the only relay', async () => {
  const plan = planOf(2479);
  await isBackWithin(12_000, { ...plan, ends: [plan.ends[0]!, plan.ends[3]!] });
});
