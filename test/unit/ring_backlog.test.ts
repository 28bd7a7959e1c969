import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BacklogGauge, BacklogTable, backlogBytes } from '../../src/ring/backlog.js';

const WORDS_PER_ROW = 4;

function backlog(limitBytes: number, startAt = 0, slot = 1, reserveBytes = 0) {
  const memory = new SharedArrayBuffer(backlogBytes(3));
  const words = new Int32Array(memory);
  words[slot * WORDS_PER_ROW] = startAt;
  const table = new BacklogTable(memory);
  return { memory, table, gauge: new BacklogGauge(memory, slot, limitBytes, () => {}, reserveBytes) };
}

describe('backlog', () => {
  for (const startAt of [0, 2 ** 31 - 60, -60]) {
    test(`room shrinks by written bytes and grows by drained bytes, from ${startAt >>> 0} on`, () => {
      const { table, gauge } = backlog(100, startAt);
      for (let round = 0; round < 5; round++) {
        assert.equal(gauge.room(), 100);
        gauge.take(40);
        gauge.take(50);
        assert.equal(gauge.room(), 10);
        assert.equal(gauge.fits(11), false);
        assert.equal(gauge.fits(10), true);
        assert.equal(table.drained(1, 30), false);
        assert.equal(gauge.room(), 40);
        assert.equal(table.drained(1, 60), true);
        assert.equal(gauge.takeRoom(), true);
      }
    });
  }

  for (const startAt of [0, 2 ** 31 - 70, -70]) {
    test(`a refused writer is notified once, when half is free, from ${startAt >>> 0} on`, () => {
      const { table, gauge } = backlog(100, startAt);
      gauge.take(90);
      assert.equal(gauge.takeRoom(), false);
      assert.equal(gauge.fits(20), false);
      assert.equal(table.drained(1, 39), false);
      assert.equal(gauge.takeRoom(), false);
      assert.equal(table.drained(1, 1), true);
      assert.equal(table.drained(1, 1), false);
      assert.equal(gauge.takeRoom(), true);
      assert.equal(gauge.takeRoom(), false);
    });
  }

  test('a second refusal also waits for the bytes written since the first', () => {
    const { table, gauge } = backlog(100);
    gauge.take(90);
    assert.equal(gauge.fits(50), false);
    assert.equal(gauge.fits(10), true);
    gauge.take(10);
    assert.equal(gauge.fits(1), false);
    assert.equal(table.drained(1, 40), false);
    assert.equal(table.drained(1, 10), true);
  });

  for (const startAt of [0, 2 ** 31 - 70, -70]) {
    test(`only urgent frames use the reserve, and they wait for less room when it is full, from ${startAt >>> 0} on`, () => {
      const { table, gauge } = backlog(100, startAt, 1, 20);
      assert.equal(gauge.room(), 100);
      gauge.take(75);
      assert.equal(gauge.fits(5), true);
      assert.equal(gauge.fits(6), false);
      assert.equal(gauge.fits(25, true), true);
      gauge.take(25);
      // Bulk waits until half is free; then a keystroke asks for half of the reserve.
      assert.equal(table.drained(1, 1), false);
      assert.equal(gauge.fits(2, true), false);
      assert.equal(table.drained(1, 8), false);
      assert.equal(gauge.takeRoom(), false);
      assert.equal(table.drained(1, 1), true);
      assert.equal(gauge.takeRoom(), true);
      assert.equal(gauge.fits(10, true), true);
      assert.equal(gauge.fits(1), false, 'bulk tried too early');
      assert.equal(table.drained(1, 39), false);
      assert.equal(table.drained(1, 1), true);
      assert.equal(gauge.takeRoom(), true);
      assert.equal(gauge.fits(30), true);
    });
  }

  test('an urgent frame larger than half of the reserve waits for half of the limit', () => {
    const { table, gauge } = backlog(100, 0, 1, 20);
    gauge.take(100);
    assert.equal(gauge.fits(11, true), false);
    assert.equal(table.drained(1, 49), false);
    assert.equal(table.drained(1, 1), true);
    assert.equal(gauge.fits(11, true), true);
  });

  test('asking for more than the promised room, or reserving half of the limit, is a programming error', () => {
    const { gauge } = backlog(100, 0, 1, 20);
    assert.throws(() => gauge.fits(31), RangeError);
    assert.throws(() => gauge.fits(51, true), RangeError);
    for (const reserveBytes of [50, -1, Number.NaN])
      assert.throws(() => backlog(100, 0, 1, reserveBytes), RangeError);
  });

  test('rows do not touch each other', () => {
    const { memory, table, gauge } = backlog(100);
    const neighbours = [0, 2].map((slot) => new BacklogGauge(memory, slot, 100, () => {}));
    gauge.take(100);
    assert.equal(gauge.fits(1), false);
    for (const neighbour of neighbours) {
      neighbour.take(60);
      assert.equal(neighbour.room(), 40);
    }
    assert.equal(table.drained(0, 10), false);
    assert.equal(table.drained(2, 20), false);
    assert.deepEqual(
      neighbours.map((neighbour) => neighbour.room()),
      [50, 60],
    );
    assert.equal(gauge.room(), 0);
    assert.equal(table.drained(1, 100), true);
  });

  test('taking more than the room, or asking for over half of the limit, is a programming error', () => {
    const { gauge } = backlog(100);
    assert.throws(() => gauge.fits(51), RangeError);
    gauge.take(60);
    assert.throws(() => gauge.take(41), RangeError);
    assert.equal(gauge.room(), 40);
  });

  test('draining more bytes than were written is detected', () => {
    const { table, gauge } = backlog(100);
    table.drained(1, 1);
    assert.throws(() => gauge.room(), /more drained than written/);
  });

  for (const limitBytes of [0, 1, 2 ** 30 + 1, Number.NaN]) {
    test(`a limit of ${limitBytes} is refused`, () => assert.throws(() => backlog(limitBytes), RangeError));
  }
  for (const slot of [-1, 3, Number.NaN]) {
    test(`slot ${slot} of a table for three is refused`, () => {
      const { memory, table } = backlog(100);
      assert.throws(() => new BacklogGauge(memory, slot, 100, () => {}), RangeError);
      assert.throws(() => table.drained(slot, 1), RangeError);
    });
  }

  test('under any writes and drains, the bytes in flight are known and within the limit', () => {
    // One row has no reserve, one a small reserve and one a large reserve.
    const reserves = [0, 6, 12];
    const step = fc.record({
      slot: fc.nat(2),
      write: fc.boolean(),
      urgent: fc.boolean(),
      bytes: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), fc.integer(), (steps, startAt) => {
        const memory = new SharedArrayBuffer(backlogBytes(3));
        new Int32Array(memory).forEach((_, i, words) => {
          if (i % WORDS_PER_ROW === 0) words[i] = startAt;
        });
        const table = new BacklogTable(memory);
        const rows = reserves.map((reserve, slot) => ({
          reserve,
          gauge: new BacklogGauge(memory, slot, 64, () => {}, reserve),
          written: 0,
          drained: 0,
          callAt: Number.POSITIVE_INFINITY,
        }));
        for (const { slot, write, urgent, bytes } of steps) {
          const row = rows[slot]!;
          const most = urgent ? 64 : 64 - row.reserve;
          if (write && row.gauge.fits(bytes, urgent)) {
            assert.ok(row.written - row.drained + bytes <= most);
            row.gauge.take(bytes);
            row.written += bytes;
          } else if (write) {
            assert.ok(row.written - row.drained + bytes > most);
            row.callAt = row.written - (urgent && bytes <= row.reserve / 2 ? 64 - row.reserve / 2 : 32);
          } else {
            const drained = Math.min(bytes, row.written - row.drained);
            row.drained += drained;
            const rings = table.drained(slot, drained);
            assert.equal(rings, row.drained >= row.callAt);
            if (rings) row.callAt = Number.POSITIVE_INFINITY;
            assert.equal(row.gauge.takeRoom(), rings);
          }
          assert.ok(row.written - row.drained <= 64);
          assert.equal(row.gauge.room(), 64 - (row.written - row.drained));
        }
      }),
      { numRuns: 300 },
    );
  });
});
