import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BacklogGauge, BacklogTable, backlogBytes } from '../../src/ring/backlog.js';
import { Inbox } from '../../src/ring/inbox.js';
import { Outbox } from '../../src/ring/outbox.js';
import { allocateRing, RingReader, RingWriter } from '../../src/ring/ring.js';
import { WAKE_BYTES, WakeWords } from '../../src/ring/wake_words.js';
import { everyInterleaving, type Steps, type Thread } from '../support/interleavings.js';

// Two of these fill a ring of 64 bytes: a replay that reads a replaced record finds the same length.
const RECORD_BYTES = 28;

/** A bell as both threads see it: whether it rang since a thread last heard it. */
class Bell {
  #unheard = false;
  rings = 0;

  ring(steps: Steps): void {
    steps.step(() => {
      this.#unheard = true;
      this.rings++;
    });
  }

  /** Waits for a ring. */
  hear(steps: Steps): void {
    steps.step(
      () => {
        this.#unheard = false;
      },
      () => this.#unheard,
    );
  }
}

/** Runs what waits for its turn, then waits for a ring, forever. */
function eventLoop(steps: Steps, turns: (() => void)[], bell: Bell, rung: () => void): void {
  for (;;) {
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn();
    bell.hear(steps);
    rung();
  }
}

/** One ring with room for two records, and a consumer that takes everything it gets. */
class Pair {
  readonly toConsumer = new Bell();
  readonly toProducer = new Bell();
  readonly taken: number[] = [];
  readonly #memory = allocateRing(64);
  readonly #wake = new SharedArrayBuffer(WAKE_BYTES);

  outbox(steps: Steps, turns: (() => void)[], look: () => void): Outbox {
    return new Outbox(
      new RingWriter(this.#memory),
      new WakeWords(this.#wake, 0),
      { ring: () => this.toConsumer.ring(steps) },
      () => turns.push(look),
    );
  }

  /** Writes `records` records, and waits for the bell when refused. */
  producer(records: number): Thread {
    return (steps) => {
      const outbox = this.outbox(steps, [], () => {});
      return () => {
        for (let i = 0; i < records; i++) {
          let place = outbox.reserve(RECORD_BYTES);
          while (place === undefined) {
            do this.toProducer.hear(steps);
            while (!outbox.takeRoom());
            place = outbox.reserve(RECORD_BYTES);
          }
          outbox.bytes[place] = i;
          outbox.commit();
        }
      };
    };
  }

  consumer(lingerTurns: number, budgetRecords: number): Thread {
    return (steps) => {
      const turns: (() => void)[] = [];
      const bell = { ring: () => this.toProducer.ring(steps) };
      const inbox = new Inbox(new RingReader(this.#memory), new WakeWords(this.#wake, 0), bell, {
        lingerTurns,
        budgetRecords,
        nextTurn: (turn) => turns.push(turn),
      });
      return () => {
        inbox.run((bytes, offset) => {
          steps.note(() => this.taken.push(bytes[offset]!));
          return true;
        });
        eventLoop(steps, turns, this.toConsumer, () => inbox.rung());
      };
    };
  }
}

describe('no wake-up is lost, whatever the order of the steps', () => {
  for (const { records, lingerTurns, budgetRecords, preemptions } of [
    { records: 1, lingerTurns: 0, budgetRecords: 8, preemptions: 9 },
    { records: 2, lingerTurns: 0, budgetRecords: 8, preemptions: 5 },
    { records: 2, lingerTurns: 1, budgetRecords: 1, preemptions: 4 },
    { records: 4, lingerTurns: 0, budgetRecords: 8, preemptions: 3 },
    { records: 4, lingerTurns: 0, budgetRecords: 1, preemptions: 3 },
  ]) {
    test(`${records} records, ${budgetRecords} per slice, ${lingerTurns} turns of lingering`, (t) => {
      const runs = everyInterleaving(() => {
        const pair = new Pair();
        return {
          threads: [pair.producer(records), pair.consumer(lingerTurns, budgetRecords)],
          check: ([producerEnded]) => {
            assert.equal(producerEnded, true, 'the producer waits forever');
            assert.deepEqual(pair.taken, [...Array(records).keys()]);
          },
        };
      }, preemptions);
      t.diagnostic(`${runs} orders`);
      assert.equal(runs > 100, true);
    });
  }

  for (const { limitBytes, reserveBytes, frames } of [
    { limitBytes: 4, reserveBytes: 0, frames: 6 },
    { limitBytes: 6, reserveBytes: 2, frames: 8 },
  ])
    test(`a refused writer is woken when the backlog has room, with a reserve of ${reserveBytes}`, (t) => {
      const runs = everyInterleaving(() => {
        const memory = new SharedArrayBuffer(backlogBytes(1));
        const bell = new Bell();
        let written = 0;
        const main: Thread = (steps) => {
          const gauge = new BacklogGauge(memory, 0, limitBytes, () => {}, reserveBytes);
          return () => {
            for (let i = 0; i < frames; i++) {
              // Urgent frames in between may also be refused after a bulk frame was.
              const urgent = reserveBytes > 0 && i % 2 === 1;
              if (urgent) gauge.fits(1);
              while (!gauge.fits(1, urgent)) {
                do bell.hear(steps);
                while (!gauge.takeRoom());
              }
              gauge.take(1);
              steps.note(() => written++);
            }
          };
        };
        const worker: Thread = (steps) => {
          const table = new BacklogTable(memory);
          return () => {
            for (let drained = 0; drained < frames; ) {
              // All at once: a later frame does not repair a want that this one misses.
              const bytes = steps.step(
                () => written - drained,
                () => written > drained,
              );
              drained += bytes;
              if (table.drained(0, bytes)) bell.ring(steps);
            }
          };
        };
        return { threads: [main, worker], check: (ended) => assert.deepEqual(ended, [true, true]) };
      }, 6);
      t.diagnostic(`${runs} orders`);
      assert.equal(runs > 100, true);
    });

  test('a refused writer is woken, even when another user found the room first', (t) => {
    let ownFinds = 0;
    const runs = everyInterleaving(() => {
      const pair = new Pair();
      let refused = false;
      let told = false;
      const producer: Thread = (steps) => {
        const turns: (() => void)[] = [];
        const look = (): void => {
          if (!outbox.takeRoom()) return;
          steps.note(() => {
            told = true;
          });
        };
        const outbox = pair.outbox(steps, turns, () => {
          steps.note(() => ownFinds++);
          look();
        });
        return () => {
          for (let i = 0; i < 2; i++) if (outbox.reserve(RECORD_BYTES) !== undefined) outbox.commit();
          if (outbox.reserve(RECORD_BYTES) === undefined) {
            steps.note(() => {
              refused = true;
            });
          }
          outbox.reserve(RECORD_BYTES); // by another user, who never commits
          eventLoop(steps, turns, pair.toProducer, look);
        };
      };
      return { threads: [producer, pair.consumer(0, 8)], check: () => assert.equal(told, refused) };
    }, 3);
    t.diagnostic(`${runs} orders; in ${ownFinds} of them the other user found it`);
    assert.ok(ownFinds > 0);
  });

  test('the same for a backlog', (t) => {
    let ownFinds = 0;
    const runs = everyInterleaving(() => {
      const memory = new SharedArrayBuffer(backlogBytes(1));
      const bell = new Bell();
      let refused = false;
      let told = false;
      const main: Thread = (steps) => {
        const turns: (() => void)[] = [];
        const look = (): void => {
          if (!gauge.takeRoom()) return;
          steps.note(() => {
            told = true;
          });
        };
        const gauge = new BacklogGauge(memory, 0, 2, () => {
          steps.note(() => ownFinds++);
          turns.push(look);
        });
        return () => {
          for (let i = 0; i < 2; i++) if (gauge.fits(1)) gauge.take(1);
          if (!gauge.fits(1)) {
            steps.note(() => {
              refused = true;
            });
          }
          gauge.fits(1); // another user, which never writes
          eventLoop(steps, turns, bell, look);
        };
      };
      const worker: Thread = (steps) => {
        const table = new BacklogTable(memory);
        return () => {
          steps.step(always, () => refused);
          for (let i = 0; i < 2; i++) if (table.drained(0, 1)) bell.ring(steps);
        };
      };
      const always = (): boolean => true;
      return { threads: [main, worker], check: () => assert.equal(told, refused) };
    }, 4);
    t.diagnostic(`${runs} orders; in ${ownFinds} of them the other user found it`);
    assert.ok(ownFinds > 0);
  });
});

test('an awake consumer is not rung', () => {
  const pair = new Pair();
  everyInterleaving(() => ({ threads: [pair.producer(2), pair.consumer(0, 8)], check: () => {} }), 0);
  assert.deepEqual(pair.taken, [0, 1]);
  assert.equal(pair.toConsumer.rings, 0);
});
