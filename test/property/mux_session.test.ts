import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TunnelError } from '../../src/core/errors.js';
import { Session } from '../../src/mux/session/session.js';
import { STREAM_BYTES } from '../../src/mux/stream/receive_memory.js';
import type { MuxStream, OpenRequest, StreamHandlers } from '../../src/mux/stream/stream_api.js';
import { askedAddress } from '../support/asked_address.js';
import { ids, ListSink, ManualClock, MuxLink, randomOf } from '../support/mux_link.js';

const WINDOW_BYTES = 20_000;
const GROWTH_BYTES = 100_000;

/** What one end does with a stream. */
interface Plan {
  /** Bytes to send before the end. */
  readonly bytes: number;
  /** Bytes per millisecond that its consumer takes; 0 means that it never takes any. */
  readonly takesPerMs: number;
  /** Milliseconds after the start when it resets; Infinity for never. */
  readonly resetsAtMs: number;
  /** How long the dial at the accepting end takes, in milliseconds; -1 refuses. */
  readonly dialMs: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 150_000 })),
  takesPerMs: fc.oneof({ weight: 3, arbitrary: fc.constant(1_000_000) }, fc.integer({ min: 300, max: 5000 })),
  resetsAtMs: fc.oneof({ weight: 5, arbitrary: fc.constant(Number.POSITIVE_INFINITY) }, fc.nat(60)),
  dialMs: fc.oneof({ weight: 5, arbitrary: fc.nat(20) }, fc.constant(-1)),
});

/** One end of one stream: writes a pattern and checks the pattern of the other end. */
class End {
  readonly plan: Plan;
  readonly #seed: number;
  readonly #theirSeed: number;
  stream: MuxStream | undefined;
  sent = 0;
  got = 0;
  untaken = 0;
  outcome: 'none' | 'end' | 'refused' | 'reset' | 'we-reset' = 'none';
  over = false;

  constructor(plan: Plan, seed: number, theirSeed: number) {
    this.plan = plan;
    this.#seed = seed;
    this.#theirSeed = theirSeed;
  }

  readonly handlers: StreamHandlers = {
    onOpened: () => this.#alive(),
    onData: (chunk) => {
      this.#alive();
      for (let index = 0; index < chunk.length; index++) {
        if (chunk[index] !== patternAt(this.#theirSeed, this.got + index))
          assert.fail(`byte ${this.got + index} is wrong`);
      }
      this.got += chunk.length;
      this.untaken += chunk.length;
    },
    onEnd: () => {
      this.#alive();
      this.outcome = 'end';
    },
    onRefused: () => {
      this.#alive();
      this.outcome = 'refused';
      this.over = true;
    },
    onReset: () => {
      assert.ok(!this.over);
      this.outcome = 'reset';
      this.over = true;
    },
    onDrain: () => {
      assert.ok(!this.over);
      this.fill();
    },
  };

  fill(): void {
    while (this.sent < this.plan.bytes) {
      const chunk = Uint8Array.from({ length: Math.min(7001, this.plan.bytes - this.sent) }, (_, index) =>
        patternAt(this.#seed, this.sent + index),
      );
      this.sent += chunk.length;
      if (this.stream?.write(chunk) !== true) break;
    }
    this.#endWhenSent();
  }

  take(): void {
    const bytes = Math.min(this.untaken, this.plan.takesPerMs);
    this.untaken -= bytes;
    if (bytes > 0) this.stream?.consumed(bytes);
  }

  reset(): void {
    if (this.stream === undefined || this.stream.isClosed) return;
    this.stream.reset('cancelled');
    this.outcome = 'we-reset';
    this.over = true;
  }

  #endWhenSent(): void {
    if (this.sent === this.plan.bytes) this.stream?.end();
  }

  #alive(): void {
    assert.ok(!this.over && this.outcome !== 'end', `called after ${this.outcome}`);
  }
}

interface Pair {
  readonly opener: End;
  readonly accepter: End;
  request: OpenRequest | undefined;
  readonly opensAtMs: number;
  dialledAtMs: number;
}

test('any mix of streams over any reordering: every byte in order, nothing beyond the credit, nothing left over', () => {
  const streams = fc.array(
    fc.record({ opener: plan, accepter: plan, opensAtMs: fc.nat(40), byListener: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 12,
      size: 'max',
    },
  );
  fc.assert(
    fc.property(
      streams,
      fc.integer({ min: 1 }),
      fc.nat(20),
      fc.integer({ min: 1, max: 60 }),
      // Together shorter than the silence after which a session is dead: they may follow one another at once.
      fc.array(fc.nat(200), { maxLength: 4 }),
      (wanted, seed, delayMs, room, pauses) => {
        const pairs: Pair[] = wanted.map(({ opener, accepter, opensAtMs }, index) => ({
          opener: new End(opener, 2 * index, 2 * index + 1),
          accepter: new End(accepter, 2 * index + 1, 2 * index),
          request: undefined,
          opensAtMs,
          dialledAtMs: Number.POSITIVE_INFINITY,
        }));
        const limits = {
          initialWindowBytes: WINDOW_BYTES,
          maxPeerWindowBytes: GROWTH_BYTES,
          maxStreamWindowBytes: 60_000,
          sendHighWaterBytes: 10_000,
        };
        const onOpen = (request: OpenRequest): void => {
          const pair = pairs[askedAddress(request.target).port - 1];
          assert.ok(pair !== undefined && pair.request === undefined);
          pair.request = request;
          pair.dialledAtMs = link.clock.ms + pair.accepter.plan.dialMs;
          if (pair.accepter.plan.dialMs < 0) request.refuse('refused', 'no');
        };
        const options = { onOpen, limits, givesBack: true };
        const link: MuxLink = new MuxLink({ seed, delayMs, room }, options, options);
        let sinceMs = -1;
        const step = (): void => {
          sinceMs++;
          // Long enough that streams without data give credit back.
          if (pauses.includes(sinceMs)) {
            link.clock.ms += 6000;
            for (const session of [link.connector, link.listener]) assert.equal(session.tick(), 'alive');
          }
          for (const [index, pair] of pairs.entries()) {
            const { opener, accepter } = pair;
            if (sinceMs === pair.opensAtMs) {
              const session = wanted[index]!.byListener ? link.listener : link.connector;
              opener.stream = session.open({ kind: 'tcp', host: 'h', port: index + 1 }, opener.handlers);
              opener.fill();
            }
            if (
              link.clock.ms >= pair.dialledAtMs &&
              accepter.stream === undefined &&
              pair.request?.isCancelled === false &&
              accepter.plan.dialMs >= 0
            ) {
              accepter.stream = pair.request.accept(accepter.handlers);
              accepter.fill();
            }
            for (const end of [opener, accepter]) {
              end.take();
              if (sinceMs === end.plan.resetsAtMs) end.reset();
              assert.ok(end.untaken <= 60_000, 'a consumer holds more than its window');
            }
          }
          for (const session of [link.connector, link.listener]) {
            const { heldBytes, reservedBytes, streams: count, growthLeftBytes } = session.stats();
            assert.ok(growthLeftBytes >= 0 && growthLeftBytes <= GROWTH_BYTES);
            assert.ok(heldBytes <= reservedBytes);
            assert.ok(reservedBytes <= count * STREAM_BYTES + GROWTH_BYTES - growthLeftBytes);
          }
          link.step();
        };
        const done = (): boolean =>
          sinceMs > 60 && link.connector.streamCount === 0 && link.listener.streamCount === 0;
        for (let count = 0; count < 30_000 && !done(); count++) step();
        for (let count = 0; count < 200; count++) link.step();

        for (const [index, { opener, accepter }] of pairs.entries()) {
          const ends = [opener, accepter].map(
            ({ outcome, got, sent }) => `${outcome} got ${got} sent ${sent}`,
          );
          const undisturbed =
            opener.plan.resetsAtMs === Number.POSITIVE_INFINITY &&
            accepter.plan.resetsAtMs === Number.POSITIVE_INFINITY;
          if (undisturbed && accepter.plan.dialMs < 0)
            assert.equal(opener.outcome, 'refused', `${index}: ${ends}`);
          if (undisturbed && accepter.plan.dialMs >= 0) {
            assert.deepEqual([opener.outcome, accepter.outcome], ['end', 'end'], `${index}: ${ends}`);
            assert.equal(opener.got, accepter.plan.bytes);
            assert.equal(accepter.got, opener.plan.bytes);
          }
        }
        for (const session of [link.connector, link.listener]) {
          const { streams: count, heldBytes, reservedBytes, backlogBytes, growthLeftBytes } = session.stats();
          assert.deepEqual(
            { count, heldBytes, reservedBytes, backlogBytes, growthLeftBytes },
            { count: 0, heldBytes: 0, reservedBytes: 0, backlogBytes: 0, growthLeftBytes: GROWTH_BYTES },
          );
        }
        assert.equal(link.inFlight, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test('a BYE right after the last END loses nothing, whatever overtakes what', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1 }),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 200_000 }),
      (seed, delayMs, bytes) => {
        let got = 0;
        let outcome = '';
        let bye = '';
        const link = new MuxLink(
          { seed, delayMs, room: 30 },
          {},
          {
            onBye: (reason) => {
              bye = reason;
            },
            onOpen: (request) => {
              const stream = request.accept({
                onData: (chunk) => {
                  got += chunk.length;
                  stream.consumed(chunk.length);
                },
                onEnd: () => {
                  outcome += 'end';
                },
                onReset: () => {
                  outcome += 'reset';
                },
              });
              stream.end();
            },
          },
        );
        const stream = link.connector.open({ kind: 'tcp', host: 'h', port: 1 }, {});
        stream.write(new Uint8Array(bytes));
        stream.end();
        assert.ok(link.run(() => link.connector.streamCount === 0, 20_000));
        link.connector.close('peer-shutdown');
        assert.ok(link.run(() => bye !== '', 20_000));
        assert.deepEqual({ got, outcome, bye }, { got: bytes, outcome: 'end', bye: 'peer-shutdown' });
      },
    ),
    { numRuns: 50 },
  );
});

test('whatever the limits of the other end, every stream opens in its turn, and none is refused', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1 }),
      fc.integer({ min: 0, max: 10 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 20, max: 1000 }),
      fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 60 }),
      (seed, delayMs, streams, opensPerSecond, livesMs) => {
        const cancelled = livesMs.filter((ms) => ms === 30).length;
        let open = 0;
        let ended = 0;
        let others = 0;
        const passedAtMs: number[] = [];
        const ends: { readonly atMs: number; readonly stream: MuxStream }[] = [];
        const link = new MuxLink(
          { seed, delayMs, room: 20 },
          {},
          {
            limits: { streams, opensPerSecond },
            onOpen: (request) => {
              passedAtMs.push(link.clock.ms);
              open++;
              assert.ok(open <= streams, 'no more at once than the accepting end allows');
              const over = (): void => void open--;
              const stream = request.accept({ onEnd: over, onReset: over });
              stream.end();
            },
          },
        );
        const beganMs = link.clock.ms;
        const all = livesMs.map((lifeMs) => {
          const stream = link.connector.open(
            { kind: 'tcp', host: 'h', port: 1 },
            {
              onOpened: () => ends.push({ atMs: link.clock.ms + lifeMs, stream }),
              onEnd: () => ended++,
              onRefused: () => others++,
              onReset: () => others++,
            },
          );
          return stream;
        });
        // Some are given up at once, sent or not.
        for (const [index, stream] of all.entries()) if (livesMs[index] === 30) stream.reset('cancelled');
        const step = (): boolean => {
          if (link.listener.nextTickMs() <= 0) link.listener.tick();
          for (const { atMs, stream } of ends) if (atMs <= link.clock.ms) stream.end();
          return ended === livesMs.length - cancelled && link.connector.streamCount === 0;
        };
        assert.ok(link.run(step, 20_000));
        assert.equal(others, 0);
        for (const [index, atMs] of passedAtMs.entries()) {
          const earliestMs = beganMs + ((index + 1 - 2 * opensPerSecond) / opensPerSecond) * 1000;
          assert.ok(atMs >= earliestMs - 1, 'no faster than the rate');
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('a hostile peer causes a violation or nothing: no other error, and no more memory than its windows allow', () => {
  const stream = fc.nat(3);
  const near = fc.oneof(fc.nat(6000), fc.nat(300_000), fc.maxSafeNat());
  const act = fc.oneof(
    fc.record({
      type: fc.constantFrom(1, 1, 2, 3, 4, 4, 4, 5, 6, 7, 7),
      stream,
      offset: near,
      length: fc.nat(1100),
    }),
    fc.record({
      type: fc.constantFrom(0x10, 0x11, 0x12, 0x13, 0, 9),
      stream: fc.constant(9),
      offset: fc.nat(20),
      length: fc.nat(12),
    }),
    fc.record({ type: fc.constant(-1), stream, offset: near, length: fc.nat(4) }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 150, size: 'max' }), fc.integer({ min: 1 }), (acts, seed) => {
      const random = randomOf(seed);
      const sink = new ListSink();
      sink.room = 50;
      const live: MuxStream[] = [];
      const ended = new Set<MuxStream>();
      const handlers: StreamHandlers = {};
      const session = new Session({
        sink,
        clock: new ManualClock(),
        random16: ids(seed),
        frameBytes: 1024,
        role: 'listener',
        limits: { initialWindowBytes: 5000, streams: 3, sendHighWaterBytes: 3000 },
        onOpen: (request) => {
          if (random() < 0.3) request.refuse('refused');
          else live.push(request.accept(handlers));
        },
      });
      let sentBytes = 0;
      try {
        for (const { type, stream: which, offset, length } of acts) {
          if (type === -1) {
            // What an honest end might do at the same time.
            if (length === 0) sink.take();
            if (length === 0) session.writable();
            const mine = live[which];
            // Writing after one's own end is a fault of the caller, and reported as such.
            if (length === 1 && mine !== undefined && !ended.has(mine)) mine.write(new Uint8Array(2000));
            if (length === 2 && mine !== undefined) {
              mine.end();
              ended.add(mine);
            }
            if (length === 3) live[which]?.reset('cancelled');
            if (length === 4) session.flush();
            continue;
          }
          const frame = bytesFor(type, which, offset, length);
          sentBytes += frame.length;
          session.receive(frame);
          assert.ok(sink.frames.length <= 50);
          assert.ok(session.stats().heldBytes <= session.stats().reservedBytes);
          assert.ok(session.streamCount <= 3);
        }
      } catch (error) {
        assert.ok(TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote, String(error));
        session.close('protocol-error');
        assert.equal(session.streamCount, 0);
        assert.equal(session.stats().heldBytes, 0);
      }
      assert.ok(session.stats().bytesReceived <= sentBytes);
    }),
    { numRuns: 400 },
  );
});

/** A frame whose body usually fits its type. */
function bytesFor(type: number, which: number, offset: number, length: number): Uint8Array {
  const head = Buffer.alloc(25);
  head[0] = type;
  if (which < 9) head.fill(which + 1, 1, 17);
  head.writeBigUInt64BE(BigInt(offset), 17);
  if (type === 1)
    return Buffer.concat([head, Buffer.from('010016016100', 'hex').subarray(0, length % 50 === 0 ? 6 : 5)]);
  if (type === 4) return Buffer.concat([head, Buffer.alloc(length)]);
  if (type === 7 || type === 3) return head.subarray(0, length % 50 === 0 ? 18 : 19);
  if (type === 0x12)
    return Buffer.concat([head.subarray(0, 19), head.subarray(17), Buffer.alloc(length, 0x61)]);
  return head.subarray(0, length === 7 ? 24 : 25);
}

function patternAt(seed: number, position: number): number {
  return (((position + seed * 7919) * 2_654_435_761) >>> 11) & 0xff;
}
