import assert from 'node:assert/strict';
import type { PacketResult } from '../../src/worker/channel/channel.js';
import { seeded } from './sim_clock.js';
import type { SimLink } from './sim_link.js';
import { type SimEnd, type SimPath, simPath } from './sim_path.js';

/** All frames and disturbances start within this time, in ms. */
const TROUBLED_MS = 4_000;
/** Everything has arrived by then, in ms: the worst seeds lose half of all packets at 0.1 Mbit/s. */
const LIMIT_MS = 3_600_000;
/** Maximum number of frames in one direction: for most seeds, and for seeds that fill a path for long. */
const MAX_FRAMES = 150;
const MAX_BULK_FRAMES = 3_000;
const MAX_FRAME_BYTES = 1_344;
/** Bundle slots are allocated in chunks of this many; source: CHUNK_SLOTS and SLOT_BYTES, bundle_slots.ts. */
const CHUNK_SLOTS = 128;
const CHUNK_BYTES = CHUNK_SLOTS * 1_376;
/** After this much silence the memory for frames is released, in ms: two rounds of keep-alives. */
const QUIET_MS = 25_000;

/** The result of a seed. */
export interface WorldResult {
  readonly frames: number;
  readonly virtualMs: number;
  readonly packets: number;
  readonly pumps: number;
}

/** Draws random values from the seed. */
class Draw {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  real(most: number): number {
    return this.#random() * most;
  }

  /** Returns a whole number from `least` to `most`, both inclusive. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.#random() * (most - least + 1));
  }

  chance(part: number): boolean {
    return this.#random() < part;
  }

  oneOf<T>(...choices: readonly [T, ...T[]]): T {
    return choices[this.whole(0, choices.length - 1)] ?? choices[0];
  }
}

/**
 * Runs two channels over a path generated from a seed: loss in both directions, duplicates, reordering, delay
 * spikes, blackouts, full rings, a toxcore that accepts nothing, freezes and path changes. Every frame must
 * arrive exactly once and intact; the channels hold, send and pump no more than that needs.
 *
 * @throws on any violation
 */
export function runChannelWorld(seed: number): WorldResult {
  const draw = new Draw(seed);
  const path = simPath(seed, linkOf(draw), { loss: draw.chance(0.4) ? draw.real(0.6) : 0 });
  const { clock, a, b } = path;
  const ends = [a, b] as const;
  const plans = ends.map((end, from) => plan(path, draw, end, ends[1 - from] ?? b));
  const sizes = plans.map((planned) => planned.sizes);
  const troubles = draw.whole(0, 6);
  for (let trouble = 0; trouble < troubles; trouble++) planTrouble(path, draw);

  const frames = plans.reduce((sum, { count }) => sum + count, 0);
  const arrived = (): number => a.receivedFrames + b.receivedFrames;
  const check = (): void => checkBounds(ends, sizes, clock.nowMs);
  for (let atMs = 0; atMs <= TROUBLED_MS; atMs += 500) clock.at(atMs, check);
  clock.run(2 * TROUBLED_MS);
  clock.run(LIMIT_MS, () => arrived() >= frames || ends.some((end) => end.error !== undefined));
  const virtualMs = clock.nowMs;
  const packets = a.packets + b.packets;
  clock.run(virtualMs + QUIET_MS);

  for (const [side, end] of ends.entries()) {
    assert.ifError(end.error);
    const expected = plans[1 - side]?.count ?? 0;
    assert.equal(end.receivedFrames, expected, 'frames that arrived');
    for (let index = 0; index < expected; index++) assert.equal(end.received[index], 1);
    const stats = end.channel.stats(clock.nowMs);
    assert.equal(stats.backlogBytes, 0);
    assert.equal(end.backlogBytes, 0, 'backlog bytes that were never returned');
    assert.equal(stats.inFlightBytes >= 0, true);
    assert.equal(stats.memoryBytes, 0, 'bytes for frames held after a quiet time');
  }
  check();
  return { frames, virtualMs, packets, pumps: a.pumps + b.pumps };
}

function linkOf(draw: Draw) {
  return {
    delayMs: draw.oneOf(0, draw.real(5), draw.real(150)),
    jitterMs: draw.oneOf(0, 0, draw.real(60)),
    loss: draw.oneOf(0, draw.real(0.05), draw.real(0.5)),
    duplicate: draw.oneOf(0, 0, draw.real(0.5)),
    rateMbps: draw.oneOf(1_000, 50, 0.1 + draw.real(5)),
    queueBytes: draw.whole(5_000, 300_000),
  };
}

/**
 * Plans what one end sends, in bursts, and checks what the other end receives. `sizes` grows as frames are
 * sent.
 */
function plan(
  { clock }: SimPath,
  draw: Draw,
  from: SimEnd,
  to: SimEnd,
): { readonly count: number; readonly sizes: readonly number[] } {
  const sizes: number[] = [];
  const mostFrames = draw.chance(0.15) ? MAX_BULK_FRAMES : MAX_FRAMES;
  const count = draw.chance(0.1) ? 0 : draw.whole(1, mostFrames);
  for (let left = count; left > 0; ) {
    const burst = Math.min(left, draw.oneOf(1, draw.whole(1, 8), draw.whole(1, mostFrames)));
    const urgent = draw.chance(0.3);
    const most = draw.oneOf(16, 200, MAX_FRAME_BYTES);
    const burstSizes = Array.from({ length: burst }, () => draw.whole(4, most));
    clock.at(draw.real(TROUBLED_MS), () => {
      for (const bytes of burstSizes) sizes[from.frame(bytes, urgent)] = bytes;
    });
    left -= burst;
  }
  to.onFrame = (frame) => {
    const index = new DataView(frame.buffer, frame.byteOffset).getUint32(0);
    assert.equal(frame.length, sizes[index], `length of frame ${index}`);
    assert.ok(
      frame.subarray(4).every((byte) => byte === (index & 0xff)),
      `bytes of frame ${index}`,
    );
  };
  return { count, sizes };
}

function planTrouble(path: SimPath, draw: Draw): void {
  const { clock, a, b, ab, ba } = path;
  const atMs = draw.real(TROUBLED_MS);
  const endMs = atMs + draw.oneOf(draw.real(50), draw.real(500), draw.real(TROUBLED_MS));
  const both = draw.chance(0.5);
  const ends: readonly SimEnd[] = both ? [a, b] : [draw.oneOf(a, b)];
  const links: readonly SimLink[] = both ? [ab, ba] : [draw.oneOf(ab, ba)];
  const between = (begin: () => void, end: () => void): void => {
    clock.at(atMs, begin);
    clock.at(endMs, end);
  };
  const onEnds = (change: (end: SimEnd) => void) => (): void => {
    for (const end of ends) {
      change(end);
      end.wake();
    }
  };
  const onLinks = (change: (link: SimLink) => void) => (): void => {
    for (const link of links) change(link);
  };
  const troubles: readonly [() => void, ...(() => void)[]] = [
    () =>
      between(
        onLinks((link) => {
          link.down = true;
        }),
        onLinks((link) => {
          link.down = false;
        }),
      ),
    () => {
      const moreMs = draw.real(800);
      between(
        onLinks((link) => {
          link.delayMs += moreMs;
        }),
        onLinks((link) => {
          link.delayMs -= moreMs;
        }),
      );
    },
    () => {
      const more = draw.real(0.5);
      between(
        onLinks((link) => {
          link.loss += more;
        }),
        onLinks((link) => {
          link.loss -= more;
        }),
      );
    },
    () =>
      between(
        onEnds((end) => end.channel.freeze(clock.nowMs)),
        onEnds((end) => end.channel.thaw(clock.nowMs)),
      ),
    () => {
      const result = draw.oneOf<PacketResult>('full', 'offline', 'failed');
      between(
        onEnds((end) => {
          end.result = result;
        }),
        onEnds((end) => {
          end.result = 'sent';
        }),
      );
    },
    () =>
      clock.at(
        atMs,
        onEnds((end) => end.channel.pathChanged(clock.nowMs)),
      ),
    () => planStall(path, draw, ends, atMs, endMs),
  ];
  draw.oneOf(...troubles)();
}

/**
 * For a while, the ring accepts only a few frames at a time, and wakes the channel each time that it has
 * room.
 */
function planStall(
  { clock }: SimPath,
  draw: Draw,
  ends: readonly SimEnd[],
  atMs: number,
  endMs: number,
): void {
  const everyMs = 1 + draw.real(60);
  const room = draw.whole(0, 3);
  for (const end of ends) {
    let left = 0;
    const grow = (): void => {
      if (clock.nowMs >= endMs) {
        end.accepts = () => true;
      } else {
        left = room;
        end.accepts = () => left-- > 0;
        clock.after(everyMs, grow);
      }
      end.wake();
    };
    clock.at(atMs, grow);
  }
}

function checkBounds(ends: readonly SimEnd[], sizes: readonly (readonly number[])[], nowMs: number): void {
  const packets = ends.reduce((sum, end) => sum + end.packets, 0);
  const frames = sizes.reduce((sum, { length }) => sum + length, 0);
  for (const [side, end] of ends.entries()) {
    const stats = end.channel.stats(nowMs);
    const mostChunks = Math.ceil((sizes[side]?.length ?? 0) / CHUNK_SLOTS);
    assert.ok(stats.memoryBytes <= mostChunks * CHUNK_BYTES, `${stats.memoryBytes} bytes for frames`);
    // Each incoming packet and each frame wakes an end once; a timer wakes it at most once per millisecond.
    const mostPumps = 4 * (packets + frames) + 2 * nowMs + 1_000;
    assert.ok(end.pumps <= mostPumps, `livelock: ${end.pumps} pumps, ${packets} packets, ${nowMs} ms`);
    // Lost packets are retransmitted at most once per probe; a stalled ring refuses packets each round trip.
    const mostPackets = 100 * (frames + 10) + nowMs;
    assert.ok(
      end.packets <= mostPackets,
      `livelock: ${end.packets} packets for ${frames} frames, ${nowMs} ms`,
    );
  }
}
