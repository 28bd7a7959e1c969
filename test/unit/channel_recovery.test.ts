import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OutgoingBundles } from '../../src/worker/channel/bundles/outgoing_bundles.js';
import { Ack } from '../../src/worker/channel/recovery/ack.js';
import { LossRecovery } from '../../src/worker/channel/recovery/loss_recovery.js';
import { Notes } from '../support/channel_pair.js';

const PACKET_BYTES = 1_000;

class Bench {
  readonly notes = new Notes();
  readonly outgoing = new OutgoingBundles();
  readonly recovery = new LossRecovery(this.outgoing, this.notes);

  /** Sends packets at one moment; returns the number of the first. */
  send(count: number, nowMs: number): number {
    const first = this.recovery.sent.next;
    for (let i = 0; i < count; i++) {
      this.outgoing.push(new Uint8Array(1_000), false);
      const slot = this.outgoing.next();
      const number = this.outgoing.numberOf(slot);
      this.outgoing.onSent(slot, this.recovery.sent.next);
      this.recovery.onSent(nowMs, PACKET_BYTES, slot, number);
    }
    return first;
  }

  /** Acknowledges ranges, newest first. */
  ack(nowMs: number, ...ranges: Array<[number, number]>): void {
    const ack = new Ack();
    for (const [index, [first, last]] of ranges.entries()) {
      ack.first[index] = first;
      ack.last[index] = last;
    }
    ack.count = ranges.length;
    this.recovery.onAck(ack, nowMs);
  }

  get lost(): number {
    return this.recovery.packetsLost;
  }

  /** A first round trip of 100 ms, with five packets. */
  static warm(): Bench {
    const bench = new Bench();
    bench.send(5, 0);
    bench.ack(100, [0, 4]);
    return bench;
  }
}

describe('loss', () => {
  test('is detected when three newer packets have arrived, but not two', () => {
    const bench = Bench.warm();
    bench.send(4, 100);
    bench.ack(200, [7, 7]);
    assert.equal(bench.lost, 0);
    bench.ack(201, [7, 8]);
    assert.equal(bench.lost, 1);
    assert.equal(bench.recovery.inFlightBytes, PACKET_BYTES);
    assert.equal(bench.outgoing.hasWork, true);
  });

  test('is detected an eighth of a round trip after a newer packet arrived', () => {
    const bench = Bench.warm();
    bench.send(2, 100);
    bench.ack(200, [6, 6]);
    assert.equal(bench.lost, 0);
    assert.equal(bench.recovery.timerAtMs, 100 + 112.5);
    assert.equal(bench.recovery.onTimer(212.4), 0);
    assert.equal(bench.lost, 0);
    assert.equal(bench.recovery.onTimer(212.5), 0);
    assert.equal(bench.lost, 1);
    assert.equal(bench.notes.batches.at(-1)?.lostBytes, PACKET_BYTES);
  });

  test('is never detected by time for a packet sent after everything that arrived', () => {
    const bench = Bench.warm();
    bench.send(2, 100);
    bench.ack(200, [5, 5]);
    assert.ok(bench.recovery.timerAtMs > 300);
    assert.equal(bench.lost, 0);
  });

  test('a late packet counts as delivered, is reported as late, and stops the retransmission', () => {
    const bench = Bench.warm();
    bench.send(5, 100);
    bench.ack(200, [8, 9]);
    assert.equal(bench.lost, 2);
    bench.ack(210, [5, 9]);
    assert.equal(bench.recovery.packetsLate, 2);
    assert.equal(bench.notes.batches.at(-1)?.lateBytes, 2 * PACKET_BYTES);
    assert.equal(bench.recovery.inFlightBytes, 0);
    assert.equal(bench.outgoing.next(), -1);
    assert.equal(bench.outgoing.sentBundles, 0);
    // From now on, counting later packets reveals no loss here.
    bench.send(5, 300);
    bench.ack(400, [12, 14]);
    assert.equal(bench.lost, 2);
  });

  test('once a packet is overtaken, even briefly, newer packets are no longer counted', () => {
    const bench = Bench.warm();
    bench.send(2, 100);
    bench.ack(200, [6, 6]);
    bench.ack(205, [5, 6]);
    bench.send(5, 300);
    bench.ack(400, [9, 11]);
    assert.equal(bench.lost, 0);
  });

  test('a duplicate acknowledgement changes nothing', () => {
    const bench = Bench.warm();
    bench.send(3, 100);
    bench.ack(200, [5, 6]);
    const told = bench.notes.batches.length;
    bench.ack(201, [0, 6]);
    assert.equal(bench.notes.batches.length, told);
    assert.equal(bench.recovery.inFlightBytes, PACKET_BYTES);
  });

  test('packets are forgotten when their fate is known, lost ones after two round trips', () => {
    const bench = Bench.warm();
    assert.equal(bench.recovery.sent.oldest, 5);
    bench.send(5, 100);
    bench.ack(200, [8, 9]);
    assert.equal(bench.recovery.sent.oldest, 5);
    bench.ack(201, [7, 9]);
    bench.send(1, 900);
    bench.ack(1_000, [10, 10]);
    assert.equal(bench.recovery.sent.oldest, 11);
  });

  test('everything in flight is lost at once when the path is gone, and is retransmitted', () => {
    const bench = Bench.warm();
    bench.send(3, 100);
    bench.recovery.loseAll(150);
    assert.equal(bench.recovery.inFlightBytes, 0);
    assert.equal(bench.recovery.inFlightPackets, 0);
    assert.equal(bench.recovery.timerAtMs, Number.POSITIVE_INFINITY);
    assert.equal(bench.outgoing.hasWork, true);
    bench.ack(160, [5, 7]);
    assert.equal(bench.outgoing.next(), -1);
  });
});

describe('probes', () => {
  test('are sent after the round trip, its deviation and the delay of the peer, then at twice the interval', () => {
    const bench = Bench.warm();
    // 100 smoothed, 50 deviation, 4 for the peer.
    bench.send(1, 100);
    assert.equal(bench.recovery.timerAtMs, 100 + 100 + 200 + 4);
    assert.equal(bench.recovery.onTimer(403), 0);
    assert.equal(bench.recovery.onTimer(404), 2);
    assert.equal(bench.recovery.probes, 1);
    bench.send(1, 404);
    assert.equal(bench.recovery.timerAtMs, 404 + 608);
  });

  test('are never more than a second apart, and three without an answer put the path in doubt, once', () => {
    const bench = Bench.warm();
    let now = 100;
    bench.send(1, now);
    for (let probe = 1; probe <= 8; probe++) {
      assert.ok(bench.recovery.timerAtMs <= now + 1_000);
      now = bench.recovery.timerAtMs;
      assert.equal(bench.recovery.onTimer(now), 2);
      bench.send(1, now);
      assert.equal(bench.notes.timeouts, probe >= 3 ? 1 : 0);
    }
    bench.ack(now + 100, [bench.recovery.sent.next - 1, bench.recovery.sent.next - 1]);
    assert.equal(bench.recovery.probes, 0);
  });

  test('carry the oldest unacknowledged bundle', () => {
    const bench = Bench.warm();
    bench.send(3, 100);
    bench.ack(200, [5, 5]);
    const slot = bench.recovery.oldestBundle();
    assert.equal(bench.outgoing.bundles.number(slot), 6);
    bench.ack(210, [5, 7]);
    assert.equal(bench.recovery.oldestBundle(), -1);
  });

  test('are not sent while nothing is in flight', () => {
    assert.equal(Bench.warm().recovery.timerAtMs, Number.POSITIVE_INFINITY);
  });
});

describe('reports to the controller', () => {
  test('give the rate at which the path delivered over a round trip', () => {
    const bench = Bench.warm();
    // A packet every 10 ms, each acknowledged 100 ms later.
    for (let step = 0; step < 60; step++) {
      bench.send(1, 100 + 10 * step);
      if (step >= 10) bench.ack(100 + 10 * step, [5, 5 + step - 10]);
    }
    const last = bench.notes.batches.at(-1)!;
    assert.ok(Math.abs(last.deliveryRate - PACKET_BYTES / 10) < 1, `${last.deliveryRate}`);
    assert.equal(last.rttMs, 100);
    assert.equal(last.inFlightBytes, 10 * PACKET_BYTES);
    assert.equal(last.ackedBytes, PACKET_BYTES);
    assert.equal(last.appLimited, false);
  });

  test('do not make the path look faster when acknowledgements arrive together', () => {
    const bench = Bench.warm();
    for (let step = 0; step < 20; step++) bench.send(1, 100 + 10 * step);
    bench.ack(400, [5, 24]);
    assert.ok(bench.notes.batches.at(-1)!.deliveryRate <= PACKET_BYTES / 9);
  });

  test('do not make it look faster when acknowledgements were held back: the sending time counts', () => {
    const bench = Bench.warm();
    for (let step = 0; step < 50; step++) bench.send(1, 100 + 10 * step);
    bench.ack(600, [5, 5]);
    bench.send(1, 600);
    bench.ack(700, [5, 55]);
    assert.equal(bench.notes.batches.at(-1)!.deliveryRate, (50 * PACKET_BYTES) / 500);
  });

  test('mark samples taken while there was nothing to send, until those packets are acknowledged', () => {
    const bench = Bench.warm();
    bench.send(1, 100);
    bench.recovery.onAppLimited();
    bench.send(2, 110);
    bench.ack(210, [5, 7]);
    assert.equal(bench.notes.batches.at(-1)?.appLimited, true);
    bench.send(2, 220);
    bench.ack(320, [8, 9]);
    assert.equal(bench.notes.batches.at(-1)?.appLimited, false);
  });
});
