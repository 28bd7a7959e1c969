import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { allocateRing } from '../../src/ring/ring.js';
import { PlainReader, PlainWriter } from '../support/plain_ring.js';

test('the ring is a queue under any mix of writes and drains', () => {
  const write = fc.record({ op: fc.constant('write' as const), bytes: fc.uint8Array({ maxLength: 60 }) });
  const drain = fc.record({ op: fc.constant('drain' as const), budget: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(fc.oneof(write, drain), { maxLength: 200, size: 'max' }), (steps) => {
      const memory = allocateRing(128);
      new Int32Array(memory).fill(-1024, 0, 1).fill(-1024, 16, 17); // the counters wrap soon
      const writer = new PlainWriter(memory);
      const reader = new PlainReader(memory);
      const model: string[] = [];
      for (const step of steps) {
        if (step.op === 'write') {
          if (writer.tryWrite(step.bytes)) model.push(Buffer.from(step.bytes).toString('hex'));
          else assert.ok(model.length > 0, 'an empty ring accepts any record');
        } else {
          const got: string[] = [];
          reader.drainViews((record) => got.push(Buffer.from(record).toString('hex')) > 0, step.budget);
          assert.deepEqual(got, model.splice(0, step.budget));
        }
      }
    }),
    { numRuns: 500 },
  );
});
