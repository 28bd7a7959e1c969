import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Inbox, type InboxOptions } from '../../src/ring/inbox.js';
import { Outbox } from '../../src/ring/outbox.js';
import { allocateRing, RingReader, RingWriter } from '../../src/ring/ring.js';
import { WAKE_BYTES, WakeWords } from '../../src/ring/wake_words.js';

/** Both ends of a ring in one thread; bells and turns happen when the test says so. */
function pair(options: InboxOptions = {}, capacityBytes = 1024) {
  const memory = allocateRing(capacityBytes);
  const wake = new SharedArrayBuffer(WAKE_BYTES);
  const turns: (() => void)[] = [];
  const rings = { consumer: 0, producer: 0 };
  const outbox = new Outbox(
    new RingWriter(memory),
    new WakeWords(wake, 0),
    { ring: () => void rings.consumer++ },
    () => {},
  );
  const inbox = new Inbox(
    new RingReader(memory),
    new WakeWords(wake, 0),
    { ring: () => void rings.producer++ },
    { lingerTurns: 0, nextTurn: (turn) => turns.push(turn), ...options },
  );
  const taken: string[] = [];
  const take = (bytes: Uint8Array, offset: number, length: number): boolean =>
    taken.push(Buffer.from(bytes.subarray(offset, offset + length)).toString()) > 0;
  const write = (text: string): boolean => {
    const place = outbox.reserve(text.length);
    if (place === undefined) return false;
    outbox.bytes.set(Buffer.from(text), place);
    outbox.commit();
    return true;
  };
  const fill = (): number => {
    let records = 0;
    while (write('x'.repeat(12))) records++;
    return records;
  };
  /** Runs one turn; false when none waits. */
  const turn = (): boolean => {
    const next = turns.shift();
    next?.();
    return next !== undefined;
  };
  return { outbox, inbox, rings, taken, take, write, fill, turn };
}

describe('inbox and outbox', () => {
  test('what was written before the consumer ran is taken, without a ring', () => {
    const { inbox, rings, taken, take, write, turn } = pair();
    write('early');
    inbox.run(take);
    assert.deepEqual(taken, []);
    while (turn());
    assert.deepEqual(taken, ['early']);
    assert.equal(rings.consumer, 0);
  });

  test('a sleeper is rung once, for the first record', () => {
    const { inbox, rings, taken, take, write, turn } = pair();
    inbox.run(take);
    while (turn());
    for (const text of ['1', '2', '3']) write(text);
    assert.equal(rings.consumer, 1);
    inbox.rung();
    assert.deepEqual(taken, ['1', '2', '3']);
    write('4');
    assert.equal(rings.consumer, 2);
  });

  test('a record that comes while the consumer falls asleep is taken, and no ring is asked for it', () => {
    const memory = allocateRing(64);
    const wake = new SharedArrayBuffer(WAKE_BYTES);
    const writer = new RingWriter(memory);
    const turns: (() => void)[] = [];
    let races = 1;
    class Racing extends WakeWords {
      override fallAsleep(): void {
        super.fallAsleep();
        if (races-- > 0) writer.tryWrite(Buffer.from('race'));
      }
    }
    const words = new Racing(wake, 0);
    const options = { lingerTurns: 0, nextTurn: (turn: () => void) => turns.push(turn) };
    const inbox = new Inbox(new RingReader(memory), words, { ring: () => {} }, options);
    let taken = 0;
    inbox.run(() => ++taken > 0);
    turns.shift()?.();
    assert.equal(words.takeSleeper(), false);
    while (turns.length > 0) turns.shift()?.();
    assert.equal(taken, 1);
    assert.equal(words.takeSleeper(), true);
  });

  test('a long queue is taken in slices, and no ring is sent meanwhile', () => {
    const { inbox, rings, taken, take, write, turn } = pair({ budgetRecords: 4 });
    for (let i = 0; i < 10; i++) write(String(i));
    inbox.run(take);
    const after: number[] = [];
    while (turn()) {
      after.push(taken.length);
      if (taken.length === 8) write('more');
    }
    assert.deepEqual(after, [4, 8, 11]);
    assert.equal(rings.consumer, 0);
  });

  test('a ring that comes while a slice is due changes nothing', () => {
    const { inbox, taken, take, write, turn } = pair({ budgetRecords: 1 });
    write('1');
    write('2');
    inbox.run(take);
    inbox.rung();
    assert.deepEqual(taken, []);
    turn();
    inbox.rung();
    assert.deepEqual(taken, ['1']);
  });

  test('an empty ring is looked at for so many turns before sleep', () => {
    const { inbox, rings, taken, take, write, turn } = pair({ lingerTurns: 3 });
    write('1');
    inbox.run(take);
    turn();
    turn();
    write('2'); // within the three turns
    assert.equal(rings.consumer, 0);
    let turns = 0;
    while (turn()) turns++;
    assert.deepEqual(taken, ['1', '2']);
    assert.equal(turns, 4);
    write('3');
    assert.equal(rings.consumer, 1);
  });

  test('a refused record stays, rings do not ask again, resume does', () => {
    const { inbox, rings, taken, take, write, turn } = pair();
    let open = false;
    inbox.run((bytes, offset, length) => open && take(bytes, offset, length));
    write('1');
    while (turn());
    write('2');
    open = true;
    inbox.rung();
    assert.deepEqual(taken, []);
    assert.equal(rings.consumer, 0);
    inbox.resume();
    while (turn());
    assert.deepEqual(taken, ['1', '2']);
  });

  test('resumed twice, it goes on once', () => {
    const { inbox, take, turn } = pair();
    inbox.run(take);
    inbox.resume();
    inbox.resume();
    assert.equal(turn(), true);
    assert.equal(turn(), false);
  });

  test('a taker that throws is asked again after resume only', () => {
    const { inbox, taken, take, write, turn } = pair();
    let broken = true;
    inbox.run((bytes, offset, length) => {
      if (broken) throw new Error('taker');
      return take(bytes, offset, length);
    });
    write('1');
    assert.throws(turn, /taker/);
    broken = false;
    inbox.rung();
    assert.deepEqual(taken, []);
    inbox.resume();
    while (turn());
    assert.deepEqual(taken, ['1']);
  });

  test('a producer that was refused is rung when half of the ring is free', () => {
    const { outbox, inbox, rings, take, fill, turn } = pair({ budgetRecords: 8 });
    assert.equal(fill(), 64);
    inbox.run(take);
    const ringsAfter: number[] = [];
    while (turn()) ringsAfter.push(rings.producer);
    assert.deepEqual(ringsAfter, [0, 0, 0, 1, 1, 1, 1, 1, 1]);
    assert.equal(outbox.takeRoom(), true);
    assert.equal(outbox.takeRoom(), false);
  });

  test('a producer that was not refused is not rung for room', () => {
    const { outbox, inbox, rings, take, write, turn } = pair();
    for (let i = 0; i < 64; i++) write('x'.repeat(12));
    inbox.run(take);
    while (turn());
    assert.equal(rings.producer, 0);
    assert.equal(outbox.takeRoom(), false);
  });

  test('a consumer that blocks in an almost full ring gives away the room it made', () => {
    const { outbox, inbox, rings, fill, turn } = pair();
    fill();
    let takes = 2;
    inbox.run(() => takes-- > 0);
    while (turn());
    assert.equal(rings.producer, 1);
    assert.equal(outbox.takeRoom(), true);
    assert.ok(outbox.reserve(12) !== undefined);
  });

  test('an early answer is not mistaken for the answer to a later refusal', () => {
    const { outbox, inbox, fill, take, turn } = pair({ budgetRecords: 32 });
    fill();
    inbox.run(take);
    turn(); // half is free, the ring for it is on its way
    assert.equal(fill(), 32); // and refused again
    assert.equal(outbox.takeRoom(), false);
    while (turn());
    assert.equal(outbox.takeRoom(), true);
  });

  test('after stop nothing is taken and no ring is asked for', () => {
    const { inbox, rings, taken, take, write, turn } = pair();
    inbox.run(take);
    while (turn());
    inbox.stop();
    write('late');
    inbox.rung();
    inbox.resume();
    while (turn());
    assert.deepEqual(taken, []);
    assert.equal(rings.consumer, 0);
  });

  for (const records of [['1'], ['1', '2']]) {
    test(`a taker may stop the inbox, ${records.length} waiting`, () => {
      const { inbox, rings, taken, take, write, turn } = pair();
      for (const text of records) write(text);
      inbox.run((bytes, offset, length) => {
        inbox.stop();
        return take(bytes, offset, length);
      });
      while (turn());
      assert.deepEqual(taken, ['1']);
      write('3');
      assert.equal(rings.consumer, 0);
    });
  }

  test('a second consumer is a programming error', () => {
    const { inbox, take } = pair();
    inbox.run(take);
    assert.throws(() => inbox.run(take), /has its consumer/);
  });

  test('slices take 128 records and run by setImmediate unless told otherwise', async () => {
    const memory = allocateRing(8192);
    const wake = new SharedArrayBuffer(WAKE_BYTES);
    const writer = new RingWriter(memory);
    for (let i = 0; i < 200; i++) writer.tryWrite(Buffer.alloc(4));
    const inbox = new Inbox(new RingReader(memory), new WakeWords(wake, 0), { ring: () => {} });
    const bySlice: number[] = [];
    let taken = 0;
    await new Promise<void>((resolve) => {
      const count = (): void => {
        bySlice.push(taken);
        if (taken < 200) setImmediate(count);
        else resolve();
      };
      inbox.run(() => ++taken > 0);
      setImmediate(count);
    });
    inbox.stop();
    assert.deepEqual(bySlice, [128, 200]);
  });
});
