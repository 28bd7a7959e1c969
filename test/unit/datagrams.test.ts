import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_STREAM_DATAGRAM_BYTES } from '../../src/core/limits.js';
import { DatagramMemory } from '../../src/mux/datagram/datagram_memory.js';
import { DatagramReceiver } from '../../src/mux/datagram/datagram_receiver.js';
import type { Session } from '../../src/mux/session/session.js';
import type { SessionOptions } from '../../src/mux/session/session_options.js';
import type { MuxStream } from '../../src/mux/stream/stream_api.js';
import { aloneWith, ListSink, MuxLink, randomOf } from '../support/mux_link.js';

const dns = { kind: 'udp', host: 'localhost', port: 53 } as const;
const NIL = '00'.repeat(16);
const THEIRS = '00112233445546778899aabbccddeeff';
const hexOf = (text: string): string => Buffer.from(text).toString('hex');
const OPENED = '0000000000040000';

function receive(session: Session, ...frames: string[]): void {
  for (const hex of frames) session.receive(Uint8Array.from(Buffer.from(hex, 'hex')));
  session.flush();
}

/** A part of a datagram as a frame. */
function part(id: string, number: number, text: string, at = 0, of = 1): string {
  const head = [
    number.toString(16).padStart(8, '0'),
    ...[at, of].map((n) => n.toString(16).padStart(2, '0')),
  ];
  return `08${id}${head.join('')}${hexOf(text)}`;
}

/** A connector with one stream to a UDP target, after it sent OPEN. */
function asked(options: Partial<SessionOptions> = {}) {
  const sink = new LossySink();
  const alone = aloneWith({ sink, ...options });
  sink.take();
  const got: string[] = [];
  const stream = alone.session.open(dns, {
    onOpened: () => got.push('opened'),
    onDatagram: (datagram) => got.push(Buffer.from(datagram).toString()),
  });
  const id = stream.id.replaceAll('-', '');
  return { ...alone, sink, stream, id, got };
}

function opened(options: Partial<SessionOptions> = {}) {
  const all = asked(options);
  receive(all.session, `02${all.id}${OPENED}`);
  all.sink.take();
  all.got.length = 0;
  return all;
}

/** Notes which frames may get lost. */
class LossySink extends ListSink {
  lossy: boolean[] = [];

  override reserve(bytes: number, urgent: boolean, lossy = false): Uint8Array | undefined {
    const out = super.reserve(bytes, urgent);
    if (out !== undefined) this.lossy.push(lossy);
    return out;
  }
}

function refuses(session: Session, frame: string): void {
  assert.throws(
    () => receive(session, frame),
    (error) => TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote,
  );
}

describe('datagrams', () => {
  test('each is one numbered frame that may get lost', () => {
    const { sink, stream, id } = opened();
    sink.lossy = [];
    stream.sendDatagram(Buffer.from('hi'));
    stream.sendDatagram(new Uint8Array(0));
    assert.deepEqual(sink.lossy, [true, true]);
    assert.deepEqual(sink.hex(), [part(id, 0, 'hi'), part(id, 1, '')]);
  });

  test('one sent before OPENED waits for it', () => {
    const { session, sink, stream, id } = asked();
    sink.take();
    stream.sendDatagram(Buffer.from('hi'));
    assert.deepEqual(sink.hex(), []);
    receive(session, `02${id}${OPENED}`);
    assert.deepEqual(sink.hex(), [part(id, 0, 'hi')]);
  });

  test('they reach the consumer as they arrive, and those that overtook OPENED after it', () => {
    const { session, id, got } = asked();
    receive(session, part(id, 1, 'b'));
    assert.deepEqual(got, []);
    receive(session, `02${id}${OPENED}`, part(id, 0, 'a'), part(id, 3, ''));
    assert.deepEqual(got, ['opened', 'b', 'a', '']);
  });

  test('one longer than a frame travels in parts, which may arrive in any order', () => {
    const { session, sink, stream, id, got } = opened({ frameBytes: 1024 });
    const text = `${'x'.repeat(1001)}${'y'.repeat(1001)}z`;
    stream.sendDatagram(Buffer.from(text));
    const frames = sink.hex();
    assert.deepEqual(
      frames.map((hex) => [hex.length / 2, hex.slice(34, 46)]),
      [
        [1024, '000000000003'],
        [1024, '000000000103'],
        [24, '000000000203'],
      ],
    );
    receive(session, ...[2, 0, 1].map((at) => frames[at] ?? ''));
    assert.deepEqual(got, [text]);
    assert.equal(session.stats().datagramBytes, 0);
    assert.ok(frames.every((frame) => frame.includes(id)));
  });

  for (const bytes of [1321, 1322, 4096, 65_535]) {
    test(`one of ${bytes} bytes arrives unchanged`, () => {
      const link = new MuxLink(
        { seed: bytes, delayMs: 10, room: 1000 },
        {},
        {
          onOpen: (request) => {
            const far: MuxStream = request.accept({ onDatagram: (datagram) => far.sendDatagram(datagram) });
          },
        },
      );
      const sent = Uint8Array.from({ length: bytes }, (_, at) => at * 7);
      let back: Uint8Array | undefined;
      const near = link.connector.open(dns, {
        onDatagram: (datagram) => {
          back = datagram;
        },
      });
      near.sendDatagram(sent);
      assert.ok(link.run(() => back !== undefined, 1_000));
      assert.deepEqual(back, sent);
      assert.equal(link.listener.stats().datagramBytes, 0);
    });
  }

  test('one longer than UDP allows is refused, and so is one on a byte stream', () => {
    const { session, stream } = opened();
    assert.throws(() => stream.sendDatagram(new Uint8Array(65_536)), RangeError);
    const other = session.open({ kind: 'tcp', host: 'h', port: 1 }, {});
    assert.throws(() => other.sendDatagram(new Uint8Array(1)), RangeError);
  });

  test('when too many wait to be sent the oldest are dropped, and counted', () => {
    const { session, sink, stream, id } = opened();
    sink.room = 0;
    for (let number = 0; number < 300; number++) stream.sendDatagram(Buffer.alloc(1000, 'x'));
    const { datagramsDropped, datagramBytes } = session.stats();
    assert.ok(datagramBytes <= MAX_STREAM_DATAGRAM_BYTES, `${datagramBytes} bytes`);
    assert.equal(datagramsDropped, 300 - stream.backlogBytes / 1000);
    sink.room = 1;
    session.writable();
    const first = datagramsDropped.toString(16).padStart(8, '0');
    assert.equal(sink.hex()[0]?.slice(0, 42), `08${id}${first}`);
  });

  test('all streams of a peer share one limit, and a stream that ends returns its share', () => {
    const { session, sink } = opened();
    sink.room = 0;
    const streams = Array.from({ length: 50 }, () => session.open(dns, {}));
    for (const stream of streams) {
      for (let count = 0; count < 300; count++) stream.sendDatagram(new Uint8Array(1000));
    }
    assert.ok(session.stats().datagramBytes <= 8 * 1024 * 1024);
    assert.ok(session.stats().datagramBytes > 7 * 1024 * 1024);
    for (const stream of streams) stream.reset('cancelled');
    assert.equal(session.stats().datagramBytes, 0);
  });

  test('they count neither as frames that a BYE waits for, nor as control frames', () => {
    const { session, id, got } = opened({ limits: { controlFramesPerSecond: 10 } });
    for (let number = 0; number < 100; number++) receive(session, part(id, number, 'x'));
    assert.equal(got.length, 100);
    assert.equal(session.stats().framesReceived, 1);
    // The only frame was OPENED.
    receive(session, `12${NIL}000a0000000000000001`);
    assert.equal(session.isClosed, true);
  });

  test('a BYE of ours does not count them', () => {
    const { session, sink, stream } = opened();
    const before = session.stats().framesSent;
    stream.sendDatagram(Buffer.from('hi'));
    assert.equal(session.stats().framesSent, before);
    sink.take();
    session.close('peer-shutdown');
    assert.equal(sink.hex()[0], `12${NIL}000a${before.toString(16).padStart(16, '0')}`);
  });

  test('after the end of the stream nothing is received or sent', () => {
    const { session, sink, stream, id, got } = opened();
    stream.reset('cancelled');
    sink.take();
    stream.sendDatagram(Buffer.from('hi'));
    receive(session, part(id, 0, 'late'));
    assert.deepEqual(sink.hex(), []);
    assert.deepEqual(got, []);
    assert.equal(session.streamCount, 0);
  });

  test('a consumer that resets the stream gets no more datagrams of the same batch', () => {
    const { session, stream, id } = opened();
    const got: number[] = [];
    const again = session.open(dns, {});
    again.reset('cancelled');
    const handlers = {
      onDatagram: (datagram: Uint8Array) => {
        got.push(datagram.length);
        second.reset('cancelled');
      },
    };
    const second = session.open(dns, handlers);
    const secondId = second.id.replaceAll('-', '');
    receive(
      session,
      `02${secondId}${OPENED}`,
      part(secondId, 0, 'a'),
      part(secondId, 1, 'bb'),
      part(id, 0, 'c'),
    );
    assert.deepEqual(got, [1]);
    assert.equal(stream.isClosed, false);
  });

  for (const [why, frame] of [
    ['DATA', `04${THEIRS}000000000000000061`],
    ['END', `05${THEIRS}0000000000000000`],
    ['a part after the last', part(THEIRS, 0, 'x', 2, 2)],
  ] as const) {
    test(`${why} in a datagram stream is refused`, () => {
      const { session } = aloneWith({ onOpen: (request) => void request.accept({}) });
      receive(session, `01${THEIRS}${OPENED}05003501${hexOf('a')}`);
      refuses(session, frame);
    });
  }

  test('DATAGRAM in a byte stream, or before OPENED, is refused', () => {
    const bytes = aloneWith({ onOpen: (request) => void request.accept({}) });
    receive(bytes.session, `01${THEIRS}${OPENED}01003501${hexOf('a')}`);
    refuses(bytes.session, part(THEIRS, 0, 'x'));
    const early = aloneWith({ onOpen: () => {} });
    receive(early.session, `01${THEIRS}${OPENED}05003501${hexOf('a')}`);
    refuses(early.session, part(THEIRS, 0, 'x'));
  });
});

describe('parts', () => {
  const memory = (): DatagramMemory => new DatagramMemory(1024 * 1024);
  const frameOf = (number: number, at: number, of: number, bytes = 1000): Uint8Array =>
    Buffer.concat([Buffer.from(part(THEIRS, number, '', at, of), 'hex'), Buffer.alloc(bytes, at)]);

  test('an incomplete one is dropped whole when eight newer ones are incomplete', () => {
    const all = memory();
    const receiver = new DatagramReceiver(all.share(1e6));
    for (let number = 0; number <= 8; number++) receiver.take(frameOf(number, 0, 2));
    assert.equal(all.dropped, 1);
    receiver.take(frameOf(0, 1, 2));
    assert.equal(receiver.hasNews, false);
    receiver.take(frameOf(8, 1, 2));
    assert.equal(receiver.next()?.length, 2000);
  });

  test('a late part does not displace newer ones', () => {
    const all = memory();
    const receiver = new DatagramReceiver(all.share(1e6));
    for (let number = 10; number < 18; number++) receiver.take(frameOf(number, 0, 2));
    receiver.take(frameOf(1, 0, 2));
    for (let number = 10; number < 18; number++) receiver.take(frameOf(number, 1, 2));
    assert.equal(all.received, 8);
  });

  test('numbers continue from 0 after 2^32', () => {
    const all = memory();
    const receiver = new DatagramReceiver(all.share(1e6));
    for (let number = 0xffff_fffe; number < 0x1_0000_0007; number++)
      receiver.take(frameOf(number % 2 ** 32, 0, 2));
    assert.equal(all.dropped, 1);
    // The oldest, which has the largest number, was dropped.
    receiver.take(frameOf(0, 1, 2));
    receiver.take(frameOf(6, 1, 2));
    assert.equal(all.received, 2);
  });

  test('a repeated part changes nothing', () => {
    const all = memory();
    const receiver = new DatagramReceiver(all.share(1e6));
    for (const at of [0, 0, 0, 1]) receiver.take(frameOf(1, at, 2));
    assert.equal(all.received, 1);
    receiver.clear();
    assert.equal(all.bytes, 0);
  });

  test('reserved room for parts that never arrive counts as memory, too', () => {
    const all = memory();
    const receiver = new DatagramReceiver(all.share(2 * 66 * 8 + 2 * 64 + 2 * 65));
    for (let number = 0; number < 4; number++) receiver.take(frameOf(number, 0, 66, 1));
    assert.equal(all.dropped, 2);
    assert.equal(all.bytes, 2 * 66 * 8 + 2 * 64 + 2 * 65);
    receiver.clear();
    assert.equal(all.bytes, 0);
  });

  test('parts that exceed the maximum datagram in total are refused', () => {
    const receiver = new DatagramReceiver(memory().share(1e6));
    for (let at = 0; at < 49; at++) receiver.take(frameOf(1, at, 66, 1321));
    assert.throws(() => receiver.take(frameOf(1, 50, 66, 1321)), { code: 'ERR_FRAME_INVALID' });
  });

  test('under any loss, duplication and reordering, a datagram arrives intact and at most once, and no memory stays in use', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = randomOf(seed);
      const all = memory();
      const receiver = new DatagramReceiver(all.share(64 * 1024));
      const frames: { at: number; frame: Uint8Array }[] = [];
      const sizes: number[] = [];
      for (let number = 0; number < 200; number++) {
        const parts = 1 + Math.floor(random() * 6);
        sizes.push(parts);
        for (let at = 0; at < parts; at++) {
          if (random() < 0.1) continue;
          frames.push({ at: frames.length + random() * 12, frame: frameOf(number, at, parts, 100) });
        }
      }
      frames.sort((one, other) => one.at - other.at);
      let came = 0;
      for (const { frame } of frames) {
        receiver.take(frame);
        for (let whole = receiver.next(); whole !== undefined; whole = receiver.next()) {
          came++;
          assert.equal(whole.length % 100, 0);
          for (let at = 0; at < whole.length; at++) assert.equal(whole[at], Math.floor(at / 100));
        }
      }
      assert.ok(came > 60 && came <= 200, `${came} came`);
      receiver.clear();
      assert.equal(all.bytes, 0);
    }
  });
});
