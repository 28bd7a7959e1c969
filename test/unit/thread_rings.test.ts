import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, mock, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { CHANNEL_BACKLOG_BYTES, URGENT_RESERVE_BYTES } from '../../src/core/limits.js';
import { BacklogTable } from '../../src/ring/backlog.js';
import { type ChannelHandlers, MainRings } from '../../src/ring/main_rings.js';
import { FLAG_LOSSY, FLAG_URGENT, slotOf } from '../../src/ring/record.js';
import type { RingChannel } from '../../src/ring/ring_channel.js';
import { allocateShared } from '../../src/ring/shared.js';
import { WorkerRings } from '../../src/ring/worker_rings.js';

const open: { close(): void }[] = [];

interface Sizes {
  readonly channels?: number;
  readonly capacityBytes?: number;
  readonly backlogLimitBytes?: number;
  readonly urgentReserveBytes?: number;
}

/** Both ends in one thread, with a real doorbell between them. */
function bothEnds({
  channels = 64,
  capacityBytes = 4096,
  backlogLimitBytes = 1024,
  urgentReserveBytes = 0,
}: Sizes = {}) {
  const pair = allocateShared({ channels, capacityBytes });
  const main = new MainRings(pair.main, { backlogLimitBytes, urgentReserveBytes });
  const worker = new WorkerRings(pair.worker);
  // The bell keeps no process alive; a test that waits for it must.
  const keepAlive = setInterval(() => {}, 60_000);
  open.push(main, worker, { close: () => clearInterval(keepAlive) });
  return { main, worker, backlog: pair.main.backlog };
}

const IGNORE: ChannelHandlers = { frame: () => {}, flush: () => {}, room: () => {}, failed: () => {} };

/** Records the calls to the handlers of one channel as text. */
function listening(heard: string[], name = ''): ChannelHandlers {
  return {
    frame: (frame) => heard.push(`${name}frame ${Buffer.from(frame)}`),
    flush: () => heard.push(`${name}flush`),
    room: () => heard.push(`${name}room`),
    failed: (error) => heard.push(`${name}failed ${error.code}`),
  };
}

function tryWrite(channel: RingChannel, frame: Uint8Array | number, urgent = false, lossy = false): boolean {
  const bytes = typeof frame === 'number' ? new Uint8Array(frame) : frame;
  const place = channel.reserve(bytes.length, urgent, lossy);
  if (place === undefined) return false;
  place.set(bytes);
  channel.commit();
  return true;
}

/** Writes until the channel refuses. Returns the number of frames. */
function fill(channel: RingChannel, frameBytes: number): number {
  let frames = 0;
  while (tryWrite(channel, frameBytes)) frames++;
  return frames;
}

/** Collects the frames that reach the worker as `channel/flags:text`; `until` resolves after that many frames. */
function collector() {
  const frames: string[] = [];
  let wanted = 0;
  let resolve: () => void = () => {};
  return {
    frames,
    frame(channelId: number, flags: number, frame: Uint8Array): void {
      frames.push(`${channelId}/${flags}:${Buffer.from(frame)}`);
      if (frames.length === wanted) resolve();
    },
    until(count: number): Promise<void> {
      wanted = count;
      return new Promise((done) => {
        resolve = done;
        if (frames.length >= count) done();
      });
    },
    room: () => {},
  };
}

async function turns(count = 50): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('the rings of the main thread and the worker', () => {
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  test('frames go both ways, with their channel and flags', async () => {
    const { main, worker } = bothEnds();
    const heard: string[] = [];
    const atWorker = collector();
    worker.run(atWorker);
    const [first, second] = [main.open(listening(heard)), main.open(IGNORE)];
    assert.ok(tryWrite(first, Buffer.from('out'), true));
    assert.ok(tryWrite(second, Buffer.from('')));
    assert.ok(tryWrite(second, Buffer.from('both'), true, true));
    assert.ok(worker.write(first.id, Buffer.from('in')));
    await atWorker.until(3);
    await turns();
    assert.deepEqual(atWorker.frames, [
      `${first.id}/${FLAG_URGENT}:out`,
      `${second.id}/0:`,
      `${second.id}/${FLAG_URGENT | FLAG_LOSSY}:both`,
    ]);
    assert.deepEqual(heard, ['frame in', 'flush']);
  });

  test('a channel counts what it has sent; lossy frames count as bytes only', () => {
    const { main } = bothEnds();
    const channel = main.open(IGNORE);
    for (const [bytes, lossy] of [
      [10, false],
      [20, true],
      [30, false],
    ] as const)
      assert.ok(tryWrite(channel, bytes, false, lossy));
    channel.reserve(100, false);
    assert.deepEqual([channel.framesSent, channel.bytesSent], [2, 60]);
  });

  test('a sleeping end is woken', async () => {
    const { main, worker } = bothEnds();
    const atWorker = collector();
    worker.run(atWorker);
    const channel = main.open(IGNORE);
    for (let i = 1; i <= 3; i++) {
      await turns();
      assert.ok(tryWrite(channel, Buffer.from(`${i}`)));
      await atWorker.until(i);
    }
    assert.deepEqual(atWorker.frames, ['0/0:1', '0/0:2', '0/0:3']);
  });

  test('a peer with a stalled path is refused and later notified of room; other peers continue', async () => {
    const { main, worker } = bothEnds({ backlogLimitBytes: 1024 });
    const atWorker = collector();
    worker.run(atWorker);
    const heard: string[] = [];
    const other = main.open(listening(heard, 'other '));
    const earlier = main.open(IGNORE);
    main.remove(earlier);
    const stuck = main.open(listening(heard, 'stuck '));
    assert.equal(slotOf(stuck.id, 64), slotOf(earlier.id, 64));

    assert.ok(tryWrite(stuck, 512));
    assert.ok(tryWrite(stuck, 512));
    assert.equal(tryWrite(stuck, 512), false);
    for (let i = 0; i < 20; i++) {
      assert.ok(tryWrite(other, 512));
      await atWorker.until(3 + i);
      worker.drained(other.id, 512);
    }
    assert.deepEqual(heard, []);
    worker.drained(stuck.id, 512);
    while (heard.length === 0) await turns(1);
    assert.deepEqual(heard, ['stuck room']);
    assert.ok(tryWrite(stuck, 512));
  });

  test('a frame refused by a full ring is not counted, and the channel is notified of room', async () => {
    const { main, worker } = bothEnds({ capacityBytes: 1024, backlogLimitBytes: 1200 });
    let channel: RingChannel | undefined;
    const room = new Promise<void>((resolve) => {
      channel = main.open({ ...IGNORE, room: resolve });
    });
    const written = fill(channel!, 100);
    assert.ok(written > 0 && written < 12);
    worker.run(collector());
    await room;
    // The refused frame was not counted: the backlog takes exactly the rest of its limit.
    assert.equal(fill(channel!, 100), 12 - written);
  });

  test('a worker whose write was refused is notified of room', async () => {
    const { main, worker } = bothEnds({ capacityBytes: 1024 });
    const heard: string[] = [];
    const { id } = main.open(listening(heard));
    let frames = 0;
    while (worker.write(id, Buffer.alloc(100))) frames++;
    await new Promise<void>((resolve) => worker.run({ ...collector(), room: resolve }));
    assert.equal(heard.filter((what) => what.startsWith('frame')).length, frames);
    assert.ok(worker.write(id, Buffer.alloc(100)));
  });

  test('a reservation that is replaced is not counted', () => {
    const { main } = bothEnds({ backlogLimitBytes: 1024 });
    const channel = main.open(IGNORE);
    assert.ok(channel.reserve(500, false));
    assert.ok(channel.reserve(100, false));
    channel.commit();
    assert.throws(() => channel.commit(), /without a reservation/);
    assert.ok(tryWrite(channel, 512));
    assert.ok(tryWrite(channel, 412));
    assert.equal(tryWrite(channel, 1), false);
  });

  test('a closed end reserves, writes and takes nothing', async () => {
    const { main, worker } = bothEnds();
    const heard: string[] = [];
    const channel = main.open(listening(heard));
    assert.equal(channel.isGone, false);
    main.close();
    main.close();
    assert.equal(channel.isGone, true);
    assert.equal(channel.reserve(1, true), undefined);
    assert.ok(worker.write(channel.id, Buffer.from('late')));
    await turns();
    assert.deepEqual(heard, []);
    worker.close();
    assert.throws(
      () => worker.write(channel.id, Buffer.from('late')),
      (error) => TunnelError.is(error) && error.code === 'ERR_CLOSED',
    );
  });

  test('a refusal leaves an earlier reservation intact', async () => {
    const { main, worker } = bothEnds({ backlogLimitBytes: 1024 });
    const atWorker = collector();
    worker.run(atWorker);
    const [a, b] = [main.open(IGNORE), main.open(IGNORE)];
    assert.ok(tryWrite(b, 512));
    assert.ok(tryWrite(b, 512));
    const place = a.reserve(2, false);
    assert.ok(place !== undefined);
    place.set(Buffer.from('ok'));
    assert.equal(b.reserve(100, false), undefined);
    a.commit();
    assert.equal(a.bytesSent, 2);
    await atWorker.until(3);
    assert.equal(atWorker.frames[2], `${a.id}/0:ok`);
  });

  test('a channel is notified of room that its own thread finds, without the doorbell', async () => {
    const { main, worker, backlog } = bothEnds({ backlogLimitBytes: 1024 });
    const table = new BacklogTable(backlog);
    let channel: RingChannel | undefined;
    const room = new Promise<void>((resolve) => {
      channel = main.open({ ...IGNORE, room: resolve });
    });
    for (let i = 0; i < 2; i++) assert.ok(tryWrite(channel!, 512));
    assert.equal(tryWrite(channel!, 100), false);
    // The worker makes room between two steps of the next attempt, without ringing the bell.
    const store = Atomics.store;
    mock.method(Atomics, 'store', (...args: Parameters<typeof store>) => {
      mock.restoreAll();
      table.drained(slotOf(channel!.id, 64), 1024);
      return store(...args);
    });
    assert.ok(tryWrite(channel!, 100));
    await room;
    worker.close();
  });

  test('a handler that closes the rings is the last one called', async () => {
    const { main, worker } = bothEnds({ capacityBytes: 1024, backlogLimitBytes: 512 });
    const heard: string[] = [];
    const close = (name: string) => () => {
      heard.push(name);
      main.close();
    };
    const channels = ['a', 'b', 'c'].map((name) => main.open({ ...IGNORE, room: close(name) }));
    const [a, b, c] = channels as [RingChannel, RingChannel, RingChannel];
    for (let i = 0; i < 2; i++) assert.ok(tryWrite(a, 256));
    assert.equal(tryWrite(a, 256), false);
    assert.ok(tryWrite(b, 256));
    assert.equal(tryWrite(c, 256), false);
    worker.run(collector());
    worker.drained(a.id, 512);
    await turns();
    assert.equal(heard.length, 1);
  });

  test('close closes the doorbell', async () => {
    const pair = allocateShared({ capacityBytes: 1024 });
    const main = new MainRings(pair.main);
    const worker = new WorkerRings(pair.worker);
    const [bell] = pair.transferList;
    bell!.ref();
    const closed = once(bell!, 'close');
    main.close();
    await closed;
    worker.close();
  });

  test('refused bulk frames leave room for urgent ones', () => {
    const { main } = bothEnds({ capacityBytes: 8192, backlogLimitBytes: 1024, urgentReserveBytes: 100 });
    const channel = main.open(IGNORE);
    for (const bytes of [400, 400, 124]) assert.ok(tryWrite(channel, bytes, false, true));
    for (const lossy of [false, true]) assert.equal(tryWrite(channel, 1, false, lossy), false);
    assert.ok(tryWrite(channel, 50, true));
    assert.ok(tryWrite(channel, 50, true, true));
    assert.equal(tryWrite(channel, 1, true), false);
    assert.ok(tryWrite(main.open(IGNORE), 1));
  });

  test('by default a backlog holds CHANNEL_BACKLOG_BYTES, with URGENT_RESERVE_BYTES of it reserved', () => {
    const pair = allocateShared();
    const main = new MainRings(pair.main);
    open.push(main, new WorkerRings(pair.worker));
    const channel = main.open(IGNORE);
    const chunk = 8192;
    for (let left = CHANNEL_BACKLOG_BYTES - URGENT_RESERVE_BYTES; left > 0; left -= chunk)
      assert.ok(tryWrite(channel, chunk));
    assert.equal(tryWrite(channel, 1), false);
    for (let left = URGENT_RESERVE_BYTES; left > 0; left -= chunk) assert.ok(tryWrite(channel, chunk, true));
    assert.equal(tryWrite(channel, 1, true), false);
  });
});

describe('the channels of the main thread', () => {
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  test('frames reach the handlers of their channel, and one flush follows the batch', async () => {
    const { main, worker } = bothEnds();
    const heard: string[] = [];
    const [a, b] = [main.open(listening(heard, 'a ')), main.open(listening(heard, 'b '))];
    for (const [channel, text] of [
      [a, '1'],
      [b, '2'],
      [a, '3'],
    ] as const)
      assert.ok(worker.write(channel.id, Buffer.from(text)));
    await turns();
    assert.deepEqual(heard.splice(0), ['a frame 1', 'b frame 2', 'a frame 3', 'a flush', 'b flush']);
    assert.ok(worker.write(a.id, Buffer.from('4')));
    await turns();
    assert.deepEqual(heard, ['a frame 4', 'a flush']);
  });

  test('each channel of a slot gets a new id, and a late frame for a closed channel is dropped', async () => {
    const { main, worker } = bothEnds();
    const heard: string[] = [];
    const first = main.open({
      ...listening(heard, '1 '),
      frame: () => {
        heard.push('1 frame');
        main.remove(first);
      },
    });
    for (let i = 0; i < 2; i++) assert.ok(worker.write(first.id, Buffer.from('x')));
    await turns();
    assert.deepEqual(heard.splice(0), ['1 frame'], 'no further frame, and no flush after the removal');
    const second = main.open(listening(heard, '2 '));
    assert.equal(slotOf(first.id, 64), slotOf(second.id, 64));
    assert.notEqual(first.id, second.id);
    main.remove(first);
    main.fail(first.id, new TunnelError('ERR_PACKET_INVALID', 'late'));
    assert.ok(worker.write(first.id, Buffer.from('late')));
    assert.ok(worker.write(second.id, Buffer.from('x')));
    await turns();
    assert.deepEqual(heard, ['2 frame x', '2 flush']);
  });

  for (const size of [1, 64, 65, 1000]) {
    test(`of ${size} slots, each has a channel; one more is refused, and closing another one makes room`, () => {
      const { main } = bothEnds({ channels: size });
      const channels = Array.from({ length: size }, () => main.open(IGNORE));
      assert.deepEqual(
        channels.map(({ id }) => slotOf(id, size)).sort((a, b) => a - b),
        [...Array(size).keys()],
      );
      assert.throws(
        () => main.open(IGNORE),
        (error) => TunnelError.is(error) && error.code === 'ERR_LIMIT' && error.message.includes('wait'),
      );
      const middle = channels[size >> 1]!;
      main.remove(middle);
      const next = main.open(IGNORE);
      assert.equal(slotOf(next.id, size), size >> 1);
      assert.notEqual(next.id, middle.id);
      main.remove(middle);
      assert.throws(() => main.open(IGNORE), TunnelError, 'the one that is gone frees no slot again');
    });

    test(`each of ${size} channels gets its own frames, and its backlog is its own`, async () => {
      const { main, worker } = bothEnds({ channels: size, capacityBytes: 2 ** 20, backlogLimitBytes: 256 });
      const heard: string[] = [];
      const channels = Array.from({ length: size }, (_, n) => main.open(listening(heard, `${n} `)));
      for (const channel of channels) assert.ok(tryWrite(channel, 100));
      const taken: number[] = [];
      worker.run({ frame: (id) => taken.push(id), room: () => {} });
      for (const { id } of channels) assert.ok(worker.write(id, Buffer.from(String(id))));
      await turns();
      assert.deepEqual(
        taken,
        channels.map(({ id }) => id),
      );
      assert.deepEqual(
        heard.filter((line) => line.includes('frame')),
        channels.map(({ id }, n) => `${n} frame ${id}`),
      );
      for (const channel of channels) while (tryWrite(channel, 100));
      heard.splice(0);
      worker.drained(channels.at(-1)!.id, 200);
      await turns();
      assert.deepEqual(heard, [`${size - 1} room`]);
    });
  }

  test('channel ids never exceed 24 bits, also with a number of slots that does not divide them', () => {
    const { main } = bothEnds({ channels: 65 });
    let last = 0;
    for (let times = 0; times <= Math.floor(2 ** 24 / 65); times++) {
      const channel = main.open(IGNORE);
      last = channel.id;
      assert.ok(last < 2 ** 24);
      main.remove(channel);
    }
    assert.equal(last, 0, 'the ids start again at 0');
  });

  test('a channel that fails is notified of the failure and of nothing after it', async () => {
    const { main, worker } = bothEnds({ capacityBytes: 1024 });
    const heard: string[] = [];
    const channel = main.open(listening(heard));
    fill(channel, 100);
    main.fail(channel.id, new TunnelError('ERR_PACKET_INVALID', 'nonsense'));
    assert.ok(worker.write(channel.id, Buffer.from('x')));
    worker.run(collector());
    await turns();
    assert.deepEqual(heard, ['failed ERR_PACKET_INVALID']);
  });

  test('the channels that the ring refused are notified of room, and they take turns at being first', async () => {
    const { main, worker } = bothEnds({ capacityBytes: 1024, backlogLimitBytes: 2 ** 20 });
    const heard: string[] = [];
    const channels = ['a ', 'b ', 'c ', 'd '].map((name) => main.open(listening(heard, name)));
    worker.run(collector());
    for (const order of ['a room,b room,c room', 'b room,c room,a room', 'a room,b room,c room']) {
      fill(channels[0]!, 100);
      for (const channel of channels.slice(1, 3)) assert.ok(!tryWrite(channel, 100));
      await turns();
      assert.equal(heard.splice(0).join(), order);
    }
  });

  test('of many channels that fill the ring as soon as they may, each has its turn', async () => {
    const { main, worker } = bothEnds({ channels: 5, capacityBytes: 1024, backlogLimitBytes: 2 ** 20 });
    const frames = [0, 0, 0, 0, 0];
    let left = 100;
    const channels = frames.map((_, n) =>
      main.open({
        ...IGNORE,
        room: () => {
          if (left-- > 0) frames[n]! += fill(channels[n]!, 100);
        },
      }),
    );
    worker.run(collector());
    for (const channel of channels) fill(channel, 100);
    while (left > 0) await turns();
    assert.ok(Math.min(...frames) * 3 > Math.max(...frames), frames.join());
  });

  test('a consumer that throws in its flush does not affect the peers after it', async (t) => {
    const { main, worker } = bothEnds();
    const heard: string[] = [];
    const thrown: unknown[] = [];
    // An error in a microtask goes to the process; here it is caught at the queue.
    const queue = globalThis.queueMicrotask;
    t.mock.method(globalThis, 'queueMicrotask', (work: () => void) =>
      queue(() => {
        try {
          work();
        } catch (error) {
          thrown.push(error);
        }
      }),
    );
    const broken = new Error('the consumer failed');
    const a = main.open({
      ...listening(heard, 'a '),
      flush: () => {
        throw broken;
      },
    });
    const b = main.open(listening(heard, 'b '));
    for (const { id } of [a, b]) assert.ok(worker.write(id, Buffer.from('1')));
    await turns();
    assert.deepEqual(thrown, [broken]);
    assert.deepEqual(heard.splice(0), ['a frame 1', 'b frame 1', 'b flush']);
    assert.ok(worker.write(b.id, Buffer.from('2')));
    await turns();
    assert.deepEqual(heard, ['b frame 2', 'b flush'], 'later batches are flushed as before');
  });
});
