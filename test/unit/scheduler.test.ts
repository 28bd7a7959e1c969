import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Lane,
  LaneTicket,
  QUANTUM_BYTES,
  Scheduler,
  type Source,
  Turns,
} from '../../src/mux/schedule/scheduler.js';
import { Urgency } from '../../src/mux/schedule/urgency.js';

/** Sent frames in order, and how many more the sink accepts. */
class Wire {
  readonly log: string[] = [];
  room = Number.POSITIVE_INFINITY;
  /** The sink refuses only bulk. */
  urgentOnly = false;
  asked = 0;

  take(what: string, urgent: boolean): boolean {
    this.asked++;
    if (this.room === 0 || (this.urgentOnly && !urgent)) return false;
    this.room--;
    this.log.push(what);
    return true;
  }
}

class FakeSource implements Source {
  readonly turns: Turns = new Turns(this);
  controls = 0;
  bytes = 0;
  frameBytes = 1024;
  isInteractive = false;
  readonly name: string;
  readonly #wire: Wire;

  constructor(name: string, wire: Wire) {
    this.name = name;
    this.#wire = wire;
  }

  get hasControl(): boolean {
    return this.controls > 0;
  }

  get hasData(): boolean {
    return this.bytes > 0;
  }

  sendControl(): boolean {
    if (!this.#wire.take(`${this.name}!`, true)) return false;
    this.controls--;
    return true;
  }

  sendData(urgent: boolean): number {
    const bytes = Math.min(this.bytes, this.frameBytes);
    if (!this.#wire.take(urgent ? `${this.name}^` : this.name, urgent)) return 0;
    this.bytes -= bytes;
    return bytes;
  }
}

function fakes(...names: string[]): { wire: Wire; scheduler: Scheduler; sources: FakeSource[] } {
  const wire = new Wire();
  return { wire, scheduler: new Scheduler(true), sources: names.map((name) => new FakeSource(name, wire)) };
}

describe('scheduler', () => {
  test('control goes first, then interactive data, then bulk', () => {
    const { wire, scheduler, sources } = fakes('a', 'b', 'c');
    const [a, b, c] = sources as [FakeSource, FakeSource, FakeSource];
    a.bytes = 2048;
    b.bytes = 100;
    b.isInteractive = true;
    c.controls = 1;
    scheduler.dataDue(a);
    scheduler.dataDue(b);
    scheduler.controlDue(c);
    scheduler.run();
    assert.deepEqual(wire.log, ['c!', 'b^', 'a', 'a']);
  });

  test('a source with many control frames does not delay another', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    for (const source of sources) {
      source.controls = 2;
      scheduler.controlDue(source);
    }
    scheduler.run();
    assert.deepEqual(wire.log, ['a!', 'b!', 'a!', 'b!']);
  });

  test('bulk streams take turns of one quantum', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    for (const source of sources) {
      source.bytes = 2 * QUANTUM_BYTES;
      scheduler.dataDue(source);
    }
    scheduler.run();
    assert.equal(wire.log.join(''), 'aaaaaaaabbbbbbbbaaaaaaaabbbbbbbb');
  });

  test('streams share by bytes, whatever their frame sizes and however irregular the sink', () => {
    const { wire, scheduler, sources } = fakes('a', 'b', 'c');
    const sizes = [1300, 700, 100];
    for (const [index, source] of sources.entries()) {
      source.frameBytes = sizes[index]!;
      source.bytes = 10_000_000;
      scheduler.dataDue(source);
    }
    for (let count = 0; count < 3000; count++) {
      wire.room = 1 + (count % 7);
      scheduler.writable();
      scheduler.run();
      const left = sources.map(({ bytes }) => bytes);
      const apart = Math.max(...left) - Math.min(...left);
      assert.ok(apart <= QUANTUM_BYTES + 1300, `${apart} bytes apart`);
    }
  });

  test('a refusal stops all streams until there is room, and no stream loses its turn', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    for (const source of sources) {
      source.bytes = 10 * 1024;
      scheduler.dataDue(source);
    }
    wire.room = 3;
    scheduler.run();
    assert.equal(wire.log.join(''), 'aaa');
    const { asked } = wire;
    scheduler.run();
    assert.equal(wire.asked, asked, 'asked a sink that had refused');
    wire.room = Number.POSITIVE_INFINITY;
    scheduler.writable();
    scheduler.run();
    assert.equal(wire.log.join(''), 'aaaaaaaabbbbbbbbaabb');
  });

  test('refused bulk does not delay urgent frames', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    const [a, b] = sources as [FakeSource, FakeSource];
    wire.urgentOnly = true;
    a.bytes = 1024;
    scheduler.dataDue(a);
    scheduler.run();
    b.controls = 1;
    b.bytes = 10;
    b.isInteractive = true;
    scheduler.controlDue(b);
    scheduler.dataDue(b);
    scheduler.run();
    assert.deepEqual(wire.log, ['b!', 'b^']);
  });

  test('a refused control frame is retried, and nothing overtakes it', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    const [a, b] = sources as [FakeSource, FakeSource];
    wire.room = 0;
    a.controls = 1;
    b.bytes = 10;
    scheduler.controlDue(a);
    scheduler.dataDue(b);
    scheduler.run();
    assert.equal(wire.asked, 1);
    wire.room = 9;
    scheduler.writable();
    scheduler.run();
    assert.deepEqual(wire.log, ['a!', 'b']);
  });

  test('a refused interactive frame is retried', () => {
    const { wire, scheduler, sources } = fakes('a');
    wire.room = 0;
    sources[0]!.bytes = 10;
    sources[0]!.isInteractive = true;
    scheduler.dataDue(sources[0]!);
    scheduler.run();
    wire.room = 1;
    scheduler.writable();
    scheduler.run();
    assert.deepEqual(wire.log, ['a^']);
  });

  test('a stream that is no longer interactive joins the others', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    const [a, b] = sources as [FakeSource, FakeSource];
    wire.room = 0;
    a.isInteractive = true;
    for (const source of [a, b]) {
      source.bytes = 2048;
      scheduler.dataDue(source);
    }
    scheduler.run();
    a.isInteractive = false;
    wire.room = 9;
    scheduler.writable();
    scheduler.run();
    assert.deepEqual(wire.log, ['b', 'b', 'a', 'a']);
  });

  test('a waiting stream keeps its place, even when it becomes interactive', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    const [a, b] = sources as [FakeSource, FakeSource];
    for (const source of [b, a]) {
      source.bytes = 10;
      scheduler.dataDue(source);
    }
    a.isInteractive = true;
    scheduler.dataDue(a);
    scheduler.run();
    assert.deepEqual(wire.log, ['b', 'a']);
  });

  test('a stream without data leaves, returns, and starts with a fresh turn', () => {
    const { wire, scheduler, sources } = fakes('a');
    const source = sources[0]!;
    source.bytes = 100;
    scheduler.dataDue(source);
    scheduler.run();
    assert.equal(source.turns.data.lane, undefined);
    assert.equal(source.turns.deficitBytes, 0);
    source.bytes = 100;
    scheduler.dataDue(source);
    scheduler.run();
    assert.deepEqual(wire.log, ['a', 'a']);
  });

  test('a closed stream is in no lane', () => {
    const { wire, scheduler, sources } = fakes('a', 'b');
    const [a, b] = sources as [FakeSource, FakeSource];
    for (const source of [a, b]) {
      source.bytes = 10;
      source.controls = 1;
      scheduler.dataDue(source);
      scheduler.controlDue(source);
    }
    scheduler.forget(a);
    assert.equal(a.turns.data.lane, undefined);
    assert.equal(a.turns.control.lane, undefined);
    scheduler.run();
    assert.deepEqual(wire.log, ['b!', 'b']);
  });

  test('nothing is sent before the first room', () => {
    const wire = new Wire();
    const scheduler = new Scheduler(false);
    const source = new FakeSource('a', wire);
    source.bytes = 1;
    source.controls = 1;
    scheduler.dataDue(source);
    scheduler.controlDue(source);
    scheduler.run();
    assert.equal(wire.asked, 0);
    scheduler.writable();
    scheduler.run();
    assert.deepEqual(wire.log, ['a!', 'a']);
  });
});

describe('lane', () => {
  test('is first in, first out, and allows removal anywhere', () => {
    for (let gone = 0; gone < 3; gone++) {
      const lane = new Lane<number>();
      const all = [0, 1, 2].map((number) => new LaneTicket(number));
      for (const ticket of all) lane.enter(ticket);
      lane.enter(all[0]!);
      lane.leave(all[gone]!);
      lane.leave(all[gone]!);
      const order: number[] = [];
      for (let first = lane.first; first !== undefined; first = lane.first) {
        order.push(first);
        lane.leave(all[first]!);
      }
      assert.deepEqual(
        order,
        [0, 1, 2].filter((number) => number !== gone),
      );
      lane.enter(all[1]!);
      assert.equal(lane.first, 1);
    }
  });

  test('entering another lane leaves the first', () => {
    const before = new Lane<string>();
    const after = new Lane<string>();
    const ticket = new LaneTicket('x');
    before.enter(ticket);
    after.enter(ticket);
    before.leave(ticket);
    assert.equal(before.first, undefined);
    assert.equal(after.first, 'x');
  });
});

describe('urgency', () => {
  test('a burst of 4 KiB may overtake, one byte more may not', () => {
    const urgency = new Urgency(0);
    assert.ok(urgency.allows(4096, 0));
    assert.ok(!urgency.allows(4097, 0));
    assert.ok(!urgency.allows(4097, 1e9), 'an allowance that accumulates without bound');
  });

  test('time restores the spent allowance, 64 bytes per millisecond', () => {
    const urgency = new Urgency(0);
    urgency.spend(4096);
    assert.ok(!urgency.allows(1, 0));
    assert.ok(!urgency.allows(656, 9.99));
    assert.ok(urgency.allows(656, 10.02));
    assert.ok(!urgency.allows(657, 10.02), 'the same time counted twice');
    urgency.spend(656);
    assert.ok(urgency.allows(4096, 10_000));
    assert.ok(!urgency.allows(4097, 10_000));
  });

  test('a long download creates no debt', () => {
    const urgency = new Urgency(0);
    urgency.spend(1e9);
    assert.ok(urgency.allows(4096, 63));
  });
});
