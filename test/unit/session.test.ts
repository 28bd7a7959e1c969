import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_STREAMS_PER_PEER, MAX_WAITING_OPENS } from '../../src/core/limits.js';
import type { Session } from '../../src/mux/session/session.js';
import type { SessionOptions } from '../../src/mux/session/session_options.js';
import { Stream } from '../../src/mux/stream/stream.js';
import type { MuxStream, OpenRequest } from '../../src/mux/stream/stream_api.js';
import { askedAddress } from '../support/asked_address.js';
import { aloneWith, type ListSink, type ManualClock, MuxLink } from '../support/mux_link.js';

const ssh = { kind: 'tcp', host: 'localhost', port: 22 } as const;
const NIL = '00'.repeat(16);
const THEIRS = '00112233445546778899aabbccddeeff';
const FIRST_PING = `10${NIL}0000000000000001`;
const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const u64 = (value: number): string => value.toString(16).padStart(16, '0');
const openOf = (id: string, credit = 262_144): string => `01${id}${u64(credit)}010016096c6f63616c686f7374`;
const dataOf = (id: string, offset: number, text: string): string =>
  `04${id}${u64(offset)}${Buffer.from(text).toString('hex')}`;

function receive(session: Session, ...frames: string[]): void {
  for (const hex of frames) session.receive(frame(hex));
  session.flush();
}

/** Handlers that record their calls. */
function listening(log: string[]) {
  return {
    onOpened: () => log.push('opened'),
    onRefused: (reason: string, text: string) => log.push(`refused ${reason} ${text}`),
    onData: (chunk: Uint8Array) => log.push(`data ${Buffer.from(chunk).toString()}`),
    onEnd: () => log.push('end'),
    onReset: (reason: string, remote: boolean) => log.push(`reset ${reason} ${remote ? 'remote' : 'local'}`),
    onDrain: () => log.push('drain'),
  };
}

/** A connector with one stream of ours, OPEN sent, and the UUID it drew. */
function asked(options: Partial<SessionOptions> = {}) {
  const alone = aloneWith(options);
  alone.sink.take();
  const log: string[] = [];
  const stream = alone.session.open(ssh, listening(log));
  const id = stream.id.replaceAll('-', '');
  return { ...alone, stream, id, log };
}

/** The same with OPENED received. */
function opened(options: Partial<SessionOptions> = {}, credit = 100_000) {
  const all = asked(options);
  receive(all.session, `02${all.id}${u64(credit)}`);
  all.sink.take();
  assert.deepEqual(all.log.splice(0), ['opened']);
  return all;
}

/** A listener with one requested stream. */
function requested(options: Partial<SessionOptions> = {}) {
  const requests: OpenRequest[] = [];
  const alone = aloneWith({ role: 'listener', onOpen: (request) => requests.push(request), ...options });
  receive(alone.session, FIRST_PING, openOf(THEIRS));
  alone.sink.take();
  const request = requests[0];
  assert.ok(request !== undefined);
  return { ...alone, requests, request };
}

/** Like {@link asked}, with as many streams of ours as allowed. */
function full(options: Partial<SessionOptions> = {}) {
  const all = asked(options);
  for (let count = 1; count < MAX_STREAMS_PER_PEER; count++) all.session.open(ssh, {});
  all.sink.take();
  return all;
}

function accepted(options: Partial<SessionOptions> = {}) {
  const all = requested(options);
  const log: string[] = [];
  const stream = all.request.accept(listening(log));
  assert.deepEqual(all.sink.hex(), [`02${THEIRS}${u64(262_144)}`]);
  return { ...all, stream, log };
}

const violates = (session: Session, ...frames: string[]): void => {
  const last = frames.pop();
  for (const hex of frames) session.receive(frame(hex));
  assert.throws(
    () => session.receive(frame(last ?? '')),
    (error) => TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote,
  );
};

describe('the start of a session', () => {
  test("the connector's first frame is a PING", () => {
    assert.deepEqual(aloneWith().sink.hex(), [FIRST_PING]);
  });

  test("the listener sends nothing before the connector's first frame", () => {
    const { session, sink } = aloneWith({ role: 'listener' });
    session.open(ssh, {});
    session.writable();
    session.tick();
    session.flush();
    assert.deepEqual(sink.hex(), []);
    receive(session, FIRST_PING);
    const sent = sink.hex();
    assert.deepEqual(sent.map((hex) => hex.slice(0, 2)).sort(), ['01', '10', '11']);
    assert.ok(sent.includes(`11${NIL}0000000000000001`));
  });
});

describe('opening', () => {
  test('OPEN carries the target and our window, and is urgent', () => {
    const { sink, id } = asked();
    assert.deepEqual(sink.urgent, [true]);
    assert.deepEqual(sink.hex(), [openOf(id)]);
  });

  test('data written before OPENED is sent after it', () => {
    const { session, sink, stream, id, log } = asked();
    sink.take();
    assert.ok(stream.write(Buffer.from('hi')));
    stream.end();
    assert.deepEqual(sink.hex(), []);
    receive(session, `02${id}${u64(5)}`);
    assert.deepEqual(log, ['opened']);
    assert.deepEqual(sink.hex(), [dataOf(id, 0, 'hi'), `05${id}${u64(2)}`]);
  });

  test('DATA and END that overtake OPENED wait for it', () => {
    const { session, id, log } = asked();
    receive(session, `05${id}${u64(2)}`, dataOf(id, 0, 'hi'));
    assert.deepEqual(log, []);
    receive(session, `02${id}${u64(5)}`);
    assert.deepEqual(log, ['opened', 'data hi', 'end']);
  });

  test('a CREDIT that overtakes OPENED counts', () => {
    const { session, sink, stream, id } = asked();
    sink.take();
    stream.write(Buffer.from('hello'));
    receive(session, `06${id}${u64(4)}`, `02${id}${u64(3)}`);
    assert.deepEqual(sink.hex(), [dataOf(id, 0, 'hell')]);
  });

  test('REFUSED ends it, with the reason and the text', () => {
    const { session, stream, id, log } = asked();
    receive(session, `03${id}00016e6f`);
    assert.deepEqual(log, ['refused refused no']);
    assert.ok(stream.isClosed);
    assert.equal(session.streamCount, 0);
    assert.equal(stream.write(Buffer.from('x')), false);
  });

  test('an invalid target is refused locally', () => {
    assert.throws(() => aloneWith().session.open({ ...ssh, port: 0 }, {}), TunnelError);
  });

  test("the peer's stream limit does not limit our own", () => {
    const { session, sink } = asked({ limits: { streams: 1 } });
    for (let count = 1; count < 20; count++) session.open(ssh, {});
    assert.equal(sink.take().length, 20);
  });

  test('beyond our own stream limit an OPEN waits until a stream is over', () => {
    const { session, sink, id } = full();
    const second = session.open(ssh, {});
    const third = session.open(ssh, {});
    assert.deepEqual(sink.hex(), []);
    // One cancelled before its turn is never sent, and needs no answer.
    second.reset('cancelled');
    receive(session, `03${id}0001`);
    const wanted = third.id.replaceAll('-', '');
    assert.deepEqual(
      sink.hex().map((frame) => frame.slice(0, 34)),
      [`01${wanted}`],
    );
    assert.equal(session.streamCount, MAX_STREAMS_PER_PEER);
  });

  test('a waiting OPEN is sent as soon as the last frame of another stream was', () => {
    const { session, sink, id, stream } = full();
    session.open(ssh, {});
    receive(session, `02${id}${u64(100)}`, `05${id}${u64(0)}`);
    sink.take();
    stream.end();
    assert.deepEqual(
      sink.take().map(([type]) => type),
      [5, 1],
    );
  });

  test('the number of our waiting OPENs is limited, and one more is refused locally', () => {
    const { session, sink } = full();
    const waiting = Array.from({ length: MAX_WAITING_OPENS }, () => session.open(ssh, {}));
    assert.throws(
      () => session.open(ssh, {}),
      (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT' && !error.remote,
    );
    assert.deepEqual(sink.hex(), []);
    waiting[5]?.reset('cancelled');
    session.open(ssh, {});
    session.close('peer-shutdown');
    assert.equal(session.streamCount, 0);
  });

  test('a waiting OPEN of ours is refused locally when no stream of ours ends for 10 s, with the reason', () => {
    let sooner = 0;
    const { session, sink, clock, id } = full({
      keepAliveMs: 60_000,
      deadlineMs: 90_000,
      onTickSooner: () => sooner++,
    });
    session.nextTickMs();
    const log: string[] = [];
    clock.ms += 1000;
    const first = session.open(ssh, listening(log));
    const second = session.open(ssh, listening(log));
    clock.ms += 5000;
    // A stream that ends gives its place to the first OPEN, and restarts the wait of the second.
    receive(session, `03${id}0001`);
    assert.equal(sink.take().length, 1);
    assert.ok(sooner > 0, 'the owner must tick sooner than it knew');
    clock.ms += 9999;
    assert.equal(session.nextTickMs(), 1);
    session.tick();
    assert.deepEqual(log, []);
    clock.ms += 1;
    session.tick();
    assert.deepEqual(log, [
      'refused limit 4096 connections to this peer are open, as many as it allows (--max-streams there), and none has ended for 10 s; close some first',
    ]);
    assert.deepEqual([first.isClosed, second.isClosed], [false, true]);
    assert.ok(!sink.take().some(([type]) => type === 1), 'its OPEN is not sent');
    assert.equal(session.stats().opensRefused, 0);
  });

  test('a UUID with a taken slot is drawn again', () => {
    const draws = [1, 1, 2];
    const { session } = aloneWith({ random16: () => new Uint8Array(16).fill(draws.shift() ?? 9) });
    const one = session.open(ssh, {});
    const two = session.open(ssh, {});
    assert.notEqual(one.id, two.id);
  });
});

describe('cancelling before the answer', () => {
  test('a stream whose OPEN was not sent leaves no trace', () => {
    const { session, sink } = aloneWith();
    sink.take();
    sink.room = 0;
    const stream = session.open(ssh, {});
    stream.reset('cancelled');
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), []);
    assert.equal(session.streamCount, 0);
  });

  test('RESET is sent at once, the UUID is kept until the answer, and after OPENED RESET is sent again', () => {
    const { session, sink, stream, id, log } = asked();
    sink.take();
    stream.reset('cancelled');
    assert.deepEqual(sink.hex(), [`07${id}0008`]);
    assert.equal(session.streamCount, 1);
    receive(session, dataOf(id, 0, 'late'), `05${id}${u64(4)}`, `06${id}${u64(4)}`);
    receive(session, `02${id}${u64(5)}`);
    assert.deepEqual(sink.hex(), [`07${id}0008`]);
    assert.equal(session.streamCount, 0);
    assert.deepEqual(log, []);
  });

  for (const [answer, hex] of [
    ['REFUSED', (id: string) => `03${id}0008`],
    ['RESET', (id: string) => `07${id}0008`],
  ] as const) {
    test(`${answer} ends it permanently`, () => {
      const { session, sink, stream, id, log } = asked();
      stream.reset('cancelled');
      sink.take();
      receive(session, hex(id));
      assert.equal(session.streamCount, 0);
      assert.deepEqual(sink.hex(), []);
      assert.deepEqual(log, []);
    });
  }

  test('an OPENED that arrives before the RESET could be sent causes one RESET', () => {
    const { session, sink, stream, id } = asked();
    sink.take();
    sink.room = 0;
    stream.reset('timeout');
    receive(session, `02${id}${u64(5)}`);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`07${id}0004`]);
    assert.equal(session.streamCount, 0);
  });
});

describe('a request from the peer', () => {
  test('names the target, and accept sends OPENED with our window', () => {
    const { request } = requested();
    assert.deepEqual(request.target, ssh);
    accepted();
  });

  test('arrives in flush, not inside receive', () => {
    const requests: OpenRequest[] = [];
    const { session } = aloneWith({ onOpen: (request) => requests.push(request) });
    session.receive(frame(openOf(THEIRS)));
    assert.equal(requests.length, 0);
    session.flush();
    session.flush();
    assert.equal(requests.length, 1);
  });

  test('our DATA follows OPENED, within the credit of OPEN', () => {
    const { sink, request, session } = requested();
    sink.room = 0;
    const stream = request.accept({});
    stream.write(Buffer.from('hi'));
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`02${THEIRS}${u64(262_144)}`, dataOf(THEIRS, 0, 'hi')]);
  });

  test('refuse sends the reason and the text', () => {
    const { session, sink, request } = requested();
    request.refuse('not-allowed', 'no');
    assert.deepEqual(sink.hex(), [`03${THEIRS}00056e6f`]);
    assert.equal(session.streamCount, 0);
    request.refuse('limit');
    assert.deepEqual(sink.hex(), []);
    assert.throws(() => request.accept({}), TunnelError);
  });

  test('a second answer is refused', () => {
    const { request } = accepted();
    request.refuse('limit');
    assert.throws(
      () => request.accept({}),
      (error) => TunnelError.is(error) && error.code === 'ERR_CLOSED',
    );
  });

  test('a reset instead of OPENED is a refusal', () => {
    const { session, sink, request } = requested();
    sink.room = 0;
    request.accept({}).reset('unreachable');
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`03${THEIRS}0002`]);
    assert.equal(session.streamCount, 0);
  });

  test('a RESET before our answer stops the dial, and is answered', () => {
    const { session, sink, request } = requested();
    let cancelled = 0;
    request.onCancelled = () => cancelled++;
    receive(session, `07${THEIRS}0008`);
    assert.equal(cancelled, 1);
    assert.ok(request.isCancelled);
    assert.deepEqual(sink.hex(), [`03${THEIRS}0008`]);
    request.refuse('timeout');
    assert.deepEqual(sink.hex(), []);
    assert.throws(
      () => request.accept({}),
      (error) => TunnelError.is(error) && error.code === 'ERR_STREAM_RESET',
    );
  });

  test('a RESET before OPENED was sent is answered with REFUSED', () => {
    const { session, sink, request } = requested();
    const log: string[] = [];
    sink.room = 0;
    request.accept(listening(log));
    receive(session, `07${THEIRS}0008`);
    assert.deepEqual(log, ['reset cancelled remote']);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`03${THEIRS}0008`]);
  });

  test('an OPEN that was reset in the same batch is never announced, but answered', () => {
    const requests: OpenRequest[] = [];
    const { session, sink } = aloneWith({ onOpen: (request) => requests.push(request) });
    sink.take();
    receive(session, openOf(THEIRS), `07${THEIRS}0008`);
    assert.deepEqual(sink.hex(), [`03${THEIRS}0008`]);
    assert.equal(requests.length, 0);
  });

  test('a target kind of a later version is refused as unsupported', () => {
    const { session, sink } = aloneWith();
    sink.take();
    receive(session, `01${THEIRS}${u64(5)}09`);
    assert.deepEqual(sink.hex(), [`03${THEIRS}000d`]);
  });

  test('an OPEN beyond the stream limit waits until a stream is over', () => {
    const { session, sink, request, requests } = requested({ limits: { streams: 1 } });
    receive(session, openOf('ff'.repeat(16)));
    assert.deepEqual(sink.hex(), []);
    assert.equal(requests.length, 1);
    request.refuse('refused');
    assert.equal(requests.length, 2);
    assert.deepEqual(sink.hex(), [`03${THEIRS}0001`]);
    assert.equal(session.streamCount, 1);
  });

  test('4096 OPENs may wait for an answer while our output is blocked; one more is a violation', () => {
    const { session, sink } = aloneWith({ role: 'listener' });
    sink.room = 0;
    for (let count = 0; count < 4096; count++) receive(session, openOf(u64(count + 1).padEnd(32, '0')));
    violates(session, openOf('ff'.repeat(16)));
    sink.room = 1;
    session.writable();
    sink.take();
    session.writable();
    receive(session, openOf('ff'.repeat(16)));
  });
});

describe('bytes', () => {
  test('arrive in order, once per batch, whatever the order of the frames', () => {
    const { session, id, log } = opened();
    receive(session, dataOf(id, 4, 'ef'), dataOf(id, 2, 'cd'));
    assert.deepEqual(log, []);
    receive(session, dataOf(id, 0, 'ab'), dataOf(id, 6, 'gh'));
    assert.deepEqual(log, ['data abcdefgh']);
  });

  test('END before the last bytes waits for them', () => {
    const { session, id, log } = opened();
    receive(session, `05${id}${u64(4)}`, dataOf(id, 0, 'ab'));
    assert.deepEqual(log, ['data ab']);
    receive(session, dataOf(id, 2, 'cd'));
    assert.deepEqual(log, ['data ab', 'data cd', 'end']);
  });

  test('END at 0 ends a stream without bytes; a repeated END changes nothing', () => {
    const { session, id, log } = opened();
    receive(session, `05${id}${u64(0)}`, `05${id}${u64(0)}`);
    receive(session, `05${id}${u64(0)}`);
    assert.deepEqual(log, ['end']);
  });

  test('are cut to the agreed frame size, and sent as far as the credit allows', () => {
    const { session, sink, stream, id } = opened({ frameBytes: 1024 }, 1500);
    const sent = new Uint8Array(3000).fill(0x61);
    assert.ok(stream.write(sent));
    assert.deepEqual(
      sink.frames.map(({ length }) => length),
      [1024, 25 + 501],
    );
    assert.equal(stream.backlogBytes, 1500);
    sink.take();
    receive(session, `06${id}${u64(1400)}`);
    assert.deepEqual(sink.hex(), [], 'older credit');
    receive(session, `06${id}${u64(1501)}`);
    assert.deepEqual(sink.hex(), [dataOf(id, 1500, 'a')]);
  });

  test('small ones are urgent, large ones are not', () => {
    const { sink, stream } = opened();
    stream.write(Buffer.from('ls\n'));
    assert.deepEqual(sink.urgent, [true]);
    sink.take();
    stream.write(new Uint8Array(50_000));
    assert.ok(sink.urgent.every((urgent) => !urgent));
    sink.take();
    stream.write(new Uint8Array(100));
    assert.deepEqual(sink.urgent, [false], 'right after bulk');
  });

  test('write returns false at the high-water mark, and onDrain follows when most has left', () => {
    const { session, sink, stream, log } = opened({ limits: { sendHighWaterBytes: 4000 } });
    sink.room = 0;
    assert.ok(stream.write(new Uint8Array(3999)));
    assert.ok(!stream.write(new Uint8Array(1)));
    sink.room = 4;
    session.writable();
    assert.deepEqual(log, ['drain']);
    assert.ok(stream.write(new Uint8Array(1)));
    sink.room = 100;
    session.writable();
    assert.deepEqual(log, ['drain'], 'one drain for each false');
  });

  test('a writer that refills inside onDrain is served in the same pass', () => {
    const { session, sink } = aloneWith({ limits: { sendHighWaterBytes: 2000 } });
    let left = 20;
    const fill = (): void => {
      while (left > 0) {
        left--;
        if (!stream.write(new Uint8Array(2000))) return;
      }
      stream.end();
    };
    const stream = session.open(ssh, { onDrain: fill, onOpened: fill });
    const id = stream.id.replaceAll('-', '');
    sink.take();
    receive(session, `02${id}${u64(1_000_000)}`);
    assert.equal(sink.hex().at(-1), `05${id}${u64(40_000)}`);
  });

  test('writing after end is refused', () => {
    const { sink, stream } = opened();
    sink.room = 0;
    stream.end();
    assert.throws(
      () => stream.write(Buffer.from('x')),
      (error) => TunnelError.is(error) && error.code === 'ERR_CLOSED',
    );
  });

  test('the end follows the bytes, once', () => {
    const { session, sink, stream, id } = opened({}, 2);
    stream.write(Buffer.from('abc'));
    stream.end();
    stream.end();
    assert.deepEqual(sink.hex(), [dataOf(id, 0, 'ab')]);
    receive(session, `06${id}${u64(9)}`);
    assert.deepEqual(sink.hex(), [dataOf(id, 2, 'c'), `05${id}${u64(3)}`]);
    session.writable();
    assert.deepEqual(sink.hex(), []);
  });

  test('the end needs no credit', () => {
    const { sink, stream, id } = opened({}, 2);
    stream.write(Buffer.from('ab'));
    stream.end();
    assert.deepEqual(sink.hex(), [dataOf(id, 0, 'ab'), `05${id}${u64(2)}`]);
  });

  test('a writer that must stop gets false until the drain', () => {
    const { session, sink, stream, log } = opened({ limits: { sendHighWaterBytes: 4000 } });
    sink.room = 0;
    assert.ok(!stream.write(new Uint8Array(4000)));
    sink.room = 2;
    session.writable();
    assert.ok(!stream.write(new Uint8Array(1)));
    sink.room = 99;
    session.writable();
    assert.deepEqual(log, ['drain']);
  });

  test('empty writes send nothing', () => {
    const { sink, stream } = opened();
    stream.write(new Uint8Array(0));
    assert.deepEqual(sink.hex(), []);
  });

  test('a stream is over when both directions have ended', () => {
    for (const first of ['we', 'they']) {
      const { session, stream, id, log } = opened();
      if (first === 'we') stream.end();
      receive(session, `05${id}${u64(0)}`);
      if (first === 'they') {
        assert.equal(session.streamCount, 1);
        stream.end();
      }
      assert.equal(session.streamCount, 0, first);
      assert.ok(stream.isClosed);
      assert.deepEqual(log, ['end']);
      receive(session, dataOf(id, 0, 'late'), `07${id}0007`, `02${id}${u64(1)}`);
      assert.deepEqual(log, ['end']);
    }
  });
});

describe('credit', () => {
  const fillFrom = (session: Session, id: string, from: number, to: number): void => {
    for (let at = from; at < to; at += 500)
      session.receive(frame(dataOf(id, at, 'x'.repeat(Math.min(500, to - at)))));
    session.flush();
  };
  const fill = (session: Session, id: string, bytes: number): void => fillFrom(session, id, 0, bytes);

  test('returns when the consumer has taken half of the window, not when bytes arrive', () => {
    const { session, sink, stream, id } = opened({ limits: { initialWindowBytes: 4000 } });
    fill(session, id, 4000);
    assert.deepEqual(sink.hex(), []);
    stream.consumed(1999);
    assert.deepEqual(sink.hex(), []);
    stream.consumed(1);
    assert.deepEqual(sink.hex(), [`06${id}${u64(6000)}`]);
  });

  test('grows to a larger window once the round trip is known and the sender waits', () => {
    const { session, sink, stream, id, clock } = opened({ limits: { initialWindowBytes: 4000 } });
    clock.ms += 50;
    receive(session, `11${NIL}0000000000000001`);
    fill(session, id, 4000);
    clock.ms += 99;
    stream.consumed(4000);
    assert.deepEqual(sink.hex(), [`06${id}${u64(12_000)}`]);
    assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024 - 4000);
    session.abandon('peer-silent');
    assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024);
  });

  test('goes back to the other streams once the peer has ended and all is consumed, although ours goes on', () => {
    const { session, stream, id, clock } = opened({ limits: { initialWindowBytes: 4000 } });
    clock.ms += 50;
    receive(session, `11${NIL}0000000000000001`);
    fill(session, id, 4000);
    stream.consumed(4000);
    receive(session, `05${id}${u64(4000)}`);
    assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024);
    assert.equal(session.stats().streams, 1);
    assert.equal(stream.write(Buffer.from('x')), true);
    stream.reset('unspecified');
    assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024);
  });

  test('grows despite a gap left by a lost frame, for a consumer that takes everything it gets', () => {
    const { session, sink, stream, id, clock } = opened({ limits: { initialWindowBytes: 4000 } });
    clock.ms += 50;
    receive(session, `11${NIL}0000000000000001`);
    fill(session, id, 500);
    stream.consumed(500);
    for (let at = 1000; at < 2000; at += 500) session.receive(frame(dataOf(id, at, 'x'.repeat(500))));
    session.flush();
    assert.deepEqual(sink.hex(), [`06${id}${u64(8500)}`]);
    assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024 - 4000);
  });

  describe('of an idle stream', () => {
    const gaveBack = (total: number, id: string): string => `09${id}${u64(total)}`;
    const pass = (session: Session, clock: ManualClock): void => {
      clock.ms += 5000;
      session.tick();
    };

    test('goes back to the peer, but for its first window, and comes again when it is needed', () => {
      const { session, sink, stream, id, clock, log } = opened({ givesBack: true }, 1000);
      receive(session, `06${id}${u64(9000)}`);
      stream.write(Buffer.alloc(500));
      pass(session, clock);
      sink.take();
      pass(session, clock);
      assert.deepEqual(sink.hex(), [gaveBack(7500, id)]);
      pass(session, clock);
      assert.deepEqual(sink.hex(), []);
      stream.write(Buffer.alloc(1500));
      assert.equal(stream.backlogBytes, 500);
      sink.take();
      receive(session, `06${id}${u64(9700)}`);
      assert.equal(stream.backlogBytes, 0);
      assert.deepEqual(log, []);
    });

    test('stays with a stream that has sent something lately, that waits for credit or that has ended', () => {
      for (const act of [
        (stream: MuxStream) => stream.write(Buffer.alloc(1)),
        (stream: MuxStream) => stream.write(Buffer.alloc(9001)),
        (stream: MuxStream) => stream.end(),
      ]) {
        const { session, sink, stream, id, clock } = opened({ givesBack: true }, 1000);
        receive(session, `06${id}${u64(9000)}`);
        act(stream);
        sink.take();
        pass(session, clock);
        const types = sink.hex().map((hex) => hex.slice(0, 2));
        assert.ok(!types.includes('09'), types.join());
      }
    });

    test('that the peer gives back goes to the other streams', () => {
      const { session, sink, stream, id, clock } = opened({
        givesBack: true,
        limits: { initialWindowBytes: 4000 },
      });
      clock.ms += 50;
      receive(session, `11${NIL}0000000000000001`);
      fill(session, id, 4000);
      stream.consumed(4000);
      assert.deepEqual(sink.hex(), [`06${id}${u64(12_000)}`]);
      receive(session, gaveBack(4000, id));
      assert.equal(session.stats().growthLeftBytes, 64 * 1024 * 1024);
      for (let at = 4000; at < 8000; at += 500) session.receive(frame(dataOf(id, at, 'x'.repeat(500))));
      assert.throws(() => session.receive(frame(dataOf(id, 8000, 'x'))), /beyond the credit of 8000/);
      session.flush();
      clock.ms += 500;
      stream.consumed(4000);
      // What was given back counts on top.
      assert.deepEqual(
        sink.hex().filter((hex) => hex.startsWith('06')),
        [`06${id}${u64(16_000)}`],
      );
    });

    test('may cross new credit on its way, and late numbers change nothing', () => {
      const { session, sink, stream, id } = opened({ givesBack: true, limits: { initialWindowBytes: 4000 } });
      fill(session, id, 2000);
      stream.consumed(2000);
      assert.deepEqual(sink.hex(), [`06${id}${u64(6000)}`]);
      // The peer knew only of 4000 bytes.
      receive(session, gaveBack(1500, id), gaveBack(1000, id));
      fillFrom(session, id, 2000, 4500);
      assert.throws(() => session.receive(frame(dataOf(id, 4500, 'x'))), /beyond the credit of 4500/);
    });

    test('must be there to be given back', () => {
      const { session, id } = opened({ givesBack: true, limits: { initialWindowBytes: 4000 } });
      fill(session, id, 3000);
      receive(session, gaveBack(1000, id));
      assert.throws(() => session.receive(frame(gaveBack(1001, id))), /more than the credit that is left/);
    });
  });

  test('the round trip is measured again when it is more than a second old', () => {
    const { session, sink, stream, id, clock } = opened({ limits: { initialWindowBytes: 4000 } });
    receive(session, `11${NIL}0000000000000001`);
    fill(session, id, 4000);
    clock.ms += 1001;
    stream.consumed(4000);
    assert.deepEqual(
      sink.hex().map((hex) => hex.slice(0, 2)),
      ['06', '10'],
    );
  });

  test('does not grow when the first half of the window lasted long', () => {
    const { session, sink, stream, id, clock } = opened({ limits: { initialWindowBytes: 4000 } });
    clock.ms += 50;
    receive(session, `11${NIL}0000000000000001`);
    fill(session, id, 4000);
    clock.ms += 100;
    stream.consumed(4000);
    assert.deepEqual(sink.hex(), [`06${id}${u64(8000)}`]);
  });

  test('is one frame with the newest value, however long the output was blocked', () => {
    const { session, sink, stream, id } = opened({ limits: { initialWindowBytes: 4000 } });
    fill(session, id, 4000);
    sink.room = 0;
    stream.consumed(2000);
    stream.consumed(1000);
    stream.consumed(1000);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`06${id}${u64(8000)}`]);
  });

  test('does not count as returned before it is sent', () => {
    const { session, sink, stream, id } = opened({ limits: { initialWindowBytes: 4000 } });
    fill(session, id, 4000);
    sink.room = 0;
    stream.consumed(4000);
    violates(session, dataOf(id, 4000, 'x'));
  });

  test('is no longer returned when the end is known', () => {
    const { session, sink, stream, id } = opened({ limits: { initialWindowBytes: 4000 } });
    fill(session, id, 4000);
    receive(session, `05${id}${u64(4000)}`);
    stream.consumed(4000);
    assert.deepEqual(sink.hex(), []);
  });

  test('cannot be returned for bytes that the consumer did not get', () => {
    const { session, stream, id } = opened();
    receive(session, dataOf(id, 0, 'ab'));
    assert.throws(() => stream.consumed(3), RangeError);
    assert.throws(() => stream.consumed(-1), RangeError);
    assert.throws(() => stream.consumed(Number.NaN), RangeError);
    stream.consumed(2);
    assert.throws(() => stream.consumed(1), RangeError);
  });
});

describe('bookkeeping', () => {
  test('a stream that another one reset inside onDrain is not drained', () => {
    const { session, sink } = aloneWith({ limits: { sendHighWaterBytes: 1000 } });
    const log: string[] = [];
    const one = session.open(ssh, { onDrain: () => two.reset('cancelled') });
    const two = session.open(ssh, listening(log));
    for (const stream of [one, two]) {
      receive(session, `02${stream.id.replaceAll('-', '')}${u64(9000)}`);
    }
    sink.take();
    sink.room = 0;
    for (const stream of [one, two]) assert.ok(!stream.write(new Uint8Array(2000)));
    sink.room = 99;
    session.writable();
    assert.deepEqual(log, ['opened']);
  });

  test('a stream that we reset gets no event when the session closes', () => {
    const { session, sink, stream, log } = opened();
    sink.room = 0;
    stream.reset('cancelled');
    session.close('peer-shutdown');
    assert.deepEqual(log, []);
  });

  test('an answered OPEN no longer counts: 4200 consecutive streams', () => {
    const { session, sink } = aloneWith({ onOpen: (request) => request.accept({}).reset('reset') });
    const other = aloneWith({ onOpen: (request) => request.accept({}).end() });
    for (let count = 1; count <= 4200; count++) {
      const id = u64(count).padEnd(32, '0');
      receive(session, openOf(id));
      receive(other.session, openOf(id));
      receive(other.session, `07${id}0001`);
      sink.take();
      other.sink.take();
    }
    assert.equal(session.streamCount + other.session.streamCount, 0);
  });

  test('our streams and theirs are counted separately', () => {
    const { session, sink } = requested();
    for (let count = 0; count < MAX_STREAMS_PER_PEER; count++) session.open(ssh, {});
    receive(session, `07${THEIRS}0008`);
    sink.take();
    session.open(ssh, {});
    assert.deepEqual(sink.hex(), [], 'theirs is over, ours is not');
    let asks = 0;
    const other = asked({ limits: { streams: 1 }, onOpen: () => asks++ });
    receive(other.session, openOf(THEIRS), `03${other.id}0001`);
    receive(other.session, openOf('ff'.repeat(16)));
    assert.equal(asks, 1, 'ours is over, theirs is not');
  });

  test('the UUID of a finished stream is free again', () => {
    const { session, requests, request } = requested();
    request.accept({});
    receive(session, `07${THEIRS}0001`);
    receive(session, openOf(THEIRS));
    assert.equal(requests.length, 2);
  });

  test('a finished stream is in no lane, however long the output is blocked', () => {
    const { session, sink, stream, id } = opened();
    assert.ok(stream instanceof Stream);
    sink.room = 0;
    stream.write(new Uint8Array(50_000));
    receive(session, dataOf(id, 0, 'a'));
    assert.notEqual(stream.turns.data.lane, undefined);
    receive(session, `07${id}0001`);
    assert.equal(stream.turns.data.lane, undefined);
    assert.equal(stream.turns.control.lane, undefined);
    assert.equal(stream.backlogBytes, 0);
    assert.equal(session.stats().heldBytes, 0);
    assert.equal(session.stats().reservedBytes, 0);
  });

  test('frames from handlers are sent after all handlers have run', () => {
    const { session, sink } = aloneWith();
    const seen: number[] = [];
    const streams = [0, 1].map(() => {
      const stream = session.open(ssh, {
        onData: () => {
          stream.write(Buffer.from('x'));
          seen.push(sink.frames.length);
        },
      });
      receive(session, `02${stream.id.replaceAll('-', '')}${u64(9)}`);
      return stream;
    });
    sink.take();
    receive(session, ...streams.map((stream) => dataOf(stream.id.replaceAll('-', ''), 0, 'a')));
    assert.deepEqual(seen, [0, 0]);
    assert.equal(sink.frames.length, 2);
  });
});

describe('windows', () => {
  test('start smaller among many streams, so that their sum stays bounded', () => {
    const { session, sink } = aloneWith({ limits: { maxPeerWindowBytes: 16 * 1024 * 1024 } });
    sink.take();
    for (let count = 0; count < 100; count++) session.open(ssh, {});
    const windows = sink.take().map((open) => Number(Buffer.from(open).readBigUInt64BE(17)));
    assert.deepEqual([windows[0], windows[11], windows[99]], [262_144, 131_072, 16_384]);
  });
});

describe('resets', () => {
  test('ours drops waiting bytes, sends RESET, and calls no handler', () => {
    const { session, sink, stream, id, log } = opened({}, 1);
    stream.write(Buffer.from('abc'));
    sink.take();
    stream.reset('reset');
    stream.reset('reset');
    assert.deepEqual(sink.hex(), [`07${id}0007`]);
    assert.equal(session.streamCount, 0);
    assert.deepEqual(log, []);
    stream.end();
    stream.consumed(5);
    assert.equal(stream.write(Buffer.from('x')), false);
    assert.deepEqual(sink.hex(), []);
  });

  test('ours waits for room, and ignores frames while it waits', () => {
    const { session, sink, stream, id, log } = opened();
    sink.room = 0;
    stream.reset('reset');
    receive(session, dataOf(id, 0, 'late'), dataOf(id, 0, 'late'), `06${id}${u64(5)}`);
    assert.equal(session.streamCount, 1);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`07${id}0007`]);
    assert.equal(session.streamCount, 0);
    assert.deepEqual(log, []);
  });

  test('crossing resets end it on both sides', () => {
    const { session, sink, stream, id } = opened();
    sink.room = 0;
    stream.reset('reset');
    receive(session, `07${id}0007`);
    assert.equal(session.streamCount, 0);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), []);
  });

  test("the peer's drops bytes that were not delivered", () => {
    const { session, stream, id, log } = opened();
    receive(session, dataOf(id, 0, 'ab'), `07${id}0003`, dataOf(id, 2, 'cd'));
    assert.deepEqual(log, ['reset name-not-found remote']);
    assert.ok(stream.isClosed);
    assert.equal(session.stats().heldBytes, 0);
  });

  test('inside onData stops what would follow', () => {
    const got: number[] = [];
    const { session, sink } = aloneWith();
    const stream = session.open(ssh, {
      onData: (chunk) => {
        got.push(chunk.length);
        stream.reset('cancelled');
      },
      onEnd: () => got.push(-1),
    });
    const id = stream.id.replaceAll('-', '');
    const frames: string[] = [];
    for (let at = 0; at < 70_000; at += 500) frames.push(dataOf(id, at, 'x'.repeat(500)));
    sink.take();
    receive(session, `02${id}${u64(1)}`, ...frames, `05${id}${u64(70_000)}`);
    assert.deepEqual(got, [32_768]);
    assert.deepEqual(sink.hex(), [`07${id}0008`]);
  });
});

describe('violations', () => {
  for (const [why, frames] of [
    ['no bytes', ['']],
    ['a truncated header', [`04${'11'.repeat(15)}`]],
    ['type 0', [`00${'11'.repeat(16)}`]],
    ['GIVE_BACK that was not agreed on', [`09${'11'.repeat(16)}${u64(0)}`]],
    ['GIVE_BACK that was not agreed on, for an existing stream', [openOf(THEIRS), `09${THEIRS}${u64(0)}`]],
    ['type 10', [`0a${'11'.repeat(16)}`]],
    ['type 0x13', [`13${NIL}`]],
    ['OPEN for the nil UUID', [openOf(NIL)]],
    ['DATA for the nil UUID', [dataOf(NIL, 0, 'x')]],
    ['PING for a stream', [`10${THEIRS}0102030405060708`]],
    ['a truncated PING', [`10${NIL}01020304050607`]],
    ['a PONG that is too long', [`11${NIL}010203040506070809`]],
    ['OPEN for a UUID in use', [openOf(THEIRS), openOf(THEIRS)]],
    ['DATA before OPENED', [openOf(THEIRS), dataOf(THEIRS, 0, 'x')]],
    ['END before OPENED', [openOf(THEIRS), `05${THEIRS}${u64(0)}`]],
    ['OPENED from the opener', [openOf(THEIRS), `02${THEIRS}${u64(0)}`]],
    ['REFUSED from the opener', [openOf(THEIRS), `03${THEIRS}0001`]],
    ['a repeated BYE', [`12${NIL}000a${u64(9)}`, `12${NIL}000a${u64(9)}`]],
    ['a truncated BYE', [`12${NIL}000a`]],
  ] as const) {
    test(`${why} is refused`, () => violates(aloneWith().session, ...frames));
  }

  for (const [why, frames] of [
    ['GIVE_BACK before OPENED', [openOf(THEIRS), `09${THEIRS}${u64(0)}`]],
    ['type 10', [`0a${'11'.repeat(16)}`]],
    ['GIVE_BACK for the nil UUID', [`09${NIL}${u64(0)}`]],
  ] as const) {
    test(`${why} is refused, also where GIVE_BACK is agreed on`, () =>
      violates(aloneWith({ givesBack: true }).session, ...frames));
  }

  for (const [why, frames] of [
    ['OPENED twice', (id: string) => [`02${id}${u64(5)}`]],
    ['REFUSED after OPENED', (id: string) => [`03${id}0001`]],
    ['DATA beyond the credit', (id: string) => [dataOf(id, 262_143, 'xy')]],
    ['DATA that overlaps', (id: string) => [dataOf(id, 0, 'abc'), dataOf(id, 2, 'x')]],
    ['a repeated DATA', (id: string) => [dataOf(id, 5, 'abc'), dataOf(id, 5, 'abc')]],
    ['DATA without bytes', (id: string) => [`04${id}${u64(0)}`]],
    ['DATA beyond the end', (id: string) => [`05${id}${u64(2)}`, dataOf(id, 1, 'xy')]],
    ['END before bytes that have arrived', (id: string) => [dataOf(id, 5, 'abc'), `05${id}${u64(7)}`]],
    ['END beyond the credit', (id: string) => [`05${id}${u64(262_145)}`]],
    ['two different ENDs', (id: string) => [`05${id}${u64(2)}`, `05${id}${u64(3)}`]],
    ['CREDIT above 2^53', (id: string) => [`06${id}0020000000000000`]],
    ['a truncated RESET', (id: string) => [`07${id}00`]],
  ] as const) {
    test(`${why} is refused`, () => {
      const { session, id } = opened();
      violates(session, ...frames(id));
    });
  }

  test('DATA up to the very end of the credit, and END there, are valid', () => {
    const { session, id, log } = opened({ limits: { initialWindowBytes: 3 } });
    receive(session, `05${id}${u64(3)}`, dataOf(id, 0, 'abc'));
    assert.deepEqual(log, ['data abc', 'end']);
  });

  test('a frame longer than agreed is refused, one of the agreed length is not', () => {
    const { session, id } = opened({ frameBytes: 1024 });
    receive(session, dataOf(id, 0, 'x'.repeat(999)));
    violates(session, dataOf(id, 999, 'x'.repeat(1000)));
  });

  test('frames of unknown streams are ignored', () => {
    const { session, sink } = aloneWith();
    sink.take();
    for (const type of ['02', '03', '04', '05', '06', '07', '08']) receive(session, `${type}${THEIRS}`);
    assert.deepEqual(sink.hex(), []);
  });
});

describe('ping and silence', () => {
  test('a PING is answered with its own bytes', () => {
    const { session, sink } = aloneWith();
    sink.take();
    receive(session, `10${NIL}ffffffffffffffff`);
    assert.deepEqual(sink.hex(), [`11${NIL}ffffffffffffffff`]);
  });

  test('only the newest of many PINGs is answered after the output was blocked', () => {
    const { session, sink } = aloneWith();
    sink.take();
    sink.room = 0;
    for (let count = 1; count <= 1000; count++) receive(session, `10${NIL}${u64(count)}`);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`11${NIL}${u64(1000)}`]);
  });

  test('ping reports the round trip, in flush, to all waiting callers', () => {
    const { session, sink, clock } = aloneWith();
    sink.take();
    const heard: (number | undefined)[] = [];
    session.ping((ms) => heard.push(ms));
    clock.ms += 30;
    session.ping((ms) => heard.push(ms));
    assert.deepEqual(sink.hex(), [], 'one unanswered at a time');
    receive(session, `11${NIL}${u64(2)}`, `11${NIL}0000000100000001`);
    assert.equal(heard.length, 0, 'not ours');
    session.receive(frame(`11${NIL}${u64(1)}`));
    assert.equal(heard.length, 0);
    session.flush();
    assert.equal(heard.join(), '30,30');
    receive(session, `11${NIL}${u64(1)}`);
    session.ping((ms) => heard.push(ms));
    assert.deepEqual(sink.hex(), [`10${NIL}${u64(2)}`]);
    session.close('peer-shutdown');
    assert.deepEqual(heard, [30, 30, undefined]);
    assert.equal(session.stats().roundTripMs, 30);
  });

  test('the round trip is smoothed, with a weight of one eighth per sample', () => {
    const { session, clock } = aloneWith();
    for (const [count, ms] of [
      [1, 80],
      [2, 160],
    ] as const) {
      clock.ms += ms;
      receive(session, `11${NIL}${u64(count)}`);
      session.ping(() => {});
    }
    assert.equal(session.stats().roundTripMs, 90);
  });

  test('the number of waiting callers is bounded', () => {
    const { session } = aloneWith();
    for (let count = 0; count < 1024; count++) session.ping(() => {});
    assert.throws(
      () => session.ping(() => {}),
      (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT',
    );
  });

  test('after 10 s of silence sends a PING, after 30 s counts as dead', () => {
    const { session, sink, clock } = quiet();
    assert.equal(session.nextTickMs(), 10_000);
    clock.ms += 9999;
    assert.equal(session.tick(), 'alive');
    assert.equal(session.nextTickMs(), 1);
    clock.ms += 1;
    assert.equal(session.tick(), 'alive');
    assert.deepEqual(sink.hex(), [`10${NIL}${u64(2)}`]);
    assert.equal(session.nextTickMs(), 20_000);
    clock.ms += 19_999;
    assert.equal(session.tick(), 'alive');
    assert.deepEqual(sink.hex(), []);
    clock.ms += 1;
    assert.equal(session.nextTickMs(), 0);
    assert.equal(session.tick(), 'dead');
  });

  test('any frame is a sign of life', () => {
    const { session, clock } = quiet();
    clock.ms += 29_999;
    receive(session, `07${THEIRS}0001`);
    clock.ms += 29_999;
    assert.equal(session.tick(), 'alive');
  });

  test('time stops while frozen, and after the thaw the peer has its full time again', () => {
    const { session, sink, clock } = quiet();
    session.freeze();
    clock.ms += 1_000_000;
    assert.equal(session.nextTickMs(), Number.POSITIVE_INFINITY);
    assert.equal(session.tick(), 'alive');
    session.thaw();
    assert.deepEqual(sink.hex(), [`10${NIL}${u64(2)}`], 'is the peer there?');
    clock.ms += 29_999;
    assert.equal(session.tick(), 'alive');
    clock.ms += 1;
    assert.equal(session.tick(), 'dead');
  });

  test('the next tick is never in the past', () => {
    const { session, clock } = quiet();
    clock.ms += 40_000;
    assert.equal(session.nextTickMs(), 0);
  });

  test('after an outage round trips count again', () => {
    const { session, clock } = aloneWith();
    session.freeze();
    session.thaw();
    receive(session, `11${NIL}${u64(1)}`);
    session.ping(() => {});
    clock.ms += 25;
    receive(session, `11${NIL}${u64(2)}`);
    assert.equal(session.stats().roundTripMs, 25);
  });

  test('an outage is not a round trip', () => {
    const { session, clock } = aloneWith();
    session.freeze();
    clock.ms += 60_000;
    session.thaw();
    receive(session, `11${NIL}${u64(1)}`);
    assert.equal(session.stats().roundTripMs, undefined);
  });

  /** A session whose first PING was answered. */
  function quiet(): { session: Session; sink: ListSink; clock: ManualClock } {
    const alone = aloneWith();
    receive(alone.session, `11${NIL}${u64(1)}`);
    alone.sink.take();
    return alone;
  }
});

describe('closing', () => {
  test('BYE carries the number of frames and closes every stream', () => {
    const { session, sink, stream, log } = opened();
    stream.write(Buffer.from('ab'));
    sink.take();
    session.close('peer-shutdown', 'bye');
    // PING, OPEN and DATA were before.
    assert.deepEqual(sink.hex(), [`12${NIL}000a${u64(3)}627965`]);
    assert.deepEqual(log, ['reset peer-shutdown local']);
    assert.ok(session.isClosed);
    assert.equal(session.streamCount, 0);
    session.close('internal');
    receive(session, `10${NIL}${u64(1)}`);
    session.writable();
    assert.deepEqual(sink.hex(), [], 'nothing after BYE');
    assert.equal(session.nextTickMs(), Number.POSITIVE_INFINITY);
    assert.equal(session.tick(), 'alive');
    assert.throws(
      () => session.open(ssh, {}),
      (error) => TunnelError.is(error) && error.code === 'ERR_PEER_GONE',
    );
    assert.throws(() => session.ping(() => {}), TunnelError);
  });

  test('BYE waits for room, and replaces everything else that waited', () => {
    const { session, sink } = opened();
    sink.room = 0;
    receive(session, `10${NIL}${u64(1)}`, openOf(THEIRS));
    session.close('peer-shutdown');
    assert.ok(session.hasByeToSend);
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), [`12${NIL}000a${u64(2)}`]);
    assert.ok(!session.hasByeToSend);
  });

  test('abandon sends nothing, not even a waiting BYE', () => {
    const { session, sink, log } = opened();
    sink.room = 0;
    session.close('peer-shutdown');
    session.abandon('session-replaced');
    sink.room = 9;
    session.writable();
    assert.deepEqual(sink.hex(), []);
    assert.deepEqual(log, ['reset peer-shutdown local']);
    const other = opened();
    other.session.abandon('session-replaced');
    assert.deepEqual(other.log, ['reset session-replaced local']);
    assert.deepEqual(other.sink.hex(), []);
  });

  test("the peer's BYE waits for everything that it sent before", () => {
    const byes: string[] = [];
    const { session, id, stream, log } = opened({ onBye: (reason, text) => byes.push(`${reason} ${text}`) });
    // Before: OPENED, DATA, END.
    receive(session, `12${NIL}000a${u64(3)}627965`, `05${id}${u64(2)}`);
    assert.ok(!session.isClosed);
    assert.throws(() => session.open(ssh, {}), TunnelError);
    assert.deepEqual(byes, []);
    receive(session, dataOf(id, 0, 'ab'));
    assert.deepEqual(log, ['data ab', 'end']);
    stream.consumed(2);
    session.tick();
    assert.deepEqual(log, ['data ab', 'end', 'reset peer-shutdown remote']);
    assert.deepEqual(byes, ['peer-shutdown bye']);
    assert.ok(session.isClosed);
    receive(session, openOf(THEIRS));
    assert.equal(session.streamCount, 0);
  });

  for (const [why, then] of [
    ['5 s have passed', (_session, clock) => clock.advance(5_000)],
    ['it goes offline', (session) => session.freeze()],
  ] as const satisfies readonly (readonly [string, (session: Session, clock: ManualClock) => void])[]) {
    test(`the peer's BYE waits for a consumer that takes nothing until ${why}`, () => {
      let sooner = 0;
      const { session, id, log, clock } = opened({ onTickSooner: () => sooner++ });
      assert.ok(session.nextTickMs() > 1000);
      receive(session, dataOf(id, 0, 'ab'), `12${NIL}000a${u64(2)}`);
      assert.equal(sooner, 1);
      assert.equal(session.nextTickMs(), 10);
      clock.ms += 4_999;
      session.tick();
      assert.deepEqual(log, ['data ab']);
      then(session, clock);
      session.tick();
      assert.deepEqual(log, ['data ab', 'reset peer-shutdown remote']);
      assert.ok(session.isClosed);
    });
  }

  test('a BYE for another reason waits for no consumer', () => {
    const { session, id, log } = opened();
    receive(session, dataOf(id, 0, 'ab'), `12${NIL}0005${u64(2)}`);
    assert.deepEqual(log, ['data ab', 'reset not-allowed remote']);
  });

  test('a mark tells when everything written before it is in frames, whatever is written later', () => {
    const { session, stream, id } = opened({}, 2);
    const other = session.sendMark();
    assert.ok(other(), 'nothing was written');
    stream.write(Buffer.from('abc'));
    const isSent = session.sendMark();
    assert.ok(!isSent());
    stream.write(Buffer.from('d'));
    stream.end();
    const ends = session.sendMark();
    receive(session, `06${id}${u64(3)}`);
    assert.deepEqual([isSent(), ends()], [true, false]);
    receive(session, `06${id}${u64(4)}`);
    assert.ok(!ends(), 'it may still get an answer');
    receive(session, `05${id}${u64(0)}`);
    assert.ok(ends());
    const cut = opened({}, 0);
    cut.stream.write(Buffer.from('x'));
    const gone = cut.session.sendMark();
    assert.ok(!gone());
    cut.stream.reset('reset');
    assert.ok(gone(), 'a stream that was reset sends nothing more');
  });

  test('a BYE is enough to close a session without streams', () => {
    const byes: string[] = [];
    const { session, sink } = aloneWith({ onBye: (reason) => byes.push(reason) });
    sink.take();
    receive(session, `10${NIL}${u64(1)}`, `12${NIL}000a${u64(0)}`);
    assert.deepEqual(byes, ['peer-shutdown']);
    assert.deepEqual(sink.hex(), [], 'nobody is left to answer');
  });

  test('streams that ended in the batch of a violation still hear of it', () => {
    const { session, id, log } = opened();
    session.receive(frame(`07${id}0002`));
    violates(session, 'ff');
    session.close('protocol-error');
    assert.deepEqual(log, ['reset unreachable remote']);
  });

  test('an unanswered request is cancelled', () => {
    const { session, request } = requested();
    let cancelled = 0;
    request.onCancelled = () => cancelled++;
    session.close('peer-shutdown');
    assert.equal(cancelled, 1);
    assert.throws(() => request.accept({}), TunnelError);
  });

  test('a handler may close the session', () => {
    const seen: string[] = [];
    const { session, sink } = aloneWith();
    const other = session.open(ssh, { onReset: (reason) => seen.push(reason) });
    const stream = session.open(ssh, {
      onData: () => session.close('internal'),
      onEnd: () => seen.push('end'),
      onReset: (reason) => seen.push(reason),
    });
    sink.take();
    const id = stream.id.replaceAll('-', '');
    receive(session, `02${id}${u64(1)}`, dataOf(id, 0, 'a'), `05${id}${u64(1)}`);
    assert.deepEqual(seen, ['internal', 'internal']);
    assert.ok(other.isClosed);
    assert.match(sink.hex().join(), /^12/);
  });
});

describe('two sessions', () => {
  test('carry an echo and close without a trace', () => {
    const got: string[] = [];
    const link = new MuxLink(
      { seed: 1, delayMs: 0, room: 100 },
      {},
      {
        onOpen: (request) => {
          const stream = request.accept({
            onData: (chunk) => {
              stream.write(chunk);
              stream.consumed(chunk.length);
            },
            onEnd: () => stream.end(),
          });
        },
      },
    );
    const stream = link.connector.open(ssh, {
      onData: (chunk) => {
        got.push(Buffer.from(chunk).toString());
        stream.consumed(chunk.length);
      },
      onEnd: () => got.push('end'),
    });
    stream.write(Buffer.from('hello'));
    stream.end();
    assert.ok(link.run(() => link.connector.streamCount + link.listener.streamCount === 0, 20));
    assert.deepEqual(got, ['hello', 'end']);
    const stats = link.connector.stats();
    assert.ok(
      stats.framesSent >= 4 && stats.framesReceived >= 4 && stats.bytesSent > 0 && stats.bytesReceived > 0,
    );
    assert.equal(stats.roundTripMs, 1);
  });

  test('four downloads through a narrow path get equal shares, and a keystroke overtakes them all', () => {
    const received = new Map<string, number>();
    let keystrokeMs = 0;
    const link: MuxLink = new MuxLink(
      { seed: 1, delayMs: 0, room: 40 },
      {},
      {
        onOpen: (request) => {
          const { host } = askedAddress(request.target);
          const stream = request.accept({
            onData: (chunk) => {
              received.set(host, (received.get(host) ?? 0) + chunk.length);
              stream.consumed(chunk.length);
              if (host === 'key') keystrokeMs = link.clock.ms;
            },
          });
        },
      },
    );
    for (const host of ['a', 'b', 'c', 'd']) {
      const fill = (): void => {
        while (stream.write(new Uint8Array(50_000)));
      };
      const stream = link.connector.open({ ...ssh, host }, { onOpened: fill, onDrain: fill });
    }
    const key = link.connector.open({ ...ssh, host: 'key' }, {});
    for (let ms = 0; ms < 500; ms++) link.step();
    const shares = ['a', 'b', 'c', 'd'].map((host) => received.get(host) ?? 0);
    assert.ok(Math.min(...shares) > 1_000_000, `${shares}`);
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 64_000, `${shares}`);
    key.write(Buffer.from('x'));
    const writtenMs = link.clock.ms;
    link.run(() => keystrokeMs > 0, 100);
    assert.ok(keystrokeMs - writtenMs <= 2, `${keystrokeMs - writtenMs} ms`);
  });

  test('a consumer that never reads fills only its own window', () => {
    let held = 0;
    let other = 0;
    const link = new MuxLink(
      { seed: 1, delayMs: 0, room: 100 },
      {},
      {
        onOpen: (request) => {
          const stream = request.accept({
            onData: (chunk) => {
              if (askedAddress(request.target).host === 'stuck') held += chunk.length;
              else {
                other += chunk.length;
                stream.consumed(chunk.length);
              }
            },
          });
        },
      },
    );
    for (const host of ['stuck', 'fine']) {
      const fill = (): void => {
        while (stream.write(new Uint8Array(10_000)));
      };
      const stream = link.connector.open({ ...ssh, host }, { onOpened: fill, onDrain: fill });
    }
    for (let ms = 0; ms < 500; ms++) link.step();
    assert.equal(held, 256 * 1024);
    assert.ok(other > 10_000_000, `${other}`);
  });
});
