import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Datagram, DatagramQueue } from '../../src/worker/net/datagram_queue.js';

const from = (bytes: Uint8Array): Datagram => ({ bytes, ip: Uint8Array.of(127, 0, 0, 1), port: 1 });

const textOf = (datagram: Datagram | undefined): string => Buffer.from(datagram?.bytes ?? []).toString();

test('a full queue drops new datagrams, counts them, and accepts again once some have left', () => {
  const queue = new DatagramQueue(2, 100);
  assert.equal(queue.push(from(Buffer.from('a'))), true);
  assert.equal(queue.push(from(Buffer.from('b'))), true);
  assert.equal(queue.push(from(Buffer.from('c'))), false);
  assert.equal(queue.dropped, 1);
  assert.equal(textOf(queue.shift()), 'a');
  assert.equal(queue.push(from(Buffer.from('d'))), true);
  assert.equal(textOf(queue.shift()), 'b');
  assert.equal(textOf(queue.shift()), 'd');
  assert.equal(queue.shift(), undefined);
});

test('the limit in bytes is exact, and room is returned', () => {
  const queue = new DatagramQueue(100, 10);
  assert.equal(queue.push(from(Buffer.alloc(10))), true);
  assert.equal(queue.push(from(Buffer.alloc(1))), false);
  queue.shift();
  assert.equal(queue.push(from(Buffer.alloc(11))), false);
  assert.equal(queue.push(from(Buffer.alloc(10))), true);
  queue.clear();
  assert.equal(queue.count, 0);
  assert.equal(queue.push(from(Buffer.alloc(10))), true);
});

test('a datagram queue behaves like a bounded list', () => {
  const step = fc.option(fc.uint8Array({ maxLength: 8, size: 'max' }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const queue = new DatagramQueue(5, 20);
      const model: Uint8Array[] = [];
      let dropped = 0;
      for (const bytes of steps) {
        if (bytes === undefined) {
          assert.deepEqual(queue.shift()?.bytes, model.length > 0 ? Buffer.from(model[0]!) : undefined);
          model.shift();
        } else {
          const heldBytes = model.reduce((sum, held) => sum + held.length, 0);
          const fits = model.length < 5 && heldBytes + bytes.length <= 20;
          if (fits) model.push(bytes);
          else dropped++;
          assert.equal(queue.push(from(Buffer.from(bytes))), fits);
        }
        assert.equal(queue.count, model.length);
        assert.equal(queue.dropped, dropped);
      }
    }),
  );
});
