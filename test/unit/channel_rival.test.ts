import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Rival } from '../../src/worker/channel/congestion/rival.js';

const MIN_MS = 40;

/** Rounds of one length, one after the other. */
class Rounds {
  readonly rival = new Rival();
  nowMs = 0;

  run(forMs: number, floorMs: number, lossy = false): this {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      this.nowMs += floorMs;
      this.rival.onRound(floorMs, MIN_MS, lossy, this.nowMs);
    }
    return this;
  }

  get aloneMs(): number {
    return this.rival.aloneMs(MIN_MS, false, this.nowMs);
  }

  get besideMs(): number {
    return this.rival.besideMs(MIN_MS, false, this.nowMs);
  }
}

describe('a rival', () => {
  test('is not detected in round trips near the minimum', () => {
    const rounds = new Rounds().run(5_000, 50);
    assert.equal(rounds.besideMs, 0);
    assert.ok(Math.abs(rounds.aloneMs - 1.15 * MIN_MS) < 0.01);
  });

  test('that keeps a queue is met with a little less than its queue', () => {
    assert.ok(Math.abs(new Rounds().run(2_000, 80).besideMs - 0.88 * 80) < 0.01);
  });

  test('is remembered for some seconds after it gave way, then forgotten', () => {
    const rounds = new Rounds().run(2_000, 80).run(4_000, 41);
    assert.ok(rounds.besideMs > 0.6 * 80);
    assert.equal(rounds.run(12_000, 41).besideMs, 0);
  });

  test('with a deep queue is followed, up to four minimum round trips', () => {
    assert.ok(Math.abs(new Rounds().run(2_000, 140).besideMs - 0.88 * 140) < 0.01);
    assert.equal(new Rounds().run(2_000, 400).besideMs, 4 * MIN_MS);
  });

  test('with a shallow queue is not followed beyond what channels like ours could have caused', () => {
    assert.equal(new Rounds().run(2_000, 100).besideMs, 1.9 * MIN_MS);
  });

  test('that loses a round now and then is not stubborn', () => {
    const rounds = new Rounds();
    for (let cycle = 0; cycle < 20; cycle++) rounds.run(4_000, 70).run(80, 80, true);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
  });

  test('that keeps the queue full is yielded to once, then matched for half a minute', () => {
    const rounds = new Rounds().run(900, 80, true);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
    assert.equal(rounds.besideMs, 1.4 * MIN_MS);
    rounds.run(2_200, 80, true);
    assert.ok(rounds.rival.isStubborn(rounds.nowMs));
    assert.ok(rounds.besideMs >= 2 * MIN_MS);
    rounds.run(30_000, 80, true);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
    assert.equal(rounds.besideMs, 1.4 * MIN_MS);
  });

  test('that also gives way is not treated as a stubborn rival', () => {
    const rounds = new Rounds().run(900, 80, true).run(10_000, 55);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
  });

  test('is not inferred from loss by itself, which may come from a radio link', () => {
    const rounds = new Rounds().run(20_000, 44, true);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
    assert.ok(Math.abs(rounds.aloneMs - 1.15 * MIN_MS) < 0.01);
  });

  test('with a small queue gets all of it for three seconds after loss', () => {
    const rounds = new Rounds().run(200, 48, true);
    assert.equal(rounds.aloneMs, MIN_MS);
    assert.ok(rounds.run(3_100, 41).aloneMs > MIN_MS);
  });

  test('is not inferred from what host timers add to a path of a millisecond', () => {
    const rival = new Rival();
    for (let nowMs = 0; nowMs < 10_000; nowMs += 6) rival.onRound(6, 1, true, nowMs);
    assert.equal(rival.besideMs(1, false, 10_000), 0);
    assert.ok(!rival.isStubborn(10_000));
    assert.ok(Math.abs(rival.aloneMs(1, false, 10_000) - 1.6) < 0.01);
  });

  test('makes no difference on a short path: the window leaves room for jitter', () => {
    assert.equal(new Rival().aloneMs(10, false, 0), 16);
    assert.equal(new Rival().aloneMs(0.1, false, 0), 1.6 * 0.1);
  });

  test('on another path is forgotten', () => {
    const rounds = new Rounds().run(4_000, 80, true);
    rounds.rival.reset();
    assert.equal(rounds.besideMs, 0);
    assert.ok(!rounds.rival.isStubborn(rounds.nowMs));
  });
});
