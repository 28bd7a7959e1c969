import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SimLinkOptions } from '../support/sim_link.js';
import { type SimPath, simPath } from '../support/sim_path.js';

type Optional = 'jitterMs' | 'duplicate' | 'overheadBytes';

const ENDLESS = 1e12;

/** The share of the link rate that arrives as bytes of frames, from `fromMs` on for `forMs`. */
function goodput({ clock, b }: SimPath, rateMbps: number, fromMs: number, forMs: number): number {
  clock.run(fromMs);
  const before = b.receivedBytes;
  clock.run(fromMs + forMs);
  return (b.receivedBytes - before) / (rateMbps * 125 * forMs);
}

/** Samples how long a packet would wait at the link, every 5 ms from now on. */
function watchQueue({ clock, ab }: SimPath): number[] {
  const samples: number[] = [];
  const sample = (): void => {
    samples.push(ab.queueMs);
    clock.after(5, sample);
  };
  sample();
  return samples;
}

function percentile(samples: number[], part: number): number {
  return [...samples].sort((x, y) => x - y)[Math.floor(samples.length * part)]!;
}

function assertOnce({ a, b }: SimPath): void {
  assert.ifError(a.error);
  assert.ifError(b.error);
  assert.ok(b.received.every((times) => times === 1));
}

describe('bulk data fills a path', () => {
  const line = (
    delayMs: number,
    rateMbps: number,
    loss: number,
  ): Required<Omit<SimLinkOptions, Optional>> & SimLinkOptions => ({
    delayMs,
    rateMbps,
    loss: loss / 100,
    queueBytes: 500_000,
  });
  const rows = [
    { link: line(20, 100, 0), atLeast: 0.92 },
    { link: line(20, 100, 1), atLeast: 0.9 },
    { link: line(20, 100, 3), atLeast: 0.85 },
    { link: line(100, 50, 0), atLeast: 0.9 },
    { link: line(100, 50, 1), atLeast: 0.87 },
    { link: { ...line(5, 200, 0.1), jitterMs: 3 }, atLeast: 0.88 },
    { link: { ...line(20, 100, 0), queueBytes: 50_000 }, atLeast: 0.88 },
    { link: { ...line(20, 5, 0), queueBytes: 100_000 }, atLeast: 0.9 },
    { link: line(0.05, 1_000, 0), atLeast: 0.9 },
  ];
  for (const { link, atLeast } of rows) {
    const jitter = link.jitterMs === undefined ? '' : `, jitter ${link.jitterMs} ms`;
    const name = `${link.delayMs} ms one way${jitter}, ${link.rateMbps} Mbit/s, ${(link.loss * 100).toFixed(1)} % lost, ${link.queueBytes / 1000} kB queue`;
    test(`${name}: at least ${atLeast * 100} %`, () => {
      const path = simPath(11, link);
      path.a.bulk(ENDLESS);
      const share = goodput(path, link.rateMbps, 1_500, link.rateMbps >= 1_000 ? 1_000 : 6_000);
      assert.ok(share >= atLeast, `${(share * 100).toFixed(1)} %`);
      assertOnce(path);
    });
  }
});

test('a fifth of the acknowledgements may be lost without loss of speed', () => {
  const path = simPath(12, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 }, { loss: 0.2 });
  path.a.bulk(ENDLESS);
  assert.ok(goodput(path, 100, 1_500, 5_000) >= 0.92);
});

test('acknowledgements take less than a hundredth of the bytes that they acknowledge', () => {
  const path = simPath(13, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 });
  path.a.bulk(ENDLESS);
  path.clock.run(5_000);
  assert.ok(
    path.ba.carriedBytes < path.ab.carriedBytes / 100,
    `${path.ba.carriedBytes / path.ab.carriedBytes}`,
  );
});

test('the first MiB arrives within 0.3 s at 20 ms and 100 Mbit/s', () => {
  const path = simPath(14, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 });
  path.a.bulk(2 ** 20);
  path.clock.run(300);
  assert.ok(path.b.receivedBytes >= 2 ** 20);
});

test('a bulk transfer keeps the queue short: under 20 ms for 95 % of the time, of 40 ms', () => {
  const path = simPath(15, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 });
  path.a.bulk(ENDLESS);
  path.clock.run(1_000);
  const samples = watchQueue(path);
  path.clock.run(12_000);
  assert.ok(percentile(samples, 0.95) < 20, `${percentile(samples, 0.95)} ms`);
});

test('an urgent frame during a bulk transfer arrives within a round trip and 30 ms', () => {
  const path = simPath(16, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 });
  const { clock, a, b } = path;
  a.bulk(ENDLESS);
  const sentAtMs: number[] = [];
  const tookMs: number[] = [];
  b.onFrame = (frame) => {
    if (frame.length !== 64) return;
    const index = new DataView(frame.buffer, frame.byteOffset).getUint32(0);
    tookMs.push(clock.nowMs - sentAtMs[index]!);
  };
  const type = (): void => {
    sentAtMs[a.frame(64, true)] = clock.nowMs;
    clock.after(37, type);
  };
  clock.at(1_000, type);
  clock.run(10_000);
  assert.ok(tookMs.length > 200);
  // One way: the other direction is idle.
  assert.ok(percentile(tookMs, 0.95) < 20 + 30, `${percentile(tookMs, 0.95)} ms`);
});

test('jitter without loss is hardly ever mistaken for loss', () => {
  const path = simPath(17, { delayMs: 5, jitterMs: 3, rateMbps: 200, queueBytes: 500_000 });
  path.a.bulk(ENDLESS);
  path.clock.run(2_000);
  const before = path.a.channel.stats(2_000);
  path.clock.run(7_000);
  const after = path.a.channel.stats(7_000);
  assert.ok(after.packetsLost - before.packetsLost <= (after.packetsOut - before.packetsOut) / 1_000);
});

test('a quiet channel sends a keep-alive every ten seconds, and its timer sleeps in between', () => {
  const path = simPath(18, { delayMs: 20, rateMbps: 100, queueBytes: 500_000 });
  path.a.frame(100);
  path.clock.run(5_000);
  const packets = path.a.packets + path.b.packets;
  path.clock.run(65_000);
  const more = path.a.packets + path.b.packets - packets;
  assert.ok(more >= 6 && more <= 24, `${more} packets in a minute`);
});
