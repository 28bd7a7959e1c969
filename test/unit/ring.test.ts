import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allocateRing } from '../../src/ring/ring.js';
import { PlainReader, PlainWriter } from '../support/plain_ring.js';

function ring(capacity = 64): { writer: PlainWriter; drain: (budget?: number) => string[] } {
  const memory = allocateRing(capacity);
  const reader = new PlainReader(memory);
  return {
    writer: new PlainWriter(memory),
    drain: (budget = Infinity) => {
      const records: string[] = [];
      reader.drainViews((record) => records.push(Buffer.from(record).toString()) > 0, budget);
      return records;
    },
  };
}

describe('ring', () => {
  test('records come out whole and in order', () => {
    const { writer, drain } = ring();
    for (const record of ['', 'a', 'bcd', 'efghi']) assert.ok(writer.tryWrite(Buffer.from(record)));
    assert.deepEqual(drain(), ['', 'a', 'bcd', 'efghi']);
    assert.deepEqual(drain(), []);
  });

  test('a full ring refuses a record and accepts it once the reader has made room', () => {
    const { writer, drain } = ring();
    const record = Buffer.from('0123456789ab'); // 16 bytes with its length: four fill the ring
    for (let i = 0; i < 4; i++) assert.ok(writer.tryWrite(record));
    assert.equal(writer.tryWrite(record), false);
    assert.equal(drain(1).length, 1);
    assert.ok(writer.tryWrite(record));
  });

  test('a record that does not fit before the end starts the next lap', () => {
    const { writer, drain } = ring();
    assert.ok(writer.tryWrite(Buffer.alloc(28, 'a')));
    assert.ok(writer.tryWrite(Buffer.alloc(12, 'b')));
    drain();
    assert.ok(writer.tryWrite(Buffer.alloc(28, 'c'))); // 16 bytes left in the lap, 32 needed
    assert.deepEqual(drain(), ['c'.repeat(28)]);
  });

  test('the longest record fits an empty ring at every position', () => {
    const { writer, drain } = ring();
    for (let i = 0; i < 64; i++) {
      assert.ok(writer.tryWrite(Buffer.alloc(writer.maxRecordBytes, 'x')), `at ${i}`);
      assert.equal(drain().length, 1);
      assert.ok(writer.tryWrite(Buffer.alloc(0)));
      assert.equal(drain().length, 1);
    }
  });

  test('a record that the reader refuses stays in the ring', () => {
    const memory = allocateRing(64);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    writer.tryWrite(Buffer.from('later'));
    assert.equal(
      reader.drainViews(() => false, 1),
      0,
    );
    assert.equal(
      reader.drainViews((record) => Buffer.from(record).toString() === 'later', 1),
      1,
    );
  });

  test('records survive the counters wrapping at 2^32', () => {
    const memory = allocateRing(64);
    const words = new Int32Array(memory);
    words[0] = words[16] = -48; // both counters 48 bytes short of 2^32
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    for (let i = 0; i < 32; i++) {
      assert.ok(writer.tryWrite(Buffer.from([i, i, i])), `write ${i}`);
      assert.ok(writer.tryWrite(Buffer.alloc(20, i)), `write ${i}`);
      const got: string[] = [];
      reader.drainViews((record) => got.push(Buffer.from(record).toString('hex')) > 0, Infinity);
      assert.deepEqual(got, [Buffer.from([i, i, i]).toString('hex'), Buffer.alloc(20, i).toString('hex')]);
    }
  });

  test('a full ring refuses records even when the counters wrap at 2^32', () => {
    const memory = allocateRing(64);
    const words = new Int32Array(memory);
    words[0] = words[16] = -32;
    const writer = new PlainWriter(memory);
    for (let i = 0; i < 4; i++) assert.ok(writer.tryWrite(Buffer.alloc(12)));
    assert.equal(writer.tryWrite(Buffer.alloc(12)), false);
  });

  test('bytes skipped at the end of a lap count as used', () => {
    const { writer, drain } = ring();
    for (let i = 0; i < 3; i++) assert.ok(writer.tryWrite(Buffer.alloc(12, 'a'))); // 48 of 64
    drain(1); // 32 free: 16 before the end, 16 after it
    assert.equal(writer.tryWrite(Buffer.alloc(28, 'b')), false); // needs 32 in one piece
  });

  test('views and offsets yield the same records', () => {
    const memory = allocateRing(64);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    writer.tryWrite(Buffer.from('a'));
    writer.tryWrite(Buffer.from('offset'));
    const got: string[] = [];
    const take = (bytes: Uint8Array, offset: number, length: number): boolean => {
      assert.equal(offset % 4, 0);
      return got.push(Buffer.from(bytes.subarray(offset, offset + length)).toString()) > 0;
    };
    assert.equal(reader.drain(take, 8), 2);
    assert.deepEqual(got, ['a', 'offset']);
  });

  test('memory of the wrong size for a ring is refused', () => {
    assert.throws(() => new PlainWriter(new SharedArrayBuffer(128 + 63)), RangeError);
    assert.throws(() => new PlainReader(new SharedArrayBuffer(64)), RangeError);
  });

  test('a record is invisible before its commit, and a reservation can be abandoned', () => {
    const { writer, drain } = ring();
    const offset = writer.reserve(5);
    assert.ok(offset !== undefined);
    writer.bytes.set(Buffer.from('never'), offset);
    assert.deepEqual(drain(), []);
    assert.ok(writer.tryWrite(Buffer.from('this')));
    assert.deepEqual(drain(), ['this']);
  });

  test('a commit without a reservation is a programming error', () => {
    const { writer } = ring();
    assert.throws(() => writer.commit(), /without a reservation/);
    writer.tryWrite(Buffer.from('x'));
    assert.throws(() => writer.commit(), /without a reservation/);
  });

  for (const bytes of [-1, Number.NaN, 29]) {
    test(`a record of ${bytes} bytes is a programming error`, () => {
      assert.throws(() => ring().writer.reserve(bytes), RangeError);
    });
  }

  test('a new writer on a used ring continues where the last one stopped', () => {
    const memory = allocateRing(64);
    new PlainWriter(memory).tryWrite(Buffer.from('first'));
    new PlainWriter(memory).tryWrite(Buffer.from('second'));
    const got: string[] = [];
    const take = (record: Uint8Array): boolean => got.push(Buffer.from(record).toString()) > 0;
    new PlainReader(memory).drainViews(take, 1);
    new PlainReader(memory).drainViews(take, 1);
    assert.deepEqual(got, ['first', 'second']);
  });

  test('a drain also takes records written while it runs', () => {
    const memory = allocateRing(64);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    writer.tryWrite(Buffer.from('1'));
    let taken = 0;
    const take = (): boolean => {
      if (++taken < 5) writer.tryWrite(Buffer.from('more'));
      return true;
    };
    assert.equal(reader.drain(take, 10), 5);
  });

  test('a long drain frees room for the writer as it runs, and all of it at the end', () => {
    const memory = allocateRing(1024);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    while (writer.tryWrite(Buffer.alloc(12)));
    let taken = 0;
    let firstRoom = 0;
    reader.drain(() => {
      taken++;
      if (firstRoom === 0 && writer.reserve(12) !== undefined) firstRoom = taken;
      return true;
    }, 32);
    assert.equal(firstRoom, 1 + 1024 / 16 / 8); // the reader publishes its position after each eighth
    for (let i = 0; i < 32; i++) assert.ok(writer.tryWrite(Buffer.alloc(12)), `write ${i}`);
    assert.equal(writer.tryWrite(Buffer.alloc(12)), false);
  });

  test('when the callback throws, its record stays in the ring and earlier records are gone', () => {
    const memory = allocateRing(64);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    for (const record of ['a', 'b', 'c']) writer.tryWrite(Buffer.from(record));
    assert.throws(
      () =>
        reader.drainViews((record) => {
          if (Buffer.from(record).toString() === 'b') throw new Error('taker');
          return true;
        }, 8),
      /taker/,
    );
    const got: string[] = [];
    reader.drainViews((record) => got.push(Buffer.from(record).toString()) > 0, 8);
    assert.deepEqual(got, ['b', 'c']);
    assert.equal(
      reader.drainViews(() => true, 8),
      0,
    );
  });

  test('a drain inside a drain is a programming error', () => {
    const memory = allocateRing(64);
    new PlainWriter(memory).tryWrite(Buffer.from('x'));
    const reader = new PlainReader(memory);
    assert.throws(() => reader.drain(() => reader.drain(() => true, 1) > 0, 1), /inside its own take/);
    assert.equal(
      reader.drain(() => true, 1),
      1,
    );
  });

  for (const [length, why] of [
    [24, 'more than the writer wrote'],
    [0x7fff_ffff, 'more than the ring holds'],
    [0xffff_fffe, 'more than any ring holds'],
  ] as const) {
    test(`a damaged length (${why}) throws before the record is handed out`, () => {
      const memory = allocateRing(64);
      const writer = new PlainWriter(memory);
      writer.tryWrite(Buffer.from('abcdefgh'));
      new Uint32Array(memory, memory.byteLength - 64)[0] = length;
      assert.throws(() => new PlainReader(memory).drain(() => assert.fail('handed out'), 1), /ring damaged/);
    });
  }

  test('a damaged length that runs past the end of the ring throws', () => {
    const memory = allocateRing(64);
    const writer = new PlainWriter(memory);
    const reader = new PlainReader(memory);
    for (let i = 0; i < 3; i++) writer.tryWrite(Buffer.alloc(12));
    reader.drain(() => true, 3); // at 48
    writer.tryWrite(Buffer.alloc(12));
    writer.tryWrite(Buffer.alloc(12));
    new Uint32Array(memory, memory.byteLength - 64)[12] = 28; // 32 bytes were written, 16 of them in this lap
    assert.throws(() => reader.drain(() => assert.fail('handed out'), 1), /ring damaged/);
  });

  for (const capacity of [0, 63, 65, 96, 2 ** 31]) {
    test(`a capacity of ${capacity} is refused`, () =>
      assert.throws(() => allocateRing(capacity), RangeError));
  }
});
