import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SimPath, simPath } from '../support/sim_path.js';

/**
 * Sends `count` frames, one every `everyMs`, and every `lossyEvery`th of them lossy. @returns the indexes of
 * the lossy ones
 */
function stream(
  path: SimPath,
  count: number,
  everyMs: number,
  bytes: number,
  lossyEvery: number,
): Set<number> {
  const lossy = new Set<number>();
  for (let i = 0; i < count; i++) {
    path.clock.after(i * everyMs, () => {
      const isLossy = i % lossyEvery === 0;
      const index = path.a.frame(bytes, false, isLossy);
      if (isLossy) lossy.add(index);
    });
  }
  return lossy;
}

function times(path: SimPath, index: number): number {
  return path.b.received[index] ?? 0;
}

test('on a path that loses, duplicates and reorders, lossy frames arrive at most once and others exactly once', () => {
  const path = simPath(5, {
    delayMs: 20,
    jitterMs: 10,
    loss: 0.05,
    duplicate: 0.2,
    rateMbps: 50,
    queueBytes: 200_000,
  });
  const lossy = stream(path, 20_000, 1, 700, 2);
  path.clock.run(60_000);
  assert.ifError(path.a.error ?? path.b.error);
  let arrived = 0;
  for (let index = 0; index < path.a.sentFrames; index++) {
    if (!lossy.has(index)) assert.equal(times(path, index), 1);
    else arrived += times(path, index);
    assert.ok(times(path, index) <= 1, `frame ${index} arrived ${times(path, index)} times`);
  }
  const part = arrived / lossy.size;
  assert.ok(part > 0.93 && part < 0.97, `${part} of the lossy frames arrived`);
  assert.equal(path.a.backlogBytes, 0);
});

test('no packet is retransmitted when all frames are lossy', () => {
  const path = simPath(6, { delayMs: 20, loss: 0.1, rateMbps: 50, queueBytes: 200_000 });
  stream(path, 5_000, 1, 1_200, 1);
  path.clock.run(20_000);
  const stats = path.a.channel.stats(path.clock.nowMs);
  assert.equal(stats.packetsResent, 0);
  assert.ok(stats.packetsLost > 400 && stats.packetsLost < 600, `${stats.packetsLost} lost`);
  assert.equal(stats.lossyDroppedOut, 0);
  assert.equal(stats.inFlightBytes, 0);
});

test("frames beyond the path's rate are dropped before it, within bounds, and the newest arrive", () => {
  const path = simPath(7, { delayMs: 20, loss: 0, rateMbps: 5, queueBytes: 100_000 });
  stream(path, 10_000, 0.5, 1_200, 1);
  let mostBacklog = 0;
  const watch = (): void => {
    mostBacklog = Math.max(mostBacklog, path.a.backlogBytes);
    if (path.clock.nowMs < 5_000) path.clock.after(5, watch);
  };
  watch();
  path.clock.run(20_000);
  assert.ok(mostBacklog <= 128 * 1_024, `${mostBacklog} bytes waited`);
  assert.equal(path.a.backlogBytes, 0);
  const { lossyDroppedOut, packetsResent } = path.a.channel.stats(path.clock.nowMs);
  assert.equal(packetsResent, 0);
  assert.ok(lossyDroppedOut > 5_000, `${lossyDroppedOut} dropped`);
  for (let index = 9_990; index < 10_000; index++) assert.equal(times(path, index), 1);
});

test('during bulk that fills the path, a call of 1 Mbit/s arrives promptly, and bulk gets the rest', () => {
  const path = simPath(8, { delayMs: 20, loss: 0, rateMbps: 50, queueBytes: 500_000 });
  path.a.bulk(1e12);
  path.clock.run(2_000);
  const sentAtMs = new Map<number, number>();
  const waitedMs: number[] = [];
  path.b.onFrame = (frame) => {
    const index = new DataView(frame.buffer, frame.byteOffset).getUint32(0);
    const atMs = sentAtMs.get(index);
    if (atMs !== undefined) waitedMs.push(path.clock.nowMs - atMs);
  };
  const count = 1_000;
  for (let i = 0; i < count; i++) {
    path.clock.after(i * 5, () => sentAtMs.set(path.a.frame(600, false, true), path.clock.nowMs));
  }
  const before = path.b.receivedBytes;
  path.clock.run(7_000);
  const goodput = (path.b.receivedBytes - before) / (50 * 125 * 5_000);
  waitedMs.sort((x, y) => x - y);
  const p95 = waitedMs[Math.floor(waitedMs.length * 0.95)] ?? Number.POSITIVE_INFINITY;
  assert.ok(waitedMs.length >= 0.98 * count, `${waitedMs.length} arrived`);
  assert.ok(p95 < 60, `95 % within ${p95} ms`);
  assert.ok(goodput > 0.88, `${goodput} of the link`);
});
