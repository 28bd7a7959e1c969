import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SimEnd, type SimPath, simPath } from '../support/sim_path.js';

/** Set this variable to run more seeds than usual. */
const RUNS = 'CHANNEL_RUNS';

/** What may happen to a path, each event at its own time. */
const trouble = fc.oneof(
  fc.record({ kind: fc.constant('outage' as const), atMs: fc.nat(4_000), forMs: fc.nat(3_000) }),
  fc.record({ kind: fc.constant('freeze' as const), atMs: fc.nat(4_000), forMs: fc.nat(3_000) }),
  fc.record({ kind: fc.constant('full' as const), atMs: fc.nat(4_000), forMs: fc.nat(500) }),
  fc.record({ kind: fc.constant('stall' as const), atMs: fc.nat(4_000), forMs: fc.nat(1_000) }),
  fc.record({ kind: fc.constant('path' as const), atMs: fc.nat(4_000), forMs: fc.nat(200) }),
);

const world = fc.record({
  seed: fc.nat(0xffff_ffff),
  delayMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 150 })),
  jitterMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
  loss: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.4, noNaN: true })),
  lossBack: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.6, noNaN: true })),
  duplicate: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.5, noNaN: true })),
  rateMbps: fc.oneof(fc.constant(1_000), fc.integer({ min: 1, max: 50 })),
  queueBytes: fc.integer({ min: 5_000, max: 500_000 }),
  frames: fc.array(
    fc.record({ bytes: fc.integer({ min: 4, max: 1344 }), urgent: fc.boolean(), atMs: fc.nat(3_000) }),
    { maxLength: 300, size: 'max' },
  ),
  troubles: fc.array(trouble, { maxLength: 4, size: 'max' }),
});

function plan({ clock, a, b, ab, ba }: SimPath, event: { kind: string; atMs: number; forMs: number }): void {
  const { kind, atMs, forMs } = event;
  const between = (begin: () => void, end: () => void): void => {
    clock.at(atMs, begin);
    clock.at(atMs + forMs, end);
  };
  const wake = (): void => {
    a.wake();
    b.wake();
  };
  const each = (change: (end: SimEnd) => void) => (): void => {
    change(a);
    change(b);
    wake();
  };
  if (kind === 'outage')
    between(
      () => setDown(true),
      () => setDown(false),
    );
  else if (kind === 'freeze') {
    between(
      each((end) => end.channel.freeze(clock.nowMs)),
      each((end) => end.channel.thaw(clock.nowMs)),
    );
  } else if (kind === 'full') {
    between(
      each((end) => {
        end.result = forMs % 2 === 0 ? 'full' : 'offline';
      }),
      each((end) => {
        end.result = 'sent';
      }),
    );
  } else if (kind === 'stall') {
    // The ring accepts every second frame, then none, then all.
    let turn = 0;
    between(
      each((end) => {
        end.accepts = () => turn++ % 2 === 0;
      }),
      each((end) => {
        end.accepts = () => true;
      }),
    );
  } else {
    clock.at(
      atMs,
      each((end) => end.channel.pathChanged(clock.nowMs)),
    );
  }
  function setDown(down: boolean): void {
    ab.down = down;
    ba.down = down;
  }
}

test('every frame arrives exactly once, whatever the path does, and then the channel is quiet', () => {
  const runs = Number(process.env[RUNS] ?? 150);
  fc.assert(
    fc.property(world, (w) => {
      const path = simPath(w.seed, w, { loss: w.lossBack });
      const { clock, a, b } = path;
      for (const frame of w.frames) {
        clock.at(frame.atMs, () => {
          a.frame(frame.bytes, frame.urgent);
          b.frame(frame.bytes, frame.urgent);
        });
      }
      for (const event of w.troubles) plan(path, event);
      const done = (): boolean => a.receivedFrames >= w.frames.length && b.receivedFrames >= w.frames.length;
      clock.run(10_000);
      clock.run(600_000, done);
      clock.run(clock.nowMs + 5_000);

      for (const end of [a, b]) {
        assert.ifError(end.error);
        assert.equal(end.receivedFrames, w.frames.length);
        for (let index = 0; index < w.frames.length; index++) assert.equal(end.received[index], 1);
        assert.equal(end.channel.backlogBytes, 0);
      }
      // Quiet: only keep-alives remain, ten seconds apart. With jitter above the expected round trip, a ping is repeated
      // a few times. A channel that seeks its peer sends 120.
      const packets = a.packets + b.packets;
      clock.run(clock.nowMs + 30_000);
      if (w.loss + w.lossBack + w.duplicate === 0) assert.ok(a.packets + b.packets - packets <= 32);
    }),
    { numRuns: runs },
  );
});
