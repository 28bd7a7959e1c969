import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AckBatch } from '../../src/worker/channel/congestion/bbr.js';
import { Bbr, MAX_WINDOW_BYTES } from '../../src/worker/channel/congestion/bbr.js';

const RTT_MS = 40;

/** Feeds a controller one acknowledgement per round trip over a path that carries everything up to a rate. */
class Path {
  readonly bbr = new Bbr(1);
  nowMs = 0;
  rttMs = RTT_MS;
  #deliveredBytes = 0;

  /** @param rate of the path, in bytes per ms */
  round(rate: number, more: Partial<AckBatch> = {}): void {
    const sent = Math.min(this.bbr.pacingRate, this.bbr.windowBytes / this.rttMs);
    const delivered = Math.min(sent, rate);
    this.nowMs += this.rttMs;
    const ackedBytes = delivered * this.rttMs;
    const before = this.#deliveredBytes;
    this.#deliveredBytes += ackedBytes;
    this.bbr.onAcked({
      nowMs: this.nowMs,
      ackedBytes,
      lostBytes: 0,
      lateBytes: 0,
      inFlightBytes: ackedBytes,
      deliveredBytes: this.#deliveredBytes,
      deliveredAtSendBytes: before,
      deliveryRate: delivered,
      appLimited: false,
      rttMs: this.rttMs,
      ...more,
    });
  }

  rounds(count: number, rate: number, more?: Partial<AckBatch>): this {
    for (let i = 0; i < count; i++) this.round(rate, more);
    return this;
  }
}

const RATE = 12_500;
const PRODUCT = RATE * RTT_MS;

describe('the controller', () => {
  test('finds a path of 100 Mbit/s within six round trips', () => {
    const { bbr } = new Path().rounds(6, RATE);
    assert.equal(bbr.bandwidth, RATE);
  });

  test('then keeps a sixth more than the bandwidth-delay product in flight, plus aggregated acknowledgements, and sends at that rate', () => {
    const { bbr } = new Path().rounds(20, RATE);
    assert.notEqual(bbr.mode, 'startup');
    // 1.15 of the path, 4 ms for the hosts, and one round, since acknowledgements come once per round trip
    // here.
    assert.ok(Math.abs(bbr.windowBytes / PRODUCT - 2.25) < 0.01, `${bbr.windowBytes / PRODUCT}`);
    assert.ok(bbr.pacingRate >= 0.7 * RATE && bbr.pacingRate <= 1.3 * RATE);
  });

  test('probes for more bandwidth now and then, and drains the queue afterwards', () => {
    const path = new Path().rounds(20, RATE);
    const modes = new Set<string>();
    for (let round = 0; round < 30; round++) {
      path.round(RATE, { inFlightBytes: path.bbr.mode === 'up' ? 2 * PRODUCT : PRODUCT / 2 });
      modes.add(path.bbr.mode);
      if (path.bbr.mode === 'up') assert.ok(path.bbr.pacingRate > 1.2 * RATE);
      if (path.bbr.mode === 'down') assert.ok(path.bbr.pacingRate < 0.8 * RATE);
      if (path.bbr.mode === 'cruise') assert.ok(Math.abs(path.bbr.pacingRate / RATE - 0.99) < 0.01);
    }
    assert.deepEqual([...modes].sort(), ['cruise', 'down', 'up']);
  });

  test('follows a path that becomes faster or slower', () => {
    const path = new Path().rounds(20, RATE);
    path.rounds(60, 2 * RATE, { inFlightBytes: 3 * PRODUCT });
    assert.ok(path.bbr.bandwidth > 1.8 * RATE, `${path.bbr.bandwidth / RATE}`);
    path.rounds(15, RATE / 4);
    assert.equal(path.bbr.bandwidth, RATE / 4);
  });

  test('does not slow down for loss while round trips stay short', () => {
    const path = new Path().rounds(20, RATE);
    const before = path.bbr.windowBytes;
    path.rounds(10, RATE, { lostBytes: 0.05 * PRODUCT });
    assert.ok(path.bbr.windowBytes >= 0.95 * before);
  });

  test('keeps less in flight for three seconds after loss in a full queue', () => {
    const path = new Path().rounds(20, RATE);
    path.round(RATE, { lostBytes: 0.05 * PRODUCT, rttMs: 1.5 * RTT_MS });
    path.round(RATE);
    const less = path.bbr.windowBytes;
    assert.ok(Math.abs(less / PRODUCT - 2.1) < 0.01, `${less / PRODUCT}`);
    path.rounds(80, RATE);
    assert.ok(path.bbr.windowBytes > less + 0.1 * PRODUCT);
  });

  test('sends below the measured rate after a round with a queue, until the queue is gone', () => {
    const path = new Path().rounds(20, RATE);
    const cruise = (): number => {
      for (let i = 0; i < 20; i++) {
        path.round(RATE, { inFlightBytes: path.bbr.mode === 'up' ? 2 * PRODUCT : PRODUCT / 2 });
        if (path.bbr.mode === 'cruise') break;
      }
      return path.bbr.pacingRate / path.bbr.bandwidth;
    };
    path.rttMs = RTT_MS + 7;
    path.rounds(2, RATE, { inFlightBytes: PRODUCT / 2 });
    assert.ok(Math.abs(cruise() - 0.95) < 0.01, `${cruise()}`);
    path.rttMs = RTT_MS + 5;
    path.rounds(2, RATE, { inFlightBytes: PRODUCT / 2 });
    assert.ok(Math.abs(cruise() - 0.99) < 0.01, `${cruise()}`);
  });

  test('keeps its window open next to a rival that makes each round trip long', () => {
    const path = new Path().rounds(20, RATE);
    const alone = path.bbr.windowBytes;
    path.rttMs = 1.8 * RTT_MS;
    for (let i = 0; i < 40 && path.bbr.mode !== 'probe-rtt'; i++) {
      path.round(RATE / 2, { inFlightBytes: PRODUCT / 4 });
    }
    // It keeps its half of the link in flight for a round trip of 1.8 times the minimum.
    assert.ok(path.bbr.windowBytes > 0.88 * 1.8 * 0.5 * PRODUCT, `${path.bbr.windowBytes / alone}`);
  });

  test('does not mistake a time with little to send for a slow path', () => {
    const path = new Path().rounds(20, RATE);
    path.rounds(30, RATE, { appLimited: true, deliveryRate: RATE / 10 });
    assert.equal(path.bbr.bandwidth, RATE);
  });

  test('accepts a faster sample even at such a time', () => {
    const path = new Path().rounds(20, RATE);
    path.round(RATE, { appLimited: true, deliveryRate: 2 * RATE });
    assert.equal(path.bbr.bandwidth, 2 * RATE);
  });

  test('empties the queue every ten seconds when the round trip stays long, and measures it then', () => {
    const path = new Path().rounds(20, RATE);
    path.rttMs = 2 * RTT_MS;
    let probed = 0;
    for (let round = 0; round < 200; round++) {
      path.round(RATE);
      if (path.bbr.mode !== 'probe-rtt') continue;
      probed++;
      assert.ok(path.bbr.windowBytes < 1.4 * PRODUCT);
    }
    assert.ok(probed > 0 && probed < 15, `${probed} rounds`);
    assert.ok(path.bbr.windowBytes > 2.5 * PRODUCT, `${path.bbr.windowBytes / PRODUCT}`);
  });

  test('restarts after a timeout, whatever was lost before it', () => {
    const path = new Path().rounds(20, RATE);
    path.bbr.onTimeout(path.nowMs);
    assert.equal(path.bbr.mode, 'startup');
    assert.ok(path.bbr.windowBytes < 50_000);
    path.round(RATE, { lostBytes: 1e6, deliveredAtSendBytes: 0 });
    path.round(RATE);
    assert.equal(path.bbr.mode, 'startup');
    path.rounds(6, RATE);
    assert.equal(path.bbr.bandwidth, RATE);
  });

  test('does not slow down in startup for a small first sample', () => {
    const path = new Path();
    const before = path.bbr.pacingRate;
    path.round(RATE, { deliveryRate: 1 });
    assert.equal(path.bbr.pacingRate, before);
  });

  test('does not leave startup for lack of data', () => {
    const { bbr } = new Path().rounds(12, RATE / 8, { appLimited: true });
    assert.equal(bbr.mode, 'startup');
  });

  test('returns to the full rate as soon as the queue from a probe is gone', () => {
    const path = new Path().rounds(20, RATE);
    for (const mode of ['cruise', 'up', 'down']) {
      for (let round = 0; path.bbr.mode !== mode && round < 100; round++) {
        path.round(RATE, { inFlightBytes: 2 * PRODUCT });
      }
    }
    assert.equal(path.bbr.mode, 'down');
    path.round(RATE, { inFlightBytes: PRODUCT / 2 });
    assert.equal(path.bbr.mode, 'cruise');
  });

  test('leaves startup when a sixth of a round is lost', () => {
    const path = new Path().rounds(3, 1e6);
    assert.equal(path.bbr.mode, 'startup');
    path.round(1e6, { lostBytes: path.bbr.windowBytes });
    assert.equal(path.bbr.mode, 'drain');
  });

  test('forgets the round trip of the old path when the path changes', () => {
    const path = new Path().rounds(20, RATE);
    path.bbr.onPathChanged(path.nowMs);
    path.rttMs = 4 * RTT_MS;
    path.rounds(20, RATE);
    assert.ok(path.bbr.windowBytes > 9 * PRODUCT, `${path.bbr.windowBytes / PRODUCT}`);
  });

  test('never keeps more in flight than the memory for retransmission', () => {
    const path = new Path();
    path.rttMs = 2_000;
    path.rounds(40, 1e6);
    assert.equal(path.bbr.windowBytes, MAX_WINDOW_BYTES);
  });

  test('allows for hosts that delay acknowledgements, on a path shorter than their timers', () => {
    const path = new Path();
    path.rttMs = 0.1;
    for (let i = 0; i < 4_000; i++) path.round(100_000);
    assert.ok(path.bbr.windowBytes > 100_000, `${path.bbr.windowBytes}`);
  });

  test('reduces that allowance while urgent frames are sent, and restores it a tenth of a second after the last one', () => {
    const path = new Path();
    path.rttMs = 0.1;
    const window = (ms: number): number => {
      for (let i = 0; i < ms * 10; i++) path.round(100_000);
      return path.bbr.windowBytes;
    };
    const bulkBytes = window(400);
    path.bbr.onUrgent(path.nowMs);
    assert.ok(window(30) < 0.55 * bulkBytes);
    assert.ok(window(60) < 0.55 * bulkBytes);
    assert.ok(window(50) > 0.9 * bulkBytes);
  });

  test('ignores urgent frames on a path of more than a few milliseconds', () => {
    const path = new Path().rounds(40, RATE);
    const quiet = new Path().rounds(40, RATE);
    path.bbr.onUrgent(path.nowMs);
    assert.equal(path.rounds(4, RATE).bbr.windowBytes, quiet.rounds(4, RATE).bbr.windowBytes);
  });
});
