import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteBudget } from '../../src/core/byte_budget.js';
import { STREAM_BYTES } from '../../src/mux/stream/receive_memory.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import { aloneWith } from '../support/mux_link.js';
import { uuid } from '../support/peer_bench.js';

const REFUSED = 0x03;

const openFrame = (id: Uint8Array): Uint8Array =>
  Uint8Array.of(1, ...id, ...Buffer.from('00000000000400000100160968', 'hex').subarray(0, 11), 1, 0x68);

/** UUIDs that differ in the bytes that the session's table looks at. */
const idOf = (number: number): Uint8Array => {
  const id = uuid(0x11);
  new DataView(id.buffer).setUint32(0, number);
  return id;
};

/** Reason numbers of the REFUSED frames among those sent. */
const reasons = (frames: readonly Uint8Array[], type: number): number[] =>
  frames.filter((frame) => frame[0] === type).map((frame) => frame[18]!);

function listener(memory: ByteBudget) {
  const requests: OpenRequest[] = [];
  const onOpen = (request: OpenRequest): number => requests.push(request);
  return { ...aloneWith({ role: 'listener', onOpen, memory }), requests };
}

describe('a session among others', () => {
  test('opens no more and no faster than the peer has told, and refuses none of its own for it', () => {
    const told = { streams: 3, opensPerSecond: 1 };
    const { session, sink, clock } = aloneWith({ told });
    const refused: string[] = [];
    const streams = Array.from({ length: 6 }, () =>
      session.open({ kind: 'tcp', host: 'h', port: 1 }, { onRefused: (_, text) => refused.push(text) }),
    );
    const opens = (): number => sink.take().filter(([type]) => type === 1).length;
    // A burst of twice the rate, then the rate, up to so many at once.
    assert.equal(opens(), 2);
    clock.ms += session.nextTickMs();
    session.tick();
    assert.equal(opens(), 1);
    clock.ms += 5000;
    session.tick();
    assert.equal(opens(), 0);
    const [first] = streams;
    const answer = Uint8Array.of(REFUSED, ...Buffer.from(first!.id.replaceAll('-', ''), 'hex'), 0, 1);
    session.receive(answer);
    session.flush();
    assert.equal(opens(), 1);
    assert.deepEqual(refused, ['']);
  });

  test('shares the memory of the process: an OPEN beyond it waits, and is refused when none comes back', () => {
    const all = new ByteBudget(10 * STREAM_BYTES);
    const share = () => new ByteBudget(Number.POSITIVE_INFINITY, { parent: all, ratioToFree: 3 });
    const greedy = listener(share());
    const other = listener(share());
    for (let number = 0; number < 20; number++) greedy.session.receive(openFrame(idOf(number)));
    greedy.session.flush();
    // One peer gets three quarters at most.
    assert.equal(greedy.requests.length, 7);
    other.session.receive(openFrame(idOf(1)));
    other.session.flush();
    assert.equal(other.requests.length, 1);
    greedy.requests[0]!.refuse('refused');
    greedy.requests[1]!.refuse('refused');
    greedy.session.tick();
    assert.equal(greedy.requests.length, 8);
    greedy.sink.take();
    greedy.clock.ms += 10_000;
    greedy.session.tick();
    assert.deepEqual(
      reasons(greedy.sink.take(), REFUSED),
      Array.from({ length: 12 }, () => 6),
    );
    for (const { session } of [greedy, other]) session.abandon('reset');
    assert.equal(all.usedBytes, 0);
  });
});
