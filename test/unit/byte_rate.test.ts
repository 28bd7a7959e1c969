import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteRate, byteRates } from '../../src/core/allowance.js';
import type { SessionOptions } from '../../src/mux/session/session_options.js';
import type { MuxStream } from '../../src/mux/stream/stream_api.js';
import { MuxLink } from '../support/mux_link.js';

const KIB = 1024;
const TARGET = { kind: 'tcp', host: 'h', port: 1 } as const;

describe('a byte rate', () => {
  const me = {};

  test('lets a burst pass, then its rate', () => {
    const rate = new ByteRate(1_000_000, 0);
    rate.spend(125_000, 0, me);
    assert.equal(rate.waitMs(0, me), 10);
    assert.equal(rate.waitMs(1, me), 0);
    rate.spend(101_000, 1, me);
    assert.equal(rate.waitMs(1, me), 110);
    assert.equal(rate.waitMs(102, me), 0);
  });

  test('saves no more than the burst during a pause', () => {
    const rate = new ByteRate(1_000_000, 0);
    rate.spend(125_000, 60_000, me);
    assert.notEqual(rate.waitMs(60_000, me), 0);
  });

  test('lets those that had to wait take turns', () => {
    const rate = new ByteRate(1_000_000, 0);
    const [one, two] = [{}, {}];
    rate.spend(130_000, 0, one);
    assert.deepEqual([rate.waitMs(0, one), rate.waitMs(0, two)], [15, 15]);
    assert.deepEqual([rate.waitMs(15, two), rate.waitMs(15, one)], [10, 0]);
    rate.spend(10_000, 15, one);
    assert.deepEqual([rate.waitMs(25, one), rate.waitMs(25, two)], [10, 0]);
    // One that no longer asks holds up nobody.
    assert.deepEqual([rate.waitMs(75, one), rate.waitMs(76, one)], [10, 0]);
  });

  test('lets a few frames pass at once, however low it is', () => {
    const rate = new ByteRate(100, 0);
    rate.spend(16 * KIB - 1, 0, me);
    assert.equal(rate.waitMs(0, me), 0);
  });
});

/** Two sessions on virtual time; the rates apply at the listener. Its owner's timer ticks it when it asks for it. */
function limited(
  rates: SessionOptions['rates'],
  onOpen: SessionOptions['onOpen'],
  initialWindowBytes = 16 * KIB,
) {
  let dueMs = 0;
  const later = (): void => {
    dueMs = link.clock.ms + link.listener.nextTickMs();
  };
  const limits = { initialWindowBytes };
  const options = { onOpen, limits, onTickSooner: () => later(), ...(rates && { rates }) };
  const link = new MuxLink({ seed: 3, delayMs: 0, room: 400 }, {}, options);
  const step = (): void => {
    link.step();
    if (link.clock.ms < dueMs) return;
    link.listener.tick();
    later();
  };
  return { link, pass: (ms: number) => Array.from({ length: ms }, step) };
}

function writer(stream: () => MuxStream | undefined, left: { bytes: number }): () => void {
  return () => {
    while (left.bytes > 0) {
      left.bytes -= 8 * KIB;
      if (stream()?.write(new Uint8Array(8 * KIB)) === false) return;
    }
  };
}

describe('a session with a rate', () => {
  for (const direction of ['down', 'up'] as const) {
    test(`moves no more than that ${direction}, loses nothing, and resets nothing`, () => {
      let got = 0;
      let ended = false;
      const left = { bytes: 800 * KIB };
      const sink = (stream: () => MuxStream | undefined) => ({
        onData: (chunk: Uint8Array) => {
          got += chunk.length;
          stream()?.consumed(chunk.length);
        },
        onEnd: () => {
          ended = true;
        },
        onReset: () => assert.fail('reset'),
      });
      let far: MuxStream | undefined;
      const rates = [byteRates(200 * KIB, 1000)];
      const { link, pass } = limited(rates, (request) => {
        const push = writer(() => far, left);
        far = request.accept(direction === 'down' ? { onDrain: push } : sink(() => far));
        if (direction === 'down') push();
      });
      const pushUp = writer(() => near, left);
      const near: MuxStream = link.connector.open(
        TARGET,
        direction === 'down' ? sink(() => near) : { onOpened: pushUp, onDrain: pushUp },
      );
      pass(1000);
      // The rate, the burst and, up, the first window.
      const free = 25 * KIB + (direction === 'up' ? 16 * KIB : 0);
      assert.ok(got <= 200 * KIB + free + 8 * KIB && got >= 180 * KIB, `${got / KIB} KiB in 1 s`);
      pass(1500);
      assert.ok(got <= 500 * KIB + free + 8 * KIB && got >= 460 * KIB, `${got / KIB} KiB in 2.5 s`);
      pass(2000);
      assert.equal(got, 800 * KIB);
      (direction === 'down' ? far : near)?.end();
      pass(200);
      assert.ok(ended);
    });
  }

  test('delays requests of a peer that got round its rate with the first windows of many streams', () => {
    let opened = 0;
    const { link, pass } = limited(
      [byteRates(100 * KIB, 1000)],
      (request) => {
        opened++;
        const stream = request.accept({ onData: (chunk) => stream.consumed(chunk.length) });
      },
      256 * KIB,
    );
    for (let index = 0; index < 10; index++) {
      const stream: MuxStream = link.connector.open(TARGET, {
        onOpened: () => void stream.write(new Uint8Array(200 * KIB)),
      });
      pass(50);
    }
    assert.equal(opened, 1);
    pass(3000);
    assert.equal(opened, 2);
  });

  test('shares a rate with another session', () => {
    const shared = byteRates(200 * KIB, 1000);
    const both = [0, 1].map(() => {
      const got = { bytes: 0 };
      let far: MuxStream | undefined;
      const { link, pass } = limited([shared], (request) => {
        const push = writer(() => far, { bytes: 4096 * KIB });
        far = request.accept({ onDrain: push });
        push();
      });
      const near: MuxStream = link.connector.open(TARGET, {
        onData: (chunk) => {
          got.bytes += chunk.length;
          near.consumed(chunk.length);
        },
      });
      return { got, pass };
    });
    for (let ms = 0; ms < 2000; ms++) for (const { pass } of both) pass(1);
    const [one = 0, two = 0] = both.map(({ got }) => got.bytes / KIB);
    assert.ok(one + two <= 440 && one + two >= 360, `${one} and ${two} KiB`);
    assert.ok(Math.min(one, two) >= 100, `${one} and ${two} KiB`);
  });

  test('sends datagrams at the rate, and drops the oldest only when their queue is full', () => {
    let got = 0;
    let far: MuxStream | undefined;
    const { link, pass } = limited([byteRates(100 * KIB, 1000)], (request) => {
      far = request.accept({});
      for (let count = 0; count < 200; count++) far.sendDatagram(new Uint8Array(KIB));
    });
    link.connector.open({ ...TARGET, kind: 'udp' }, { onDatagram: () => got++ });
    pass(1000);
    assert.ok(got >= 90 && got <= 120, String(got));
    pass(1500);
    assert.equal(got, 200);
    assert.equal(link.listener.stats().datagramsDropped, 0);
  });

  test('hands on datagrams at the rate, and keeps what waits within its bound', () => {
    let got = 0;
    const { link, pass } = limited([byteRates(100 * KIB, 1000)], (request) => {
      request.accept({ onDatagram: () => got++ });
    });
    const near = link.connector.open({ ...TARGET, kind: 'udp' }, {});
    pass(5);
    for (let count = 0; count < 200; count++) near.sendDatagram(new Uint8Array(KIB));
    pass(1000);
    assert.ok(got >= 90 && got <= 120, String(got));
    for (let count = 0; count < 30; count++) {
      for (let burst = 0; burst < 50; burst++) near.sendDatagram(new Uint8Array(KIB));
      pass(10);
    }
    assert.ok(link.listener.stats().datagramBytes <= 256 * KIB);
    assert.ok(link.listener.stats().datagramsDropped > 0);
  });
});
