import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BundleSlots, MAX_BUNDLES, MAX_SENT_BUNDLES } from '../../src/worker/channel/bundles/bundle_slots.js';
import { NumberWindow } from '../../src/worker/channel/bundles/number_window.js';
import { OutgoingBundles, SlotQueue } from '../../src/worker/channel/bundles/outgoing_bundles.js';
import { MaxFilter, MinRtt } from '../../src/worker/channel/congestion/bbr_filters.js';
import { BUNDLE_SPAN } from '../../src/worker/channel/packet.js';
import { Reordering, RttEstimate } from '../../src/worker/channel/recovery/loss_timing.js';
import { MAX_SENT_SPAN, SentPackets } from '../../src/worker/channel/recovery/sent_packets.js';
import { Pacer } from '../../src/worker/channel/sender.js';

describe('the window of numbers', () => {
  test('moves past completed numbers, and only past them', () => {
    const window = new NumberWindow(64);
    window.add(1);
    assert.equal(window.floor, 0);
    window.add(0);
    assert.equal(window.floor, 2);
    assert.deepEqual(
      [0, 1, 2, 3].map((number) => window.has(number)),
      [true, true, false, false],
    );
  });

  test('remembers nothing of the previous lap', () => {
    const window = new NumberWindow(64);
    for (let number = 0; number < 1_000; number++) {
      assert.equal(window.has(number + 63), false);
      window.add(number);
      assert.equal(window.floor, number + 1);
    }
  });
});

test('a queue of slots keeps its order while it grows around its end', () => {
  const queue = new SlotQueue();
  let [pushed, taken] = [0, 0];
  for (let turn = 0; turn < 500; turn++) {
    for (let i = 0; i < 3; i++) queue.push(pushed++);
    assert.equal(queue.peek(), taken++);
    queue.shift();
  }
  while (queue.size > 0) {
    assert.equal(queue.peek(), taken++);
    queue.shift();
  }
  assert.equal(taken, pushed);
  assert.equal(queue.peek(), undefined);
});

/** Read again: the compiler would assume the earlier value. */
function largest(filter: MaxFilter): number {
  return filter.max;
}

describe('the recent maximum', () => {
  test('holds for its span of rounds, then yields to the largest later value', () => {
    const filter = new MaxFilter(10);
    filter.update(100, 0);
    for (let round = 1; round <= 10; round++) filter.update(50 + round, round);
    assert.equal(filter.max, 100);
    filter.update(40, 11);
    const best = largest(filter);
    assert.ok(best < 100 && best >= 53, `${best}`);
    for (let round = 12; round <= 40; round++) filter.update(7, round);
    assert.equal(filter.max, 7);
  });

  test('a larger value counts at once', () => {
    const filter = new MaxFilter(10);
    filter.update(5, 0);
    filter.update(6, 0);
    assert.equal(filter.max, 6);
  });

  test('after a pause longer than the span only later values count', () => {
    const filter = new MaxFilter(10);
    filter.update(100, 0);
    filter.update(1, 50);
    assert.equal(filter.max, 1);
  });
});

describe('the minimum round trip', () => {
  test('holds for ten seconds, then asks for a probe', () => {
    const rtt = new MinRtt();
    assert.equal(rtt.valueOr(7), 7);
    rtt.update(40, 0);
    rtt.update(50, 9_999);
    assert.equal(rtt.needsProbe(10_000), false);
    assert.equal(rtt.needsProbe(10_001), true);
    rtt.update(40.5, 10_001);
    assert.equal(rtt.needsProbe(10_001), false);
    assert.equal(rtt.valueOr(7), 40);
  });

  test('adopts the result of a probe, even a larger one', () => {
    const rtt = new MinRtt();
    rtt.update(40, 0);
    rtt.startProbe(11_000);
    for (const sample of [90, 62, 70]) rtt.update(sample, 11_100);
    assert.equal(rtt.probeEnded(11_239), false);
    assert.equal(rtt.probeEnded(11_240), true);
    assert.equal(rtt.valueOr(7), 62);
    assert.equal(rtt.needsProbe(11_240), false);
  });

  test('a probe without a sample keeps the earlier value', () => {
    const rtt = new MinRtt();
    rtt.update(40, 0);
    rtt.startProbe(11_000);
    assert.equal(rtt.probeEnded(12_000), true);
    assert.equal(rtt.valueOr(7), 40);
  });
});

describe('the round trip', () => {
  test('is estimated as in RFC 9002', () => {
    const rtt = new RttEstimate();
    assert.equal(rtt.known, false);
    rtt.update(100, 20);
    assert.deepEqual([rtt.smoothedMs, rtt.varianceMs, rtt.minMs], [100, 50, 100]);
    rtt.update(130, 10);
    assert.deepEqual([rtt.latestMs, rtt.varianceMs, rtt.smoothedMs], [120, 42.5, 102.5]);
    // An acknowledgement delay that leaves less than the minimum round trip is ignored.
    rtt.update(110, 50);
    assert.equal(rtt.latestMs, 110);
  });

  test('restarts with the first sample of a new path', () => {
    const rtt = new RttEstimate();
    rtt.update(100, 0);
    rtt.restart();
    assert.equal(rtt.smoothedMs, 100);
    rtt.update(300, 0);
    assert.equal(rtt.smoothedMs, 300);
  });
});

describe('reordering', () => {
  const rtt = new RttEstimate();
  rtt.update(80, 0);

  test('without reordering, three later packets or an eighth of a round trip reveal a loss', () => {
    const reordering = new Reordering();
    assert.equal(reordering.lossDelayMs(rtt, 0), 90);
    assert.equal(reordering.packets, 3);
  });

  test('after reordering only time reveals a loss, until five seconds pass without reordering', () => {
    const reordering = new Reordering();
    reordering.onSeen(1_000);
    reordering.lossDelayMs(rtt, 5_999);
    assert.equal(reordering.packets, Number.POSITIVE_INFINITY);
    reordering.lossDelayMs(rtt, 6_001);
    assert.equal(reordering.packets, 3);
  });

  test('a false alarm lengthens the wait by the shortfall and a quarter, up to a round trip', () => {
    const reordering = new Reordering();
    reordering.onLate(100, rtt, 0);
    assert.equal(reordering.lossDelayMs(rtt, 1), 80 + 25);
    reordering.onLate(9_999, rtt, 0);
    assert.equal(reordering.lossDelayMs(rtt, 1), 160);
    // The extra wait decays by halves.
    assert.equal(reordering.lossDelayMs(rtt, 5_001), 120);
  });
});

describe('the pacer', () => {
  test('lets a burst through, then limits packets to the rate', () => {
    const pacer = new Pacer(4_000);
    assert.equal(pacer.allows(0), true);
    pacer.spend(4_000);
    assert.equal(pacer.allows(0), false);
    assert.equal(pacer.readyAtMs(1_000), 2);
    pacer.refill(1, 1_000);
    assert.equal(pacer.allows(0), true);
    pacer.spend(1_400);
    assert.equal(pacer.allows(0), false);
    assert.equal(pacer.allows(1_400), true);
    assert.equal(pacer.allows(400), false);
  });

  test('saves up at most four milliseconds of the rate while idle', () => {
    const pacer = new Pacer(4_000);
    pacer.refill(60_000, 10_000);
    pacer.spend(40_000);
    assert.equal(pacer.allows(0), false);
    assert.equal(pacer.allows(1), true);
  });
});

describe('packets in flight', () => {
  test('keep their records while the ring grows', () => {
    const sent = new SentPackets();
    for (let number = 0; number < 900; number++) sent.add(0, 1, 0, 0, 0, 0, 0, false);
    sent.forgetBelow(850);
    for (let number = 900; number < 5_000; number++) {
      sent.add(
        number + 0.5,
        number % 1_373,
        number % 97,
        number * 3,
        number * 5,
        number * 7,
        number * 11,
        number % 2 === 0,
      );
    }
    for (let number = 900; number < 5_000; number++) {
      assert.equal(sent.sentAtMs(number), number + 0.5);
      assert.equal(sent.bytes(number), number % 1_373);
      assert.equal(sent.slot(number), number % 97);
      assert.equal(sent.bundle(number), number * 3);
      assert.equal(sent.deliveredBytes(number), number * 5);
      assert.equal(sent.deliveredAtMs(number), number * 7);
      assert.equal(sent.firstSentAtMs(number), number * 11);
      assert.equal(sent.wasAppLimited(number), number % 2 === 0);
    }
  });

  test('are limited in number', () => {
    const sent = new SentPackets();
    while (!sent.isFull()) sent.add(0, 1, -1, -1, 0, 0, 0, false);
    assert.ok(sent.next < MAX_SENT_SPAN);
    sent.forgetBelow(10);
    assert.equal(sent.isFull(), false);
    sent.forgetBelow(5);
    assert.equal(sent.oldest, 10);
  });
});

describe('the bundles to send', () => {
  const frame = new Uint8Array(1_000);

  /** Sends everything it may, each in its own packet; returns the slots. */
  function sendAll(outgoing: OutgoingBundles, firstPacket = 0): number[] {
    const slots: number[] = [];
    for (let slot = outgoing.next(); slot >= 0; slot = outgoing.next()) {
      outgoing.onSent(slot, firstPacket + slots.length);
      slots.push(slot);
    }
    return slots;
  }

  test('lost bundles are sent before new ones, and urgent bundles before all others', () => {
    const outgoing = new OutgoingBundles();
    outgoing.push(frame, false);
    outgoing.push(frame, true);
    const [urgent, bulk] = sendAll(outgoing);
    outgoing.push(frame, false);
    outgoing.onLost(bulk!, 1, 1);
    outgoing.onLost(urgent!, 0, 0);
    assert.equal(outgoing.hasWork, true);
    const again = sendAll(outgoing, 2);
    assert.deepEqual(again.slice(0, 2), [urgent, bulk]);
    assert.equal(again.length, 3);
    assert.equal(outgoing.hasWork, false);
  });

  test('a bundle that a later packet also carries is not sent a third time', () => {
    const outgoing = new OutgoingBundles();
    outgoing.push(frame, false);
    const [slot] = sendAll(outgoing);
    outgoing.onSent(slot!, 1);
    outgoing.onLost(slot!, 0, 0);
    assert.equal(outgoing.next(), -1);
    outgoing.onLost(slot!, 0, 1);
    assert.equal(outgoing.next(), slot);
  });

  test('a lost bundle that arrives late is not retransmitted, and neither is the next bundle in its slot', () => {
    for (const urgent of [false, true]) {
      const outgoing = new OutgoingBundles();
      outgoing.push(frame, urgent);
      const [slot] = sendAll(outgoing);
      outgoing.onLost(slot!, 0, 0);
      outgoing.onAcked(slot!, 0);
      // Frames of the other kind reuse the slot: they get one turn, in their own order.
      outgoing.onLost(slot!, 0, 0);
      outgoing.push(frame, !urgent);
      assert.deepEqual(sendAll(outgoing, 1), [slot]);
      assert.equal(outgoing.next(), -1);
      outgoing.onAcked(slot!, 0);
      assert.equal(outgoing.sentBundles, 1);
      outgoing.onAcked(slot!, 1);
      assert.equal(outgoing.sentBundles, 0);
    }
  });

  test('the number of bundles in flight is limited, however small they are', () => {
    const outgoing = new OutgoingBundles();
    for (let number = 0; number < MAX_SENT_BUNDLES; number++) {
      outgoing.push(frame, false);
      outgoing.onSent(outgoing.next(), number);
    }
    outgoing.push(frame, false);
    assert.equal(outgoing.next(), -1);
    outgoing.onAcked(0, 0);
    assert.ok(outgoing.next() >= 0);
  });

  test('no bundle gets a number that the peer could confuse with an older one', () => {
    const outgoing = new OutgoingBundles();
    outgoing.push(frame, false);
    const [oldest] = sendAll(outgoing);
    for (let number = 1; number < BUNDLE_SPAN; number++) {
      outgoing.push(frame, false);
      const slot = outgoing.next();
      assert.ok(slot >= 0);
      outgoing.onSent(slot, number);
      outgoing.onAcked(slot, number);
    }
    outgoing.push(frame, true);
    outgoing.push(frame, false);
    assert.equal(outgoing.next(), -1);
    assert.equal(outgoing.hasWork, true);
    outgoing.onAcked(oldest!, 0);
    assert.equal(sendAll(outgoing, BUNDLE_SPAN).length, 2);
  });

  for (const count of [1, 64, 65, 1_000, MAX_BUNDLES]) {
    test(`${count} bundles keep what they hold while the tables grow, and after they were released`, () => {
      const bundles = new BundleSlots();
      for (const round of [0, 1]) {
        for (let slot = 0; slot < count; slot++) {
          assert.equal(bundles.open(slot % 2 === 0, slot % 3 === 0), slot);
          bundles.append(slot, Uint8Array.of(slot, slot >> 8, round));
          bundles.setNumber(slot, slot + round);
          bundles.setLastPacket(slot, 2 * slot);
        }
        for (let slot = 0; slot < count; slot++) {
          const held = bundles.bytes(slot).subarray(bundles.start(slot), bundles.end(slot));
          const is =
            bundles.isUrgent(slot) === (slot % 2 === 0) &&
            bundles.isLossy(slot) === (slot % 3 === 0) &&
            bundles.number(slot) === slot + round &&
            bundles.lastPacket(slot) === 2 * slot &&
            held.join() === [slot & 0xff, slot >> 8, round].join();
          assert.ok(is, `slot ${slot}`);
        }
        for (let slot = count - 1; slot >= 0; slot--) bundles.free(slot);
        bundles.shrink();
      }
      assert.equal(bundles.memoryBytes, 0);
    });
  }

  test('memory is bounded, reported, and released when idle', () => {
    const bundles = new BundleSlots();
    for (let slot = 0; slot < MAX_BUNDLES; slot++) assert.equal(bundles.open(false), slot);
    assert.ok(bundles.memoryBytes < 40 * 2 ** 20);
    assert.throws(() => bundles.open(false), { code: 'ERR_LIMIT' });
    for (let slot = 0; slot < MAX_BUNDLES; slot++) bundles.free(slot);
    assert.equal(bundles.size, 0);
    bundles.shrink();
    assert.equal(bundles.memoryBytes, 0);
    assert.equal(bundles.open(false), 0);
    bundles.shrink();
    assert.notEqual(bundles.bytes(0), undefined);
  });
});
