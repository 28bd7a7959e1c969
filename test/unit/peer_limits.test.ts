import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Allowance } from '../../src/core/allowance.js';
import { TunnelError } from '../../src/core/errors.js';
import { DEFAULT_LIMITS, LIMIT_RANGES, type Limits, limitsOf } from '../../src/core/peer_limits.js';
import { STREAM_BYTES } from '../../src/mux/stream/receive_memory.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import { writeOffsetFrame } from '../../src/mux/wire/frame.js';
import { aloneWith } from '../support/mux_link.js';
import { bye, ListenerBench, PING, uuid } from '../support/peer_bench.js';

const OPENED = 0x02;
const DATA = 0x04;
const END = 0x05;
const RESET = 0x07;
const MIB = 1024 * 1024;
const NAMES = Object.keys(LIMIT_RANGES) as (keyof Limits)[]; // Object.keys loses the key type

const openFrame = (id: Uint8Array): Uint8Array =>
  Uint8Array.of(1, ...id, ...Buffer.from('00000000000400000100160968', 'hex').subarray(0, 11), 1, 0x68);

/** UUIDs that differ in the bytes that the session's table looks at. */
const idOf = (number: number): Uint8Array => {
  const id = uuid(0x11);
  new DataView(id.buffer).setUint32(0, number);
  return id;
};

const data = (id: Uint8Array, offset: number, bytes: number): Uint8Array => {
  const frame = new Uint8Array(25 + bytes);
  writeOffsetFrame(frame, DATA, id, offset);
  return frame;
};

/** Reason numbers of the REFUSED and RESET frames among those sent. */
const reasons = (frames: readonly Uint8Array[], type: number): number[] =>
  frames.filter((frame) => frame[0] === type).map((frame) => frame[18]!);

describe('limits', () => {
  test('have defaults inside their ranges', () => {
    assert.deepEqual(limitsOf(), DEFAULT_LIMITS);
    assert.deepEqual(NAMES.sort(), Object.keys(DEFAULT_LIMITS).sort());
  });

  for (const name of NAMES) {
    test(`${name} is accepted at both ends of its range and refused beyond them`, () => {
      const { least, most } = LIMIT_RANGES[name];
      for (const value of [least, most]) assert.equal(limitsOf({ [name]: value })[name], value);
      for (const value of [least - 1, most + 1, Number.NaN, least + 0.5]) {
        assert.throws(
          () => limitsOf({ [name]: value }),
          (error) => TunnelError.is(error) && error.code === 'ERR_USAGE' && error.message.includes(name),
        );
      }
    });
  }
});

describe('a rate', () => {
  test('lets twice its amount pass at once, then as much as time allows', () => {
    const rate = new Allowance(20, 10, 0);
    const passes = (nowMs: number, tries: number) =>
      Array.from({ length: tries }, () => rate.take(nowMs)).filter(Boolean).length;
    assert.equal(passes(0, 100), 20);
    assert.equal(passes(99, 100), 0);
    assert.equal(passes(500, 100), 5);
    assert.equal(passes(100_000, 100), 20);
  });

  test('without a limit lets everything pass', () => {
    const rate = new Allowance(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0);
    for (let each = 0; each < 10; each++) assert.ok(rate.take(0));
  });
});

describe('a session under limits', () => {
  /** A listener's session whose requests are kept. */
  function listener(limits: object) {
    const requests: OpenRequest[] = [];
    const all = aloneWith({
      role: 'listener',
      onOpen: (request) => requests.push(request),
      limits,
    });
    return { ...all, requests };
  }

  /** Lets time pass and calls tick when it is due, as the owner of the session does. */
  function pass({ session, clock }: ReturnType<typeof listener>, ms: number): void {
    const endMs = clock.ms + ms;
    for (;;) {
      const nextMs = Math.max(1, session.nextTickMs());
      if (clock.ms + nextMs > endMs) break;
      clock.ms += nextMs;
      session.tick();
    }
    clock.ms = endMs;
  }

  test('delays opens beyond the rate, in order, and refuses none', () => {
    const bench = listener({ opensPerSecond: 5 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 30; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    assert.equal(requests.length, 10);
    pass(bench, 1000);
    assert.equal(requests.length, 15);
    pass(bench, 3000);
    assert.deepEqual(
      requests.map(({ idBytes }) => new DataView(idBytes.buffer).getUint32(0)),
      Array.from({ length: 30 }, (_, number) => number),
    );
    assert.deepEqual(reasons(sink.take(), 3), []);
    assert.equal(session.stats().opensRefused, 0);
    assert.equal(session.nextTickMs() > 1000, true, 'nothing waits any more');
  });

  test('answers a waiting OPEN that is cancelled, without using a turn', () => {
    const bench = listener({ opensPerSecond: 1 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 5; number++) session.receive(openFrame(idOf(number)));
    for (const number of [2, 3]) session.receive(Uint8Array.of(RESET, ...idOf(number), 0, 8));
    session.flush();
    assert.equal(requests.length, 2);
    assert.deepEqual(reasons(sink.take(), 3), [8, 8]);
    pass(bench, 1000);
    assert.deepEqual(
      requests.map(({ idBytes }) => new DataView(idBytes.buffer).getUint32(0)),
      [0, 1, 4],
    );
  });

  test('with waiting OPENs, reports when it needs a tick, whatever it reported before', () => {
    let sooner = 0;
    const { session, clock } = aloneWith({
      role: 'listener',
      onOpen: () => {},
      onTickSooner: () => {
        sooner++;
        assert.ok(session.nextTickMs() <= 1000);
      },
      limits: { opensPerSecond: 1 },
    });
    assert.equal(session.nextTickMs(), 10_000);
    for (let number = 0; number < 3; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    assert.equal(sooner, 1);
    session.flush();
    clock.ms += 1;
    session.flush();
    assert.equal(sooner, 1, 'once is enough');
  });

  test('a stream beyond the limit waits for a place, and is refused when none becomes free', () => {
    const bench = listener({ streams: 3 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 5; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    assert.equal(requests.length, 3);
    pass(bench, 5000);
    requests[0]?.refuse('refused');
    assert.equal(requests.length, 4);
    assert.deepEqual(reasons(sink.take(), 3), [1]);
    pass(bench, 9900);
    assert.deepEqual(reasons(sink.take(), 3), [], 'one has ended within 10 s');
    pass(bench, 200);
    const [refused] = sink.take().filter(([type]) => type === 3);
    assert.ok(refused);
    assert.equal(refused[18], 6);
    assert.match(Buffer.from(refused.subarray(19)).toString(), /3 connections .*--max-streams/);
    assert.equal(session.stats().opensRefused, 1);
    assert.equal(session.stats().streams, 3);
  });

  test('thousands of short streams through few places are slowed down, and none is refused', () => {
    const bench = listener({ streams: 2, opensPerSecond: 1000 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 4096; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    // Each lives 50 ms: the last one waits for 102 s.
    for (let ended = 0; ended < 4096; ended++) {
      if (ended % 2 === 0) pass(bench, 50);
      assert.ok(requests.length - ended <= 2, 'no more at once than allowed');
      requests[ended]?.refuse('refused');
    }
    assert.deepEqual(new Set(reasons(sink.take(), 3)), new Set([1]));
    assert.equal(session.stats().opensRefused, 0);
    assert.equal(session.streamCount, 0);
  });

  test('waiting for the rate does not count as waiting for a place', () => {
    const bench = listener({ streams: 24, opensPerSecond: 2 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 25; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    // 4 at once, then 2 per second: the last place is taken after 10 s.
    pass(bench, 10_000);
    assert.equal(requests.length, 24);
    pass(bench, 9900);
    assert.deepEqual(reasons(sink.take(), 3), []);
    pass(bench, 200);
    assert.deepEqual(reasons(sink.take(), 3), [6]);
  });

  test('refuses an OPEN without a turn for 5 minutes, and names both limits', () => {
    const bench = listener({ streams: 1, opensPerSecond: 1 });
    const { session, sink, requests } = bench;
    for (let number = 0; number < 400; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    for (let second = 0; second < 299; second++) {
      requests.at(-1)?.refuse('refused');
      session.receive(PING);
      session.flush();
      pass(bench, 1000);
    }
    assert.ok(reasons(sink.take(), 3).every((reason) => reason === 1));
    pass(bench, 1000);
    const refused = sink.take().filter((frame) => frame[0] === 3 && frame[18] === 6);
    assert.equal(refused.length, 400 - requests.length);
    assert.match(
      Buffer.from(refused[0]!.subarray(19)).toString(),
      /no turn within 300 s: .*1 connections \(--max-streams\) .*1 a second \(--max-opens-per-second\)/,
    );
  });

  test('waits stop while the session is frozen, and after the thaw each has its remaining time', () => {
    const bench = listener({ streams: 1 });
    const { session, sink, clock } = bench;
    for (let number = 0; number < 2; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    pass(bench, 4000);
    session.freeze();
    assert.equal(session.nextTickMs(), Number.POSITIVE_INFINITY);
    clock.ms += 100_000;
    session.flush();
    session.thaw();
    pass(bench, 5900);
    assert.deepEqual(reasons(sink.take(), 3), []);
    pass(bench, 200);
    assert.deepEqual(reasons(sink.take(), 3), [6]);
  });

  test('holds at most 4096 OPENs, whatever the rate: one more is a violation', () => {
    const { session, requests } = listener({ opensPerSecond: 1, streams: 10 });
    for (let number = 0; number < 4096; number++) session.receive(openFrame(idOf(number)));
    session.flush();
    assert.equal(requests.length, 2);
    assert.throws(
      () => session.receive(openFrame(idOf(5000))),
      (error) => TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote,
    );
    session.close('protocol-error');
    assert.equal(session.streamCount, 0);
    assert.equal(requests.length, 2);
  });

  test('ends at a flood of frames without data, but not of frames with data', () => {
    const { session, clock, requests } = listener({ controlFramesPerSecond: 100 });
    session.receive(openFrame(idOf(1)));
    session.flush();
    requests[0]?.accept({ onData: () => {} });
    for (let byte = 0; byte < 1000; byte++) session.receive(data(idOf(1), byte, 1));
    session.flush();
    clock.ms += 10_000;
    for (let number = 0; number < 200; number++) session.receive(PING);
    assert.throws(
      () => session.receive(PING),
      (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT' && error.remote,
    );
  });

  test('keeps for consumers that take nothing no more than is reserved, however the bytes are cut', () => {
    for (const pieceBytes of [1, 50, 999]) {
      const { session, sink, requests } = listener({ maxPeerWindowBytes: MIB });
      for (let number = 0; number < 60; number++) session.receive(openFrame(idOf(number)));
      session.flush();
      let chunks = 0;
      for (const request of requests) request.accept({ onData: () => chunks++ });
      const opened = sink.take().filter(([type]) => type === OPENED);
      const credits = opened.map((frame) => Number(Buffer.from(frame).readBigUInt64BE(17)));
      // Each piece is a batch of its own, the least favourable way.
      for (const [number, credit] of credits.entries()) {
        for (let at = 0; at + pieceBytes <= Math.min(credit, 4000 * pieceBytes); at += pieceBytes) {
          session.receive(data(idOf(number), at, pieceBytes));
          session.flush();
        }
      }
      const { heldBytes, reservedBytes } = session.stats();
      assert.ok(heldBytes > 60 * 4000, String(heldBytes));
      assert.ok(heldBytes <= reservedBytes, `${heldBytes} of ${reservedBytes}`);
      assert.ok(reservedBytes <= MIB + 60 * STREAM_BYTES, String(reservedBytes));
      assert.ok(chunks <= 60 * 16, `${chunks} chunks`);
      session.abandon('reset');
      assert.deepEqual([session.stats().heldBytes, session.stats().reservedBytes], [0, 0]);
    }
  });

  test('counts to the byte what consumers hold, and gives it back when they take it', () => {
    const { session, clock, requests } = listener({});
    session.receive(openFrame(idOf(1)));
    session.flush();
    const stream = requests[0]!.accept({});
    assert.equal(session.stats().heldBytes, 0);
    // A short chunk is a copy, and its block is free again.
    session.receive(data(idOf(1), 0, 900));
    session.flush();
    assert.equal(session.stats().heldBytes, 900);
    // Longer ones are views of one block of 32 KiB.
    for (let at = 900; at < 9900; at += 900) session.receive(data(idOf(1), at, 900));
    session.flush();
    assert.equal(session.stats().heldBytes, 900 + 32_768);
    stream.consumed(899);
    assert.equal(session.stats().heldBytes, 900 + 32_768);
    stream.consumed(1);
    assert.equal(session.stats().heldBytes, 32_768);
    stream.consumed(9000);
    // The block has room for what comes next. An idle stream lets it go.
    assert.equal(session.stats().heldBytes, 32_768);
    for (let count = 0; count < 2; count++) {
      clock.ms += 5000;
      session.tick();
    }
    assert.equal(session.stats().heldBytes, 0);
    stream.reset('reset');
    assert.equal(session.stats().reservedBytes, 0);
  });

  test('a stream counts until its consumer has taken what arrived before the end', () => {
    const { session, requests } = listener({});
    session.receive(openFrame(idOf(1)));
    session.flush();
    let ended = false;
    const stream = requests[0]!.accept({
      onEnd: () => {
        ended = true;
      },
    });
    session.receive(data(idOf(1), 0, 900));
    const end = new Uint8Array(25);
    writeOffsetFrame(end, END, idOf(1), 900);
    session.receive(end);
    session.flush();
    stream.end();
    assert.ok(ended);
    assert.deepEqual([session.streamCount, session.stats().heldBytes], [1, 900]);
    stream.consumed(900);
    const { heldBytes, reservedBytes } = session.stats();
    assert.deepEqual([session.streamCount, heldBytes, reservedBytes], [0, 0, 0]);
  });

  test('gives a consumer that takes nothing a few chunks, and the rest when it takes them', () => {
    const { session, requests } = listener({});
    session.receive(openFrame(idOf(1)));
    session.flush();
    const got: number[] = [];
    const stream = requests[0]!.accept({ onData: (chunk) => got.push(chunk.length) });
    for (let at = 0; at < 100; at++) {
      session.receive(data(idOf(1), at, 1));
      session.flush();
    }
    assert.deepEqual(
      got.splice(0),
      Array.from({ length: 16 }, () => 1),
    );
    stream.consumed(1);
    assert.deepEqual(got.splice(0), [84]);
    stream.consumed(99);
    session.receive(data(idOf(1), 100, 3));
    session.flush();
    assert.deepEqual(got, [3]);
  });

  test('separate pieces need memory too, and a stream with more of them than fit is reset', () => {
    const { session, sink, requests } = listener({ maxPeerWindowBytes: 4096 });
    const told: string[] = [];
    session.receive(openFrame(idOf(1)));
    session.flush();
    requests[0]!.accept({ onReset: (reason, remote) => told.push(`${reason} ${remote}`) });
    // The first 64 pieces are free, and 256 need the 4,096 bytes.
    for (let piece = 1; piece <= 320; piece++) session.receive(data(idOf(1), 2 * piece, 1));
    session.flush();
    assert.deepEqual(told, []);
    session.receive(data(idOf(1), 642, 1));
    session.flush();
    assert.deepEqual(told, ['limit false']);
    assert.deepEqual(reasons(sink.take(), RESET), [6]);
    assert.equal(session.stats().growthLeftBytes, 4096);
  });

  test('knows how long it has had no stream', () => {
    const { session, clock, requests } = listener({});
    clock.ms += 500;
    assert.equal(session.idleMs, 500);
    session.receive(openFrame(idOf(1)));
    session.flush();
    clock.ms += 500;
    assert.equal(session.idleMs, 0);
    requests[0]?.refuse('refused');
    clock.ms += 70;
    assert.equal(session.idleMs, 70);
  });
});

describe('a peer under limits', () => {
  const BYE = 0x12;

  test('drops a friend that does not complete the handshake in time, and reports it', async () => {
    const bench = new ListenerBench({ limits: { handshakeTimeoutMs: 5_000 } });
    bench.peer.friendPath('relay');
    await bench.pass(4_900);
    assert.equal(bench.left, 0);
    bench.peer.friendPath('udp');
    await bench.pass(200);
    assert.equal(bench.left, 1);
    assert.deepEqual(bench.take(), ['warn dropped a friend that did not complete the handshake within 5 s']);
  });

  test('packets other than a handshake do not keep a friend', async () => {
    const bench = new ListenerBench({ limits: { handshakeTimeoutMs: 5_000 } });
    bench.peer.friendPath('udp');
    for (let second = 0; second < 6; second++) {
      await bench.peer.handshake(Uint8Array.of(0xb7, 1, 0, 0));
      await bench.peer.handshake(Uint8Array.of(0xb7, 9));
      await bench.pass(1_000);
    }
    assert.equal(bench.left, 1);
  });

  test('does not drop a friend that completed the handshake, or went offline', async () => {
    const bench = new ListenerBench({ limits: { handshakeTimeoutMs: 5_000 } });
    bench.peer.friendPath('udp');
    await bench.pass(4_000);
    bench.peer.friendPath('none');
    await bench.pass(4_000);
    await bench.join();
    for (let second = 0; second < 10; second++) {
      bench.node.newest.deliver(PING);
      await bench.pass(1_000);
    }
    assert.equal(bench.left, 0);
    await bench.peer.close('peer-shutdown');
    assert.equal(bench.timers.running, 0);
  });

  test('a friend whose session ended needs a new handshake', async () => {
    const bench = new ListenerBench({ limits: { handshakeTimeoutMs: 5_000 } });
    await bench.join();
    bench.node.newest.deliver(bye(9, 0));
    await bench.pass(5_100);
    assert.equal(bench.left, 1);
  });

  test('ends a session without streams after the idle time, and the friend may return', async () => {
    const bench = new ListenerBench({ limits: { idleTimeoutMs: 20_000, handshakeTimeoutMs: 60_000 } });
    await bench.join();
    const { newest } = bench.node;
    newest.deliver(PING, openFrame(idOf(1)));
    for (let second = 0; second < 60; second++) {
      newest.deliver(PING);
      await bench.pass(1_000);
    }
    assert.ok(bench.peer.isOnline);
    bench.requests[0]?.refuse('refused');
    for (let second = 0; second < 21; second++) {
      newest.deliver(PING);
      await bench.pass(1_000);
    }
    assert.ok(!bench.peer.isOnline);
    assert.ok(newest.takeTypes().includes(BYE));
    await bench.join(uuid(0xc1));
    assert.ok(bench.peer.isOnline);
  });

  test('the flood of one peer ends its own session with a limit, and not that of another', async () => {
    const limits = { maxControlFramesPerSecond: 100 };
    const [bad, good] = [new ListenerBench({ limits }), new ListenerBench({ limits })];
    await bad.join();
    await good.join();
    bad.node.newest.deliver(...Array<Uint8Array>(201).fill(PING));
    good.node.newest.deliver(PING);
    await bad.pass(0);
    assert.ok(!bad.peer.isOnline);
    const last = bad.node.newest.frames.at(-1);
    assert.deepEqual([last?.[0], last?.[18]], [BYE, 6]);
    assert.ok(bad.told.some((line) => /more than 100 frames a second/.test(line)));
    assert.ok(good.peer.isOnline);
  });
});
