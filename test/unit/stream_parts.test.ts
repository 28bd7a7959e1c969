import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Bucket } from '../../src/core/allowance.js';
import { TunnelError } from '../../src/core/errors.js';
import { Strays } from '../../src/mux/session/strays.js';
import { Intervals, MAX_PIECES } from '../../src/mux/stream/intervals.js';
import { Reassembly } from '../../src/mux/stream/reassembly.js';
import {
  MAX_BLOCK_BYTES as BLOCK_BYTES,
  ReceiveMemory,
  STREAM_BYTES,
} from '../../src/mux/stream/receive_memory.js';
import { ReceiveWindow } from '../../src/mux/stream/receive_window.js';
import { SendMemory, SendQueue } from '../../src/mux/stream/send_queue.js';

function peerSentNonsense(error: unknown): boolean {
  return TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote;
}

describe('intervals', () => {
  test('adjacent pieces merge, in any order of arrival', () => {
    const pieces: [number, number][] = [
      [0, 3],
      [3, 5],
      [5, 9],
      [9, 10],
    ];
    for (const order of permutations([0, 1, 2, 3])) {
      const intervals = new Intervals();
      for (const index of order) {
        const [start, end] = pieces[index]!;
        intervals.add(start, end);
      }
      assert.equal(intervals.contiguous, 10);
      assert.equal(intervals.highest, 10);
      assert.equal(intervals.pieces, 0);
    }
  });

  test('a separate piece affects only the highest offset', () => {
    const intervals = new Intervals();
    intervals.add(7, 9);
    assert.deepEqual([intervals.contiguous, intervals.highest, intervals.pieces], [0, 9, 1]);
  });

  test('any repeated byte is refused', () => {
    for (const [start, end] of [
      [0, 1],
      [0, 4],
      [3, 5],
      [10, 12],
      [8, 20],
      [11, 12],
      [14, 16],
      [19, 21],
    ] as const) {
      const intervals = new Intervals();
      intervals.add(0, 4);
      intervals.add(10, 15);
      intervals.add(18, 20);
      assert.throws(() => intervals.add(start, end), peerSentNonsense, `${start} to ${end}`);
      intervals.add(9, 10);
      intervals.add(15, 18);
    }
  });

  test('more separate pieces than an honest sender leaves are refused; filling a gap is not', () => {
    const intervals = new Intervals();
    for (let index = 1; index <= MAX_PIECES; index++) intervals.add(2 * index, 2 * index + 1);
    assert.throws(() => intervals.add(2 * MAX_PIECES + 2, 2 * MAX_PIECES + 3), peerSentNonsense);
    intervals.add(0, 1);
    intervals.add(3, 4);
    intervals.add(1, 2);
    assert.equal(intervals.contiguous, 5);
    assert.equal(intervals.pieces, MAX_PIECES - 2);
  });
});

describe('reassembly', () => {
  const frameOf = (bytes: Uint8Array): Uint8Array => Buffer.concat([Buffer.alloc(25, 0xee), bytes]);
  const pattern = (from: number, to: number): Uint8Array =>
    Uint8Array.from({ length: to - from }, (_, index) => ((from + index) * 31) >> 3);

  test('bytes across the border of two blocks come out whole', () => {
    const reassembly = new Reassembly(new ReceiveMemory(0), BLOCK_BYTES);
    reassembly.insert(0, frameOf(pattern(0, BLOCK_BYTES - 10)), 25);
    reassembly.insert(BLOCK_BYTES - 10, frameOf(pattern(BLOCK_BYTES - 10, BLOCK_BYTES + 10)), 25);
    assert.deepEqual(Buffer.concat(all(reassembly)), Buffer.from(pattern(0, BLOCK_BYTES + 10)));
    assert.equal(reassembly.deliveredOffset, BLOCK_BYTES + 10);
  });

  test('a delivery that stops one byte before or at the end of a block continues after it', () => {
    for (const stop of [BLOCK_BYTES - 1, BLOCK_BYTES]) {
      const reassembly = new Reassembly(new ReceiveMemory(0), BLOCK_BYTES);
      reassembly.insert(0, frameOf(pattern(0, stop)), 25);
      const chunks = all(reassembly);
      reassembly.insert(stop, frameOf(pattern(stop, stop + 10)), 25);
      chunks.push(...all(reassembly));
      assert.deepEqual(Buffer.concat(chunks), Buffer.from(pattern(0, stop + 10)));
    }
  });

  test('a chunk that was handed out is never written again', () => {
    const reassembly = new Reassembly(new ReceiveMemory(0), BLOCK_BYTES);
    const kept: { chunk: Uint8Array; copy: Uint8Array }[] = [];
    let at = 0;
    for (const length of [10, 5000, 10, 60_000, 5000, 4095, 4096, 70_000, 1]) {
      reassembly.insert(at, frameOf(pattern(at, at + length)), 25);
      at += length;
      for (const chunk of all(reassembly)) kept.push({ chunk, copy: chunk.slice() });
    }
    for (const { chunk, copy } of kept) assert.deepEqual(chunk, copy);
    assert.deepEqual(Buffer.concat(kept.map(({ chunk }) => chunk)), Buffer.from(pattern(0, at)));
  });

  test('chunks of a sixteenth of a block are views, smaller ones are copies of their own size', () => {
    const memory = new ReceiveMemory(0);
    const reassembly = new Reassembly(memory, BLOCK_BYTES);
    reassembly.insert(0, frameOf(pattern(0, 2047)), 25);
    assert.equal(reassembly.next()?.buffer.byteLength, 2047);
    assert.equal(memory.heldBytes, 2047);
    reassembly.insert(2047, frameOf(pattern(2047, 2047 + 2048)), 25);
    assert.equal(reassembly.next()?.buffer.byteLength, BLOCK_BYTES);
    assert.equal(memory.heldBytes, 2047 + BLOCK_BYTES);
  });

  test('a stream whose small data was all delivered holds no block, and its block serves another', () => {
    const memory = new ReceiveMemory(0);
    const one = new Reassembly(memory, BLOCK_BYTES);
    one.insert(0, frameOf(pattern(0, 100)), 25);
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    all(one);
    assert.equal(memory.heldBytes, 0);
    const block = memory.takeBlock(BLOCK_BYTES);
    memory.giveBlock(block);
    one.insert(100, frameOf(pattern(100, 200)), 25);
    assert.notEqual(memory.takeBlock(BLOCK_BYTES), block);
    assert.deepEqual(Buffer.concat(all(one)), Buffer.from(pattern(100, 200)));
  });

  test('a block with a gap in it is kept', () => {
    const memory = new ReceiveMemory(0);
    const reassembly = new Reassembly(memory, BLOCK_BYTES);
    reassembly.insert(0, frameOf(pattern(0, 10)), 25);
    reassembly.insert(20, frameOf(pattern(20, 30)), 25);
    assert.equal(all(reassembly).length, 1);
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    reassembly.insert(10, frameOf(pattern(10, 20)), 25);
    assert.deepEqual(Buffer.concat(all(reassembly)), Buffer.from(pattern(10, 30)));
  });

  test('a block of which the consumer has had a view counts until it is consumed, and never serves another', () => {
    const memory = new ReceiveMemory(0);
    const reassembly = new Reassembly(memory, BLOCK_BYTES);
    reassembly.insert(0, frameOf(pattern(0, BLOCK_BYTES)), 25);
    const chunk = reassembly.next();
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    reassembly.consumedTo(BLOCK_BYTES - 1);
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    reassembly.consumedTo(BLOCK_BYTES);
    assert.equal(memory.heldBytes, 0);
    assert.notEqual(memory.takeBlock(BLOCK_BYTES).buffer, chunk?.buffer);
    const other = new Reassembly(memory, BLOCK_BYTES);
    other.insert(0, frameOf(pattern(0, 5000)), 25);
    const view = other.next();
    other.clear();
    assert.notEqual(memory.takeBlock(BLOCK_BYTES).buffer, view?.buffer);
  });

  test('a partly filled block takes what comes next, also after views of it; an idle stream lets it go', () => {
    const memory = new ReceiveMemory(0);
    const reassembly = new Reassembly(memory, BLOCK_BYTES);
    const buffers = new Set<ArrayBufferLike>();
    for (let at = 0; at < BLOCK_BYTES - 3000; at += 3000) {
      reassembly.insert(at, frameOf(pattern(at, at + 3000)), 25);
      for (const chunk of all(reassembly)) buffers.add(chunk.buffer);
      reassembly.rest();
    }
    assert.equal(buffers.size, 1);
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    reassembly.rest();
    assert.equal(memory.heldBytes, 0);
  });

  test('only blocks with received bytes are held', () => {
    const memory = new ReceiveMemory(0);
    const reassembly = new Reassembly(memory, BLOCK_BYTES);
    reassembly.insert(5 * BLOCK_BYTES + 3, frameOf(pattern(0, 1)), 25);
    assert.equal(memory.heldBytes, BLOCK_BYTES);
    assert.equal(reassembly.next(), undefined);
    reassembly.clear();
    assert.equal(memory.heldBytes, 0);
  });

  test('a bounded number of blocks is kept for reuse', () => {
    const memory = new ReceiveMemory(0);
    const blocks = Array.from({ length: 100 }, () => memory.takeBlock(BLOCK_BYTES));
    for (const block of blocks) memory.giveBlock(block);
    const kept = blocks.map(() => memory.takeBlock(BLOCK_BYTES)).filter((block) => blocks.includes(block));
    assert.equal(kept.length, 16);
  });

  function all(reassembly: Reassembly): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    for (let chunk = reassembly.next(); chunk !== undefined; chunk = reassembly.next()) {
      chunks.push(chunk);
      reassembly.consumedTo(reassembly.deliveredOffset);
    }
    return chunks;
  }
});

describe('receive memory', () => {
  const MIB = 1024 * 1024;

  test('gives the first streams large windows, later ones smaller ones, and leaves half for growth', () => {
    const memory = new ReceiveMemory(64 * MIB);
    const windows = Array.from({ length: 4096 }, () => memory.reserve(256 * 1024)!.windowBytes);
    assert.deepEqual([windows[0], windows[80]], [256 * 1024, 256 * 1024]);
    assert.equal(windows.at(-1), 16 * 1024);
    for (let index = 1; index < windows.length; index++) assert.ok(windows[index]! <= windows[index - 1]!);
    assert.ok(memory.growthLeftBytes >= 32 * MIB);
    assert.ok(memory.reservedBytes <= 32 * MIB + 4096 * STREAM_BYTES);
  });

  test('gives everything back', () => {
    const memory = new ReceiveMemory(MIB);
    const reserved = Array.from({ length: 100 }, () => memory.reserve(256 * 1024)!);
    for (const one of reserved) memory.release(one);
    assert.deepEqual([memory.growthLeftBytes, memory.reservedBytes], [MIB, 0]);
  });

  test('a stream needs 32 KiB at least', () => {
    assert.equal(STREAM_BYTES, 32 * 1024);
  });
});

describe('receive window', () => {
  const windowOf = (memory = new ReceiveMemory(10_000), maxBytes = 8000): ReceiveWindow =>
    new ReceiveWindow({ initialBytes: 1000, maxBytes, memory });

  test('credit is due when half of the window is consumed, not before', () => {
    const window = windowOf();
    window.consume(499);
    assert.ok(!window.isDue);
    window.consume(1);
    assert.ok(window.isDue);
    assert.equal(window.advance(0, undefined), 1500);
    assert.ok(!window.isDue);
  });

  test('doubles when half of it was consumed in less than two round trips, up to its maximum', () => {
    const window = windowOf();
    let nowMs = 0;
    window.start(nowMs);
    const sizes: number[] = [];
    for (let count = 0; count < 5; count++) {
      nowMs += 199;
      window.consume(window.windowBytes / 2);
      window.advance(nowMs, 100);
      sizes.push(window.windowBytes);
    }
    assert.deepEqual(sizes, [2000, 4000, 8000, 8000, 8000]);
  });

  test('stays when half of it lasted two round trips', () => {
    const window = windowOf();
    window.start(0);
    window.consume(500);
    assert.equal(window.advance(200, 100), 1500);
    window.consume(500);
    assert.equal(window.advance(400, 100), 2000);
    assert.equal(window.windowBytes, 1000);
  });

  test('stays while no round trip is measured', () => {
    const window = windowOf();
    window.consume(500);
    window.advance(0, undefined);
    assert.equal(window.windowBytes, 1000);
  });

  test('time runs from the first byte, not from the opening of the stream', () => {
    const window = windowOf();
    window.start(5000);
    window.start(9000);
    window.consume(500);
    window.advance(5199, 100);
    assert.equal(window.windowBytes, 2000);
    const late = windowOf();
    late.start(5000);
    late.start(9000);
    late.consume(500);
    late.advance(9100, 100);
    assert.equal(late.windowBytes, 1000);
  });

  test('a round trip below 10 ms counts as 10 ms', () => {
    const window = windowOf();
    window.start(0);
    window.consume(500);
    window.advance(19, 0.1);
    assert.equal(window.windowBytes, 2000);
    window.consume(1000);
    window.advance(39, 0.1);
    assert.equal(window.windowBytes, 2000);
  });

  test('grows when half of it has arrived behind a gap, and informs the peer once', () => {
    const window = windowOf();
    window.start(0);
    window.consume(100);
    assert.ok(!window.mayGrowAhead(100, 499));
    assert.ok(window.mayGrowAhead(100, 500));
    window.growAhead(150, 100);
    assert.equal(window.windowBytes, 2000);
    assert.ok(window.isDue);
    assert.equal(window.advance(150, 100), 2100);
    assert.equal(window.windowBytes, 2000);
    assert.ok(!window.isDue);
    assert.ok(!window.mayGrowAhead(100, 1099));
  });

  test('does not grow beyond a slow consumer, or when it lasted two round trips', () => {
    const window = windowOf();
    window.start(0);
    assert.ok(!window.mayGrowAhead(600, 600));
    assert.ok(!window.mayGrowAhead(251, 600));
    assert.ok(window.mayGrowAhead(250, 600));
    window.growAhead(200, 100);
    window.growAhead(100, undefined);
    assert.equal(window.windowBytes, 1000);
    assert.ok(!window.isDue);
  });

  test('a peer that leaves a gap at the start and sends its full credit stops at the limits', () => {
    const memory = new ReceiveMemory(10_000);
    const windows = [windowOf(memory), windowOf(memory)];
    for (const window of windows) {
      window.start(0);
      for (let frame = 0; frame < 10; frame++) {
        if (!window.mayGrowAhead(0, window.limit)) continue;
        window.growAhead(1, 100);
        if (window.isDue) window.advance(1, 100);
      }
    }
    assert.deepEqual(
      windows.map((window) => window.windowBytes),
      [8000, 4000],
    );
    assert.equal(memory.growthLeftBytes, 0);
  });

  test('the total growth of all windows is bounded, and a finished stream returns its share', () => {
    const memory = new ReceiveMemory(2500);
    const one = windowOf(memory);
    const two = windowOf(memory);
    for (const window of [one, two, one, two, one, two]) {
      window.consume(window.windowBytes / 2);
      window.advance(0, 100);
    }
    assert.equal(one.windowBytes + two.windowBytes, 2000 + 2500);
    assert.equal(memory.growthLeftBytes, 0);
    one.release();
    two.release();
    two.release();
    assert.equal(memory.growthLeftBytes, 2500);
  });
});

describe('send queue', () => {
  const take = (queue: SendQueue, bytes: number): number[] => {
    const out = new Uint8Array(bytes + 2).fill(0xee);
    queue.takeInto(out, 1, bytes);
    assert.deepEqual([out[0], out[bytes + 1]], [0xee, 0xee]);
    return [...out.subarray(1, bytes + 1)];
  };

  test('returns bytes in order, across chunks and in parts of them', () => {
    const queue = new SendQueue(1000);
    for (const chunk of [[1, 2, 3], [4], [5, 6, 7, 8]]) queue.push(Uint8Array.from(chunk));
    assert.equal(queue.bytes, 8);
    assert.deepEqual(take(queue, 2), [1, 2]);
    assert.deepEqual(take(queue, 4), [3, 4, 5, 6]);
    queue.push(Uint8Array.of(9));
    assert.deepEqual(take(queue, 3), [7, 8, 9]);
    assert.equal(queue.bytes, 0);
  });

  test('is full at its high-water mark, and low at a quarter of it', () => {
    const queue = new SendQueue(100);
    queue.push(new Uint8Array(99));
    assert.ok(!queue.isFull);
    queue.push(new Uint8Array(1));
    assert.ok(queue.isFull);
    take(queue, 74);
    assert.ok(!queue.isLow);
    take(queue, 1);
    assert.ok(queue.isLow);
  });

  test('many tiny chunks also count as full', () => {
    const queue = new SendQueue(1_000_000);
    for (let count = 0; count < 4095; count++) queue.push(new Uint8Array(1));
    assert.ok(!queue.isFull);
    queue.push(new Uint8Array(1));
    assert.ok(queue.isFull);
    take(queue, 3000);
    assert.ok(!queue.isLow);
    take(queue, 100);
    assert.ok(queue.isLow);
  });

  test('a writer that ignores the limit is stopped by an error', () => {
    const stopped = (error: unknown): boolean =>
      TunnelError.is(error) && error.code === 'ERR_LIMIT' && !error.remote;
    const queue = new SendQueue(100);
    for (let count = 0; count < 16; count++) queue.push(new Uint8Array(100));
    assert.throws(() => queue.push(new Uint8Array(1)), stopped);
    const tiny = new SendQueue(1_000_000);
    for (let count = 0; count < 4096 * 16; count++) tiny.push(new Uint8Array(1));
    assert.throws(() => tiny.push(new Uint8Array(1)), stopped);
  });

  test('starts afresh after clear', () => {
    const queue = new SendQueue(100);
    for (let count = 0; count < 5; count++) queue.push(Uint8Array.of(1, 2, 3));
    take(queue, 4);
    queue.clear();
    assert.equal(queue.bytes, 0);
    queue.push(Uint8Array.of(4, 5));
    assert.deepEqual(take(queue, 2), [4, 5]);
  });
});

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

describe('frames for streams that are not open', () => {
  test('pass within their rate, then hold requests back, then end the session', () => {
    const strays = new Strays(100, new Bucket(200, 100, 0));
    for (let frame = 0; frame < 200; frame++) strays.take(0);
    assert.equal(strays.pauseMs(0), 0);
    for (let frame = 0; frame < 50; frame++) strays.take(0);
    assert.equal(strays.pauseMs(0), 500);
    assert.equal(strays.pauseMs(400), 100);
    assert.equal(strays.pauseMs(500), 0);
    for (let frame = 0; frame < 200; frame++) strays.take(500);
    assert.throws(
      () => strays.take(500),
      (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT' && error.remote,
    );
  });

  test('are free after a stream has ended, as many as the peer may have sent by then', () => {
    const strays = new Strays(100, new Bucket(200, 100, 0));
    strays.ended(64 * 1024);
    for (let frame = 0; frame < 128 + 4 + 200; frame++) strays.take(0);
    assert.equal(strays.pauseMs(0), 0);
    strays.take(0);
    assert.equal(strays.pauseMs(0), 10);
  });
});

describe('the send queues of one peer', () => {
  test('hold one chunk each once all together hold their limit', () => {
    const memory = new SendMemory(1000);
    const queues = Array.from({ length: 3 }, () => new SendQueue(600, memory));
    queues[0]!.push(new Uint8Array(600));
    assert.deepEqual([queues[0]!.isFull, queues[1]!.isFull], [true, false]);
    queues[1]!.push(new Uint8Array(400));
    assert.deepEqual([queues[1]!.isFull, queues[2]!.isFull], [true, false]);
    queues[2]!.push(new Uint8Array(1));
    assert.ok(queues[2]!.isFull);
    queues[0]!.takeInto(new Uint8Array(600), 0, 600);
    assert.deepEqual([queues[1]!.isFull, queues[2]!.isFull], [false, false]);
    for (const queue of queues) queue.clear();
    assert.equal(memory.bytes, 0);
  });

  test('take nothing more in a crowd before they are empty, so that none holds two chunks', () => {
    const memory = new SendMemory(1000);
    const [crowd, queue] = [new SendQueue(2000, memory), new SendQueue(600, memory)];
    crowd.push(new Uint8Array(1000));
    queue.push(new Uint8Array(100));
    assert.deepEqual([queue.isCrowded, queue.isFull, queue.isLow], [true, true, false]);
    queue.takeInto(new Uint8Array(99), 0, 99);
    assert.ok(!queue.isLow);
    queue.takeInto(new Uint8Array(1), 0, 1);
    assert.ok(queue.isLow);
    queue.push(new Uint8Array(100));
    crowd.clear();
    assert.deepEqual([queue.isCrowded, queue.isFull, queue.isLow], [false, false, true]);
  });
});
