import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DueQueue } from '../../src/worker/due_queue.js';

class Entry {
  place = -1;
  dueMs = Number.POSITIVE_INFINITY;
  readonly name: number;

  constructor(name: number) {
    this.name = name;
  }
}

const anyTime = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(Number.POSITIVE_INFINITY));
const anyStep = (entries: number) =>
  fc.oneof(
    fc.record({ kind: fc.constant('set'), entry: fc.nat(entries - 1), dueMs: anyTime }),
    fc.record({ kind: fc.constant('delete'), entry: fc.nat(entries - 1), dueMs: fc.constant(0) }),
    fc.record({ kind: fc.constant('take'), entry: fc.constant(0), dueMs: anyTime }),
  );

for (const size of [1, 64, 65, 1000]) {
  test(`a queue of ${size} entries gives those that are due, the earliest first`, () => {
    fc.assert(
      fc.property(fc.array(anyStep(size), { maxLength: 300 }), (steps) => {
        const queue = new DueQueue<Entry>();
        const entries = Array.from({ length: size }, (_, name) => new Entry(name));
        /** When each waiting entry is due. */
        const waiting = new Map<Entry, number>();
        for (const { kind, entry, dueMs } of steps) {
          const one = entries[entry]!;
          const earliestMs = Math.min(Number.POSITIVE_INFINITY, ...waiting.values());
          assert.equal(queue.nextMs, earliestMs);
          if (kind === 'set') {
            queue.set(one, dueMs);
            if (dueMs === Number.POSITIVE_INFINITY) waiting.delete(one);
            else waiting.set(one, dueMs);
          } else if (kind === 'delete') {
            queue.delete(one);
            waiting.delete(one);
          } else {
            const taken = queue.take(dueMs);
            if (earliestMs > dueMs || waiting.size === 0) {
              assert.equal(taken, undefined);
            } else {
              assert.ok(taken !== undefined);
              assert.equal(waiting.get(taken), earliestMs);
              waiting.delete(taken);
            }
          }
          for (const each of entries) assert.equal(each.place >= 0, waiting.has(each));
        }
        let beforeMs = 0;
        for (let next = queue.take(50); next !== undefined; next = queue.take(50)) {
          assert.ok(next.dueMs >= beforeMs);
          assert.equal(waiting.get(next), next.dueMs);
          waiting.delete(next);
          beforeMs = next.dueMs;
        }
        assert.equal(waiting.size, 0);
      }),
      { numRuns: size === 1000 ? 20 : 100 },
    );
  });
}
