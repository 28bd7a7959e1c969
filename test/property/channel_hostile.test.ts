import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RECEIVED_SPAN } from '../../src/worker/channel/recovery/ack.js';
import { HeldChannel, Notes } from '../support/channel_pair.js';
import {
  ackPacket,
  bundlePacket,
  countLooks,
  HostilePeer,
  numberOf,
  pingPacket,
  type Range,
} from '../support/hostile_peer.js';
import { seeded } from '../support/sim_clock.js';

const FRAME = new Uint8Array(1_300);
/** All bundles that may be in flight, 32 MiB, and a chunk of slots: docs/channel.md, section 5. */
const MEMORY_BOUND_BYTES = 33 * 2 ** 20;
/** Set this variable to run more seeds than usual. */
const RUNS = 'CHANNEL_RUNS';

/** Returns a victim with this many packets in flight, and their numbers. */
function inFlight(packets: number): { victim: HeldChannel; numbers: number[] } {
  const victim = new HeldChannel(1, true, new Notes());
  const numbers: number[] = [];
  for (let count = 0; count < packets; count++) {
    victim.channel.send(FRAME, false, 0);
    // The pacer lets a burst leave each moment.
    if (count % 25 === 24) numbers.push(...pumped(victim, count / 40_000));
  }
  numbers.push(...pumped(victim, 0.9));
  assert.equal(numbers.length, packets);
  return { victim, numbers };
}

function pumped(victim: HeldChannel, nowMs: number): number[] {
  victim.pump(nowMs);
  return victim.sent.map(numberOf).filter((number) => number !== undefined);
}

/** Returns their ranges, newest first. */
function rangesOf(numbers: readonly number[]): Range[] {
  const ranges: [number, number][] = [];
  for (const number of numbers.toReversed()) {
    const last = ranges.at(-1);
    if (last !== undefined && last[0] === number + 1) last[0] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}

describe('a hostile peer', () => {
  test('that acknowledges everything in flight is caught at the first skipped number', () => {
    const { victim, numbers } = inFlight(4_000);
    assert.ok(rangesOf(numbers).length > 1, 'numbers are skipped');
    victim.receive(ackPacket([[0, 3_999]]), 10);
    victim.assertBlamesPeer();
    assert.equal(victim.channel.backlogBytes, 0);
  });

  test('that acknowledges what it saw, including gaps, is believed', () => {
    const { victim, numbers } = inFlight(4_000);
    victim.receive(ackPacket(rangesOf(numbers)), 10);
    assert.equal(victim.error, undefined);
    assert.equal(victim.channel.stats(10).inFlightBytes, 0);
  });

  test('that acknowledges future packets, or packets before the first, is caught', () => {
    for (const range of [
      [10, 10],
      [2 ** 31, 2 ** 31],
      [-3, 5],
    ] satisfies Range[]) {
      const { victim } = inFlight(10);
      victim.receive(ackPacket([range]), 10);
      victim.assertBlamesPeer();
    }
  });

  test('that reaches further back than either end remembers is caught', () => {
    const { victim, numbers } = inFlight(RECEIVED_SPAN + 100);
    const largest = numbers.at(-1) ?? 0;
    const since = (first: number): Uint8Array =>
      ackPacket(rangesOf(numbers.filter((number) => number >= first)));
    victim.receive(since(largest - RECEIVED_SPAN + 1), 10);
    assert.equal(victim.error, undefined);
    victim.receive(since(largest - RECEIVED_SPAN), 10);
    victim.assertBlamesPeer();
  });

  test('that floods with acknowledgements costs bounded work for each, however much is in flight', () => {
    const { victim, numbers } = inFlight(20_000);
    const [, ...others] = numbers; // the oldest packet keeps the others from being forgotten
    for (let at = 0; at < others.length; at += 4_000) {
      victim.receive(ackPacket(rangesOf(others.slice(at, at + 4_000))), 1);
    }
    assert.equal(victim.error, undefined);
    const largest = others.at(-1) ?? 0;
    const widest = ackPacket(rangesOf(others.filter((number) => number > largest - RECEIVED_SPAN)));
    const times = 200;
    const looks = countLooks(() => {
      for (let time = 0; time < times; time++) victim.receive(widest, 2);
    });
    assert.equal(victim.error, undefined);
    assert.ok(looks <= times * (RECEIVED_SPAN + 100), `${looks / times} lookups per acknowledgement`);
  });

  test('that sends one bundle ten thousand times has its frame delivered once', () => {
    const victim = new HeldChannel();
    for (let number = 0; number < 10_000; number++) {
      victim.receive(bundlePacket(number, 0, [Uint8Array.of(7)]), number / 100);
    }
    assert.deepEqual(victim.frames, ['07']);
    assert.equal(victim.error, undefined);
  });

  test('that demands ten thousand acknowledgements within a turn gets one', () => {
    const victim = new HeldChannel();
    for (let number = 0; number < 10_000; number++) victim.receive(pingPacket(number), 1);
    assert.equal(victim.pump(1).length, 1);
  });

  test('that leaves more gaps than an acknowledgement can describe still gets one', () => {
    const victim = new HeldChannel();
    for (let number = 2; number < 400; number += 2) victim.receive(pingPacket(number), 1);
    victim.receive(pingPacket(0), 1);
    assert.equal(victim.pump(1).length, 1);
    assert.equal(victim.pump(1).length, 0);
    assert.ok(victim.channel.pump(1) > 1);
  });

  test('that jumps ahead by more than any window holds is caught, before numbers come near 2^53', () => {
    const victim = new HeldChannel();
    victim.receive(pingPacket(0), 1);
    victim.receive(pingPacket(2 ** 20), 1);
    assert.equal(victim.error, undefined);
    victim.receive(pingPacket(2 ** 21 + 1), 1);
    victim.assertBlamesPeer();
  });

  test('that sends more frames in a packet than fit a bundle is caught, whatever there is room for above', () => {
    for (const room of [0, 1, Number.POSITIVE_INFINITY]) {
      const victim = new HeldChannel();
      victim.room = room;
      victim.receive(bundlePacket(0, 0, [Uint8Array.of(1), new Uint8Array(1_339)]), 1);
      assert.equal(victim.error, undefined);
      victim.receive(bundlePacket(1, 1, [Uint8Array.of(1), new Uint8Array(1_354)]), 1);
      victim.assertBlamesPeer();
    }
  });

  test('that sends bundles outside the window is caught, and inside the window costs no memory', () => {
    const victim = new HeldChannel();
    const before = victim.channel.stats(0).memoryBytes;
    for (let bundle = 65_535; bundle > 0; bundle -= 5) {
      victim.receive(bundlePacket(65_535 - bundle, bundle, [Uint8Array.of(1)]), 1);
      if (bundle % 100 === 0) victim.pump(1);
    }
    assert.equal(victim.error, undefined);
    assert.equal(victim.channel.stats(1).memoryBytes, before);
    victim.receive(bundlePacket(70_000, 65_536, [Uint8Array.of(1)]), 1);
    victim.assertBlamesPeer();
  });
});

test('whatever a peer sends, the channel continues or blames the peer: it never throws, stays within its bounds and returns its backlog', () => {
  // Each seed sends some 750 packets, so that 50 repeat each of the peer's tricks thousands of times.
  const seeds = Number(process.env[RUNS] ?? 50);
  let failed = 0;
  let survived = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const where = `seed ${seed}`;
    const random = seeded(seed);
    const peer = new HostilePeer(random);
    const victim = new HeldChannel(seed);
    const malice = seed % 3 === 0 ? 0 : random() * 0.05;
    let handed = 0;
    let received = 0;
    let sent = 0;
    for (let nowMs = 0; nowMs < 300; nowMs++) {
      for (let frames = Math.floor(random() * 4); frames > 0; frames--) {
        handed += FRAME.length;
        victim.channel.send(FRAME, random() < 0.2, nowMs);
      }
      victim.room = random() < 0.2 ? victim.frames.length : Number.POSITIVE_INFINITY;
      const packets = Math.floor(random() * 6);
      const looks = countLooks(() => {
        for (let count = 0; count < packets; count++) {
          victim.receive(peer.packet(malice), nowMs);
          received++;
        }
      });
      assert.ok(
        looks <= packets * (RECEIVED_SPAN + 1_000),
        `${where}: ${looks} lookups for ${packets} packets`,
      );
      const failedBefore = victim.error !== undefined;
      victim.pump(nowMs);
      if (failedBefore) assert.equal(victim.sent.length, 0, `${where}: it sends although it has failed`);
      sent += victim.sent.length;
      for (const packet of victim.sent) peer.see(packet);
      const { memoryBytes } = victim.channel.stats(nowMs);
      assert.ok(memoryBytes <= MEMORY_BOUND_BYTES, `${where}: ${memoryBytes} bytes held`);
    }
    assert.ok(sent <= received + 10 * (handed / FRAME.length) + 100, `${where}: ${sent} packets sent`);
    if (victim.error === undefined) {
      survived++;
      assert.equal(victim.drained + victim.channel.backlogBytes, handed, where);
    } else {
      failed++;
      victim.assertBlamesPeer();
      assert.equal(victim.drained, handed, where);
    }
    if (malice === 0) assert.equal(victim.error, undefined, where);
  }
  assert.ok(failed > seeds / 4 && survived > seeds / 4, `${failed} failed, ${survived} survived`);
});
