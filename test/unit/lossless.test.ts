import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createLosslessChannel } from '../../bench/lossless/lossless_channel.js';
import type { TunnelError } from '../../src/core/errors.js';
import type { Channel, PacketResult } from '../../src/worker/channel/channel.js';

/** toxcore, the ring and the main thread, as one channel sees them. */
class Surroundings {
  result: PacketResult = 'sent';
  /** Number of packets accepted before `result` applies; Infinity: all. */
  takes = Number.POSITIVE_INFINITY;
  ringTakes = Number.POSITIVE_INFINITY;
  readonly packets: string[] = [];
  readonly delivered: string[] = [];
  drainedBytes = 0;
  error: TunnelError | undefined;
  readonly channel: Channel;

  constructor(online = true) {
    this.channel = createLosslessChannel(
      {
        sendPacket: (packet) => {
          if (this.takes === 0) return this.result;
          this.takes--;
          this.packets.push(Buffer.from(packet).toString('hex'));
          return 'sent';
        },
        deliver: (frame) => {
          if (this.ringTakes === 0) return false;
          this.ringTakes--;
          this.delivered.push(Buffer.from(frame).toString());
          return true;
        },
        drained: (bytes) => {
          this.drainedBytes += bytes;
        },
        fail: (error) => {
          assert.equal(this.error, undefined, 'failed once');
          this.error = error;
        },
      },
      { frameBytes: 1024, online, tag: 0, seed: 0 },
    );
  }
}

const frame = (text: string): Uint8Array => Buffer.from(text);
const packet = (text: string): Uint8Array => Buffer.from(`\xb7\x05${text}`, 'latin1');

test('a frame is sent as b7 05 and itself, and counts as sent', () => {
  const { channel, packets, ...rest } = new Surroundings();
  void rest;
  channel.send(frame('hi'), false, 0);
  assert.deepEqual(packets, []);
  assert.equal(channel.backlogBytes, 2);
  assert.equal(channel.pump(0), Number.POSITIVE_INFINITY);
  assert.deepEqual(packets, ['b7056869']);
  assert.equal(channel.backlogBytes, 0);
});

test('a frame is copied when it is handed over', () => {
  const around = new Surroundings();
  const bytes = Buffer.from('hi');
  around.channel.send(bytes, false, 0);
  bytes.fill(0);
  around.channel.pump(0);
  assert.deepEqual(around.packets, ['b7056869']);
  assert.equal(around.drainedBytes, 2);
});

test('urgent frames overtake the others, each kind in its order', () => {
  const around = new Surroundings();
  for (const [text, urgent] of [
    ['1', false],
    ['2', false],
    ['a', true],
    ['b', true],
  ] as const) {
    around.channel.send(frame(text), urgent, 0);
  }
  around.channel.pump(0);
  assert.deepEqual(around.packets, ['b70561', 'b70562', 'b70531', 'b70532']);
});

test('when toxcore refuses a frame, the frame waits for a while before the next attempt', () => {
  const around = new Surroundings();
  around.result = 'full';
  around.takes = 1;
  around.channel.send(frame('1'), false, 0);
  around.channel.send(frame('22'), false, 0);
  const again = around.channel.pump(100);
  assert.ok(again > 100 && again < 200);
  assert.equal(around.drainedBytes, 1);
  assert.equal(around.channel.backlogBytes, 2);
  around.takes = 5;
  assert.equal(around.channel.pump(100), again);
  assert.equal(around.packets.length, 1);
  assert.equal(around.channel.pump(again), Number.POSITIVE_INFINITY);
  assert.deepEqual(around.packets, ['b70531', 'b7053232']);
  assert.equal(around.drainedBytes, 3);
});

test('a frozen channel sends nothing and keeps everything until it thaws', () => {
  const around = new Surroundings(false);
  around.channel.send(frame('1'), false, 0);
  assert.equal(around.channel.pump(0), Number.POSITIVE_INFINITY);
  assert.deepEqual(around.packets, []);
  around.channel.thaw(0);
  around.channel.pump(0);
  around.channel.freeze(0);
  around.channel.send(frame('2'), true, 0);
  around.channel.pump(1000);
  assert.deepEqual(around.packets, ['b70531']);
  around.channel.thaw(1000);
  around.channel.pump(1000);
  assert.deepEqual(around.packets, ['b70531', 'b70532']);
});

test('an offline friend is retried later, and at once when it is back', () => {
  const around = new Surroundings();
  around.result = 'offline';
  around.takes = 0;
  around.channel.send(frame('1'), false, 0);
  const again = around.channel.pump(0);
  assert.ok(again > 0 && again < 1000);
  around.takes = 1;
  around.channel.pump(again / 2);
  assert.deepEqual(around.packets, []);
  around.channel.thaw(again / 2);
  around.channel.pump(again / 2);
  assert.deepEqual(around.packets, ['b70531']);
});

test('frames are delivered as they arrive, and wait in order while the ring is full', () => {
  const around = new Surroundings();
  around.ringTakes = 1;
  for (const text of ['1', '2', '3']) around.channel.receive(packet(text), 0);
  assert.deepEqual(around.delivered, ['1']);
  around.ringTakes = 1;
  around.channel.pump(0);
  assert.deepEqual(around.delivered, ['1', '2']);
  around.ringTakes = 5;
  around.channel.receive(packet('4'), 0);
  around.channel.pump(0);
  assert.deepEqual(around.delivered, ['1', '2', '3', '4']);
  assert.deepEqual(around.channel.stats(0), {
    backlogBytes: 0,
    inFlightBytes: 0,
    framesOut: 0,
    framesIn: 4,
    roundTripMs: 0,
    packetsLost: 0,
  });
});

test('a frame that waits for the ring is a copy', () => {
  const around = new Surroundings();
  around.ringTakes = 0;
  const bytes = Buffer.from(packet('x'));
  around.channel.receive(bytes, 0);
  bytes.fill(0);
  around.ringTakes = 1;
  around.channel.pump(0);
  assert.deepEqual(around.delivered, ['x']);
});

test('frames are delivered even while the friend is offline', () => {
  const around = new Surroundings(false);
  around.ringTakes = 0;
  around.channel.receive(packet('1'), 0);
  around.ringTakes = 1;
  around.channel.pump(0);
  assert.deepEqual(around.delivered, ['1']);
});

test('packets of another kind, and truncated ones, are ignored', () => {
  const around = new Surroundings();
  for (const hex of ['', 'b7', 'b704aa', 'b605aa', 'db05aa'])
    around.channel.receive(Buffer.from(hex, 'hex'), 0);
  assert.deepEqual(around.delivered, []);
});

for (const [what, bytes, most] of [
  ['large', 1000, 33_000],
  ['small', 17, 300_000],
] as const) {
  test(`a peer that sends ${what} frames without end and without a reader is disconnected`, () => {
    const around = new Surroundings();
    around.ringTakes = 0;
    const bulk = packet('x'.repeat(bytes));
    let sent = 0;
    while (around.error === undefined && sent < most) {
      around.channel.receive(bulk, 0);
      sent++;
    }
    assert.equal(around.error?.code, 'ERR_LIMIT');
    assert.equal(around.error.remote, true);
    assert.ok(sent > 10_000);
    around.ringTakes = 1;
    around.channel.receive(bulk, 0);
    assert.equal(around.channel.pump(0), Number.POSITIVE_INFINITY);
    assert.deepEqual(around.delivered, []);
  });
}

test('delivered frames do not count against the peer', () => {
  const around = new Surroundings();
  const bulk = packet('x'.repeat(1000));
  for (let i = 0; i < 40_000; i++) {
    around.ringTakes = 0;
    around.channel.receive(bulk, 0);
    around.ringTakes = 1;
    around.channel.pump(0);
  }
  assert.equal(around.error, undefined);
  assert.equal(around.delivered.length, 40_000);
});

test('a failed channel returns every byte, now and later', () => {
  const around = new Surroundings();
  around.result = 'failed';
  around.takes = 0;
  around.channel.send(frame('12345'), false, 0);
  around.channel.send(frame('678'), true, 0);
  assert.equal(around.channel.pump(0), Number.POSITIVE_INFINITY);
  assert.equal(around.error?.remote, false);
  assert.equal(around.drainedBytes, 8);
  around.channel.send(frame('9'), false, 0);
  assert.equal(around.drainedBytes, 9);
  assert.equal(around.channel.backlogBytes, 0);
});

test('a main thread that ignores its backlog limit is a bug of ours, reported at once', () => {
  const { channel } = new Surroundings(false);
  assert.throws(() => {
    for (let i = 0; i < 5000; i++) channel.send(new Uint8Array(1024), false, 0);
  }, /far over its backlog/);
});

test('whatever toxcore and the ring refuse, each frame is sent once and in order', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('send'), urgent: fc.boolean() }),
    fc.record({ do: fc.constant('receive') }),
    fc.record({
      do: fc.constant('pump'),
      takes: fc.nat(4),
      ring: fc.nat(4),
      result: fc.constantFrom('full', 'offline'),
    }),
    fc.record({ do: fc.constantFrom('freeze', 'thaw') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const around = new Surroundings();
      const { channel } = around;
      const [calm, urgent]: [string[], string[]] = [[], []];
      let nowMs = 0;
      let received = 0;
      around.ringTakes = 0;
      steps.forEach((now, i) => {
        const hex = i.toString(16).padStart(4, '0');
        if ('urgent' in now) {
          (now.urgent ? urgent : calm).push(`b705${hex}`);
          channel.send(Buffer.from(hex, 'hex'), now.urgent, nowMs);
        } else if ('takes' in now) {
          Object.assign(around, { takes: now.takes, ringTakes: now.ring, result: now.result });
          nowMs += 7;
          channel.pump(nowMs);
          around.takes = around.ringTakes = 0;
        } else if (now.do === 'receive') channel.receive(packet(String(received++)), nowMs);
        else if (now.do === 'freeze') channel.freeze(nowMs);
        else channel.thaw(nowMs);
      });
      channel.thaw(nowMs);
      around.takes = around.ringTakes = Number.POSITIVE_INFINITY;
      channel.pump(nowMs);
      assert.deepEqual(
        around.packets.filter((hex) => urgent.includes(hex)),
        urgent,
      );
      assert.deepEqual(
        around.packets.filter((hex) => calm.includes(hex)),
        calm,
      );
      assert.equal(around.packets.length, calm.length + urgent.length);
      assert.equal(around.drainedBytes, 2 * around.packets.length);
      assert.deepEqual(
        around.delivered,
        Array.from({ length: received }, (_, i) => String(i)),
      );
    }),
    { numRuns: 50 },
  );
});
