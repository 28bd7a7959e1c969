import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arrivals } from '../../src/worker/net/arrivals.js';
import type { Datagram } from '../../src/worker/net/datagram_queue.js';
import { FairQueue, SOURCE_GROUPS } from '../../src/worker/net/fair_queue.js';
import { RecentSources, Sources } from '../../src/worker/net/sources.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const FRIEND = Uint8Array.of(192, 0, 2, 1);
const STRANGER = Uint8Array.of(198, 51, 100, 7);
const OTHER = Uint8Array.of(203, 0, 113, 9);

const PING = 0x00;
const ANSWER = 0x01;
const NODES_REQUEST = 0x02;
const COOKIE_REQUEST = 0x18;
const DATA = 0x1b;
const ONION = 0x80;

/** What toxcore needs for a datagram of a stranger: an X25519. */
const STRANGER_COSTS_MS = 0.1;

function datagram(kind: number, ip = STRANGER, port = 33_445): Datagram {
  return { bytes: Uint8Array.of(kind, 1, 2, 3), ip, port };
}

/** Toxcore and its socket on virtual time. */
class Bench {
  readonly clock = new VirtualTimers();
  readonly arrivals = new Arrivals(this.clock, 7);

  constructor() {
    this.arrivals.sends(DATA, FRIEND, 33_445);
  }

  /** One turn: takes up to 64 datagrams, each of which takes its time. Returns them. */
  turn(most = 64): Datagram[] {
    const taken: Datagram[] = [];
    this.arrivals.beginTurn();
    while (taken.length < most) {
      const next = this.arrivals.shift();
      if (next === undefined) return taken;
      taken.push(next);
      this.clock.advance(next.ip === FRIEND ? 0.01 : STRANGER_COSTS_MS);
    }
    this.arrivals.endTurn();
    return taken;
  }

  /** Turns of a busy second, in which strangers send 40 datagrams a ms, and the friend 10. */
  floodedSecond(flood: () => Datagram): Datagram[] {
    const taken: Datagram[] = [];
    for (const endMs = this.clock.nowMs() + 1000; this.clock.nowMs() < endMs; ) {
      for (let i = 0; i < 40; i++) this.arrivals.push(flood());
      for (let i = 0; i < 10; i++) this.arrivals.push(datagram(DATA, FRIEND));
      const beganMs = this.clock.nowMs();
      taken.push(...this.turn());
      this.clock.advance(Math.max(0, beganMs + 1 - this.clock.nowMs()));
    }
    return taken;
  }
}

test('next to a flood, no packet of a friend is dropped or waits for more than a few of strangers', () => {
  const bench = new Bench();
  let longestWait = 0;
  for (let ms = 0; ms < 1000; ms++) {
    for (let i = 0; i < 40; i++) bench.arrivals.push(datagram(PING));
    bench.arrivals.push(datagram(DATA, FRIEND));
    const taken = bench.turn();
    longestWait = Math.max(
      longestWait,
      taken.findIndex(({ ip }) => ip === FRIEND),
    );
    assert.equal(taken.filter(({ ip }) => ip === FRIEND).length, 1);
  }
  assert.ok(longestWait <= 4, `${longestWait} went first`);
  assert.equal(bench.arrivals.dropped, 0);
  assert.ok(bench.arrivals.strangersDropped > 30_000);
});

test('strangers take a tenth of the time at most while friends are active', () => {
  const bench = new Bench();
  bench.floodedSecond(() => datagram(PING));
  const strangers = bench.floodedSecond(() => datagram(PING)).filter(({ ip }) => ip === STRANGER);
  assert.ok(strangers.length * STRANGER_COSTS_MS <= 1000 / 10, `${strangers.length}`);
  assert.ok(strangers.length * STRANGER_COSTS_MS >= 50, `${strangers.length}`);
});

test('without friends strangers take half of the time', () => {
  const bench = new Bench();
  let count = 0;
  while (bench.clock.nowMs() < 2000) {
    for (let i = 0; i < 40; i++) bench.arrivals.push(datagram(PING));
    const taken = bench.turn();
    if (bench.clock.nowMs() > 1000) count += taken.length;
    if (taken.length === 0) bench.clock.advance(0.5);
  }
  assert.ok(count * STRANGER_COSTS_MS > 400 && count * STRANGER_COSTS_MS < 550, `${count}`);
});

test('nothing counts as waiting while the time of strangers is used up, and later it does again', () => {
  const bench = new Bench();
  for (let i = 0; i < 1000; i++) bench.arrivals.push(datagram(PING));
  bench.turn(1000);
  assert.equal(bench.arrivals.count, 0);
  bench.arrivals.push(datagram(DATA, FRIEND));
  assert.equal(bench.arrivals.count, 1);
  bench.turn();
  bench.clock.advance(50);
  bench.arrivals.beginTurn();
  assert.ok(bench.arrivals.count > 0);
});

test('a flood of DHT pings leaves session requests, searches, onion packets and answers their turns', () => {
  const bench = new Bench();
  bench.arrivals.sends(PING, OTHER, 1);
  for (let i = 0; i < 5000; i++) bench.arrivals.push(datagram(PING));
  bench.arrivals.push(datagram(COOKIE_REQUEST));
  bench.arrivals.push(datagram(ONION));
  bench.arrivals.push(datagram(ANSWER, OTHER, 1));
  bench.arrivals.push(datagram(NODES_REQUEST));
  const kinds = bench.turn(10).map(({ bytes }) => bytes[0]);
  for (const kind of [COOKIE_REQUEST, ONION, ANSWER, NODES_REQUEST])
    assert.ok(kinds.includes(kind), `${kinds}`);
});

test('a flood from one address, of whatever kind, leaves other addresses their turns', () => {
  for (const kind of [PING, ANSWER, COOKIE_REQUEST, DATA, ONION, 0x83, 0x20, 0xff]) {
    const bench = new Bench();
    for (let i = 0; i < 5000; i++) bench.arrivals.push(datagram(kind));
    bench.arrivals.push(datagram(kind, OTHER));
    assert.ok(
      bench.turn(3).some(({ ip }) => ip === OTHER),
      `kind ${kind}`,
    );
  }
});

test('an address is a friend only while toxcore sends it packets of a session', () => {
  const bench = new Bench();
  const goesFirst = (): boolean => {
    bench.arrivals.clear();
    for (let i = 0; i < 200; i++) bench.arrivals.push(datagram(PING));
    bench.arrivals.push(datagram(DATA, FRIEND));
    return bench.turn(6).some(({ ip }) => ip === FRIEND);
  };
  // Alone in its lane it would get its turn too, so the lane is full.
  const isFriend = (port: number): boolean => {
    bench.arrivals.clear();
    for (let i = 0; i < 200; i++) bench.arrivals.push(datagram(DATA, FRIEND, port + 1));
    bench.arrivals.push(datagram(DATA, FRIEND, port));
    return bench.turn(6).some((taken) => taken.port === port);
  };
  assert.ok(goesFirst());
  assert.ok(isFriend(33_445));
  assert.ok(!isFriend(40_000), 'another port of the address');
  bench.clock.advance(33_000);
  bench.turn();
  assert.ok(!isFriend(33_445), 'after the session has ended');
  bench.arrivals.sends(DATA, FRIEND, 33_445);
  assert.ok(isFriend(33_445));
});

test('nodes that toxcore has asked have turns of their own, for two minutes', () => {
  const bench = new Bench();
  bench.arrivals.sends(NODES_REQUEST, OTHER, 1);
  const isFirst = (): boolean => {
    bench.arrivals.clear();
    for (let i = 0; i < 3000; i++) bench.arrivals.push(datagram(PING, OTHER, 2));
    bench.arrivals.push(datagram(PING, OTHER, 1));
    return bench.turn(4).some(({ port }) => port === 1);
  };
  assert.ok(isFirst());
  bench.clock.advance(121_000);
  bench.turn();
  assert.ok(isFirst());
  bench.clock.advance(2_000);
  bench.turn();
  assert.ok(!isFirst());
});

test('DHT packets from the address of a friend do not go before those of other strangers', () => {
  const bench = new Bench();
  for (let i = 0; i < 300; i++) bench.arrivals.push(datagram(PING, FRIEND));
  bench.arrivals.push(datagram(DATA, FRIEND));
  assert.ok(bench.turn(6).some(({ bytes }) => bytes[0] === DATA));
});

test('a fair queue drops the oldest datagram of the longest group, and the rest keeps its order', () => {
  const step = fc.option(fc.nat({ max: SOURCE_GROUPS - 1 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
      const queue = new FairQueue(10);
      const model: number[][] = Array.from({ length: SOURCE_GROUPS }, () => []);
      let dropped = 0;
      for (const [number, source] of steps.entries()) {
        if (source === undefined) {
          const port = queue.shift()?.port;
          if (port === undefined) assert.ok(model.every(({ length }) => length === 0));
          else assert.equal(model.find((group) => group[0] === port)?.shift(), port);
        } else {
          queue.push(datagram(PING, STRANGER, number), source);
          const group = model[source]!;
          group.push(number);
          if (model.flat().length > 10) {
            const most = Math.max(...model.map(({ length }) => length));
            (group.length === most ? group : model.find(({ length }) => length === most))?.shift();
            dropped++;
          }
        }
        assert.equal(queue.count, model.flat().length);
        assert.equal(queue.dropped, dropped);
      }
    }),
  );
});

test('every address has a group, and all of an IPv6 network have the same', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(fc.nat(), fc.oneof(bytes(4), bytes(16)), bytes(8), (seed, ip, host) => {
      const sources = new Sources(seed);
      const group = sources.groupOf(ip);
      assert.ok(Number.isInteger(group) && group >= 0 && group < SOURCE_GROUPS);
      if (ip.length === 16 && ip.some((byte, i) => i < 8 && byte !== 0))
        assert.equal(sources.groupOf(Uint8Array.of(...ip.subarray(0, 8), ...host)), group);
    }),
  );
});

test('keys tell addresses and ports apart, and an IPv4 address is the same in its mapped form', () => {
  const sources = new Sources(99);
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...FRIEND);
  assert.equal(sources.keyOf(mapped, 5), sources.keyOf(FRIEND, 5));
  assert.equal(sources.groupOf(mapped), sources.groupOf(FRIEND));
  const keys = new Set<number>();
  for (let last = 0; last < 200; last++)
    for (const port of [1, 2, 65_535]) {
      keys.add(sources.keyOf(Uint8Array.of(192, 0, 2, last), port));
      keys.add(sources.keyOf(Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last), port));
    }
  assert.equal(keys.size, 200 * 3 * 2);
  assert.ok([...keys].every(Number.isSafeInteger));
});

test('recent sources are bounded: the one noted longest ago goes', () => {
  const recent = new RecentSources(100, 2);
  for (const key of [1, 2, 1, 3]) recent.note(key, 10);
  assert.deepEqual(
    [1, 2, 3].map((key) => recent.has(key, 20)),
    [true, false, true],
  );
  assert.ok(!recent.has(1, 110));
});
