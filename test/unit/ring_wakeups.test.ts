import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allocateRing } from '../../src/ring/ring.js';
import { RingReader, type RingReaderOptions } from '../../src/ring/ring_reader.js';
import { RingWriter } from '../../src/ring/ring_writer.js';
import { WAKE_BYTES, WakeWords } from '../../src/ring/wake_words.js';
import { PlainWriter } from '../support/plain_ring.js';

/** Both ends of a ring in one thread; bells and turns happen when the test says so. */
function pair(options: RingReaderOptions = {}, capacityBytes = 1024) {
  const memory = allocateRing(capacityBytes);
  const wake = new SharedArrayBuffer(WAKE_BYTES);
  const turns: (() => void)[] = [];
  const rings = { consumer: 0, producer: 0 };
  const writer = new RingWriter(
    memory,
    new WakeWords(wake, 0),
    { ring: () => void rings.consumer++ },
    () => {},
  );
  const reader = new RingReader(
    memory,
    new WakeWords(wake, 0),
    { ring: () => void rings.producer++ },
    { nextTurn: (turn) => turns.push(turn), ...options },
  );
  const taken: string[] = [];
  const take = (bytes: Uint8Array, offset: number, length: number): boolean =>
    taken.push(Buffer.from(bytes.subarray(offset, offset + length)).toString()) > 0;
  const write = (text: string): boolean => {
    const place = writer.reserve(text.length);
    if (place === undefined) return false;
    writer.bytes.set(Buffer.from(text), place);
    writer.commit();
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
  return { writer, reader, rings, taken, take, write, fill, turn };
}

describe('reader and writer', () => {
  test('records written before the consumer runs are taken without the doorbell', () => {
    const { reader, rings, taken, take, write, turn } = pair();
    write('early');
    reader.run(take);
    assert.deepEqual(taken, []);
    while (turn());
    assert.deepEqual(taken, ['early']);
    assert.equal(rings.consumer, 0);
  });

  test('a sleeping consumer is rung once, for the first record', () => {
    const { reader, rings, taken, take, write, turn } = pair();
    reader.run(take);
    while (turn());
    for (const text of ['1', '2', '3']) write(text);
    assert.equal(rings.consumer, 1);
    reader.rung();
    assert.deepEqual(taken, ['1', '2', '3']);
    write('4');
    assert.equal(rings.consumer, 2);
  });

  test('a record that arrives while the consumer falls asleep is taken without the doorbell', () => {
    const memory = allocateRing(64);
    const wake = new SharedArrayBuffer(WAKE_BYTES);
    const writer = new PlainWriter(memory);
    const turns: (() => void)[] = [];
    let races = 1;
    class Racing extends WakeWords {
      override fallAsleep(): void {
        super.fallAsleep();
        if (races-- > 0) writer.tryWrite(Buffer.from('race'));
      }
    }
    const words = new Racing(wake, 0);
    const options = { nextTurn: (turn: () => void) => turns.push(turn) };
    const reader = new RingReader(memory, words, { ring: () => {} }, options);
    let taken = 0;
    reader.run(() => ++taken > 0);
    turns.shift()?.();
    assert.equal(words.takeSleeper(), false);
    while (turns.length > 0) turns.shift()?.();
    assert.equal(taken, 1);
    assert.equal(words.takeSleeper(), true);
  });

  test('a long queue is taken in slices, and the doorbell stays silent between them', () => {
    const { reader, rings, taken, take, write, turn } = pair({ budgetRecords: 4 });
    for (let i = 0; i < 10; i++) write(String(i));
    reader.run(take);
    const after: number[] = [];
    while (turn()) {
      after.push(taken.length);
      if (taken.length === 8) write('more');
    }
    assert.deepEqual(after, [4, 8, 11]);
    assert.equal(rings.consumer, 0);
  });

  test('the doorbell has no effect while a slice is scheduled', () => {
    const { reader, taken, take, write, turn } = pair({ budgetRecords: 1 });
    write('1');
    write('2');
    reader.run(take);
    reader.rung();
    assert.deepEqual(taken, []);
    turn();
    reader.rung();
    assert.deepEqual(taken, ['1']);
  });

  test('a refused record is offered again after resume, not after the doorbell', () => {
    const { reader, rings, taken, take, write, turn } = pair();
    let open = false;
    reader.run((bytes, offset, length) => open && take(bytes, offset, length));
    write('1');
    while (turn());
    write('2');
    open = true;
    reader.rung();
    assert.deepEqual(taken, []);
    assert.equal(rings.consumer, 0);
    reader.resume();
    while (turn());
    assert.deepEqual(taken, ['1', '2']);
  });

  test('a reader that is resumed twice schedules one turn', () => {
    const { reader, take, turn } = pair();
    reader.run(take);
    reader.resume();
    reader.resume();
    assert.equal(turn(), true);
    assert.equal(turn(), false);
  });

  test('a callback that throws is called again only after resume', () => {
    const { reader, taken, take, write, turn } = pair();
    let broken = true;
    reader.run((bytes, offset, length) => {
      if (broken) throw new Error('taker');
      return take(bytes, offset, length);
    });
    write('1');
    assert.throws(turn, /taker/);
    broken = false;
    reader.rung();
    assert.deepEqual(taken, []);
    reader.resume();
    while (turn());
    assert.deepEqual(taken, ['1']);
  });

  test('a refused producer is rung when half of the ring is free', () => {
    const { writer, reader, rings, take, fill, turn } = pair({ budgetRecords: 8 });
    assert.equal(fill(), 64);
    reader.run(take);
    const ringsAfter: number[] = [];
    while (turn()) ringsAfter.push(rings.producer);
    assert.deepEqual(ringsAfter, [0, 0, 0, 1, 1, 1, 1, 1, 1]);
    assert.equal(writer.takeRoom(), true);
    assert.equal(writer.takeRoom(), false);
  });

  test('a producer that was not refused is not rung for room', () => {
    const { writer, reader, rings, take, write, turn } = pair();
    for (let i = 0; i < 64; i++) write('x'.repeat(12));
    reader.run(take);
    while (turn());
    assert.equal(rings.producer, 0);
    assert.equal(writer.takeRoom(), false);
  });

  test('a consumer that blocks on an almost full ring announces the room it made', () => {
    const { writer, reader, rings, fill, turn } = pair();
    fill();
    let takes = 2;
    reader.run(() => takes-- > 0);
    while (turn());
    assert.equal(rings.producer, 1);
    assert.equal(writer.takeRoom(), true);
    assert.ok(writer.reserve(12) !== undefined);
  });

  test('an early notice of room does not count for a later refusal', () => {
    const { writer, reader, fill, take, turn } = pair({ budgetRecords: 32 });
    fill();
    reader.run(take);
    turn(); // half is free, and the doorbell for it is on its way
    assert.equal(fill(), 32); // and refused again
    assert.equal(writer.takeRoom(), false);
    while (turn());
    assert.equal(writer.takeRoom(), true);
  });

  test('a stopped reader takes nothing and asks for no doorbell', () => {
    const { reader, rings, taken, take, write, turn } = pair();
    reader.run(take);
    while (turn());
    reader.stop();
    write('late');
    reader.rung();
    reader.resume();
    while (turn());
    assert.deepEqual(taken, []);
    assert.equal(rings.consumer, 0);
  });

  for (const records of [['1'], ['1', '2']]) {
    test(`a callback may stop the reader with ${records.length} records waiting`, () => {
      const { reader, rings, taken, take, write, turn } = pair();
      for (const text of records) write(text);
      reader.run((bytes, offset, length) => {
        reader.stop();
        return take(bytes, offset, length);
      });
      while (turn());
      assert.deepEqual(taken, ['1']);
      write('3');
      assert.equal(rings.consumer, 0);
    });
  }

  test('a second consumer is a programming error', () => {
    const { reader, take } = pair();
    reader.run(take);
    assert.throws(() => reader.run(take), /already has a consumer/);
  });

  test('by default slices take 128 records and run in setImmediate', async () => {
    const memory = allocateRing(8192);
    const wake = new SharedArrayBuffer(WAKE_BYTES);
    const writer = new PlainWriter(memory);
    for (let i = 0; i < 200; i++) writer.tryWrite(Buffer.alloc(4));
    const reader = new RingReader(memory, new WakeWords(wake, 0), { ring: () => {} });
    const bySlice: number[] = [];
    let taken = 0;
    await new Promise<void>((resolve) => {
      const count = (): void => {
        bySlice.push(taken);
        if (taken < 200) setImmediate(count);
        else resolve();
      };
      reader.run(() => ++taken > 0);
      setImmediate(count);
    });
    reader.stop();
    assert.deepEqual(bySlice, [128, 200]);
  });
});
