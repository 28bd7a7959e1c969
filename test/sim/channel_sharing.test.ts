import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BUNDLE_BYTES } from '../../src/worker/channel/packet.js';
import { SimBbr } from '../support/sim_bbr.js';
import type { SimClock } from '../support/sim_clock.js';
import { simEnds, simPath } from '../support/sim_path.js';
import { SimTcp } from '../support/sim_tcp.js';

const ENDLESS = 1e12;
/** How long the flows settle before the shares are measured, and how long the measurement takes. */
const SETTLE_MS = 6_000;
const MEASURE_MS = 12_000;
/** BBR's share takes turns with ours, over tens of seconds. */
const BBR_MEASURE_MS = 30_000;

interface Line {
  readonly delayMs: number;
  readonly rateMbps: number;
  readonly queueBytes: number;
}

/** A line that takes 20 ms each way. @param queueRatio of its queue to the bytes that are on the way in a round trip */
function line(rateMbps: number, queueRatio: number): Line {
  return { delayMs: 20, rateMbps, queueBytes: rateMbps * 125 * 40 * queueRatio };
}

/** The share of the link that each of the two gets from now on. */
function shares(
  clock: SimClock,
  { rateMbps }: Line,
  one: Receiver,
  other: Receiver,
  measureMs = MEASURE_MS,
): [number, number] {
  const [first, second] = [one.receivedBytes, other.receivedBytes];
  clock.run(clock.nowMs + measureMs);
  const capacity = rateMbps * 125 * measureMs;
  return [(one.receivedBytes - first) / capacity, (other.receivedBytes - second) / capacity];
}

interface Receiver {
  readonly receivedBytes: number;
}

describe('a link shared with kernel TCP: each gets at least a quarter, or with BBR a fifth', () => {
  // The shares depend on the queue in proportion to the line. A slower line shows them with fewer packets.
  const rows = [
    { kind: 'cubic', rateMbps: 100, queueRatio: 0.5, first: 'channel' },
    { kind: 'cubic', rateMbps: 50, queueRatio: 1, first: 'channel' },
    { kind: 'cubic', rateMbps: 50, queueRatio: 1, first: 'tcp' },
    { kind: 'cubic', rateMbps: 50, queueRatio: 3, first: 'channel' },
    { kind: 'cubic', rateMbps: 100, queueRatio: 3, first: 'tcp' },
    { kind: 'reno', rateMbps: 50, queueRatio: 1, first: 'channel' },
    { kind: 'bbr', rateMbps: 50, queueRatio: 1, first: 'channel' },
    { kind: 'bbr', rateMbps: 50, queueRatio: 1, first: 'tcp' },
    { kind: 'bbr', rateMbps: 50, queueRatio: 3, first: 'channel' },
  ] as const;
  for (const { kind, rateMbps, queueRatio, first } of rows) {
    test(`${kind}, ${rateMbps} Mbit/s, a queue of ${queueRatio} round trips, ${first} first`, () => {
      const path = line(rateMbps, queueRatio);
      const { clock, a, b, ab, ba } = simPath(21, path);
      const tcp = kind === 'bbr' ? new SimBbr(clock, ab, ba) : new SimTcp(clock, ab, ba, kind);
      if (first === 'tcp') tcp.start();
      else a.bulk(ENDLESS);
      clock.run(2_000);
      if (first === 'tcp') a.bulk(ENDLESS);
      else tcp.start();
      clock.run(2_000 + SETTLE_MS);
      const [our, their] = shares(clock, path, b, tcp, kind === 'bbr' ? BBR_MEASURE_MS : MEASURE_MS);
      const least = kind === 'bbr' ? 0.2 : 0.25;
      assert.ok(our >= least && their >= least, `channel ${our.toFixed(2)}, TCP ${their.toFixed(2)}`);
      assert.ok(our + their >= 0.88, `together ${(our + their).toFixed(2)}`);
    });
  }
});

test('a channel that is refilled late time after time leaves CUBIC its share', () => {
  const path = line(100, 1);
  const { clock, a, b, ab, ba } = simPath(21, path);
  const tcp = new SimTcp(clock, ab, ba, 'cubic');
  // A main thread that is notified of room when half of its backlog has left, and refills 8 ms later: 3 ms too
  // late.
  const backlogBytes = 112 * 1024;
  let isDue = false;
  const fill = (): void => {
    isDue = false;
    while (a.backlogBytes + BUNDLE_BYTES <= backlogBytes) a.frame(BUNDLE_BYTES);
  };
  a.onDrained = () => {
    if (isDue || a.backlogBytes > backlogBytes / 2) return;
    isDue = true;
    clock.after(8, fill);
  };
  fill();
  clock.run(2_000);
  tcp.start();
  clock.run(2_000 + SETTLE_MS);
  const [our, their] = shares(clock, path, b, tcp);
  assert.ok(our >= 0.25 && their >= 0.25, `channel ${our.toFixed(2)}, TCP ${their.toFixed(2)}`);
});

test('two channels share a link in either start order, and do not keep the queue full', () => {
  const path = line(50, 1);
  const { clock, a, b, ab, ba } = simPath(22, path);
  const [c, d] = simEnds(clock, ab, ba, 23);
  a.bulk(ENDLESS);
  clock.run(3_000);
  c.bulk(ENDLESS);
  clock.run(3_000 + SETTLE_MS);
  const drops = ab.droppedFull;
  const [one, two] = shares(clock, path, b, d);
  assert.ok(one >= 0.3 && two >= 0.3, `first ${one.toFixed(2)}, second ${two.toFixed(2)}`);
  assert.ok(one + two >= 0.9);
  assert.ok(ab.droppedFull - drops < 600, `${ab.droppedFull - drops} dropped`);
});
