import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, mock, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { CHANNEL_BACKLOG_BYTES, RING_BYTES, URGENT_RESERVE_BYTES } from '../../src/core/limits.js';
import { BacklogTable } from '../../src/ring/backlog.js';
import { MainSide } from '../../src/ring/main_side.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../../src/ring/record.js';
import { allocateShared } from '../../src/ring/shared.js';
import { WorkerSide } from '../../src/ring/worker_side.js';

const open: { close(): void }[] = [];

/** Both sides in one thread, with a real doorbell between them. */
function sides(options: { capacityBytes?: number; backlogLimitBytes?: number } = {}) {
  const pair = allocateShared(options.capacityBytes ?? 4096);
  const main = new MainSide(pair.main, { backlogLimitBytes: options.backlogLimitBytes ?? 1024 });
  const worker = new WorkerSide(pair.worker);
  // The bell keeps no process alive; a test that waits for it must.
  const keepAlive = setInterval(() => {}, 60_000);
  open.push(main, worker, { close: () => clearInterval(keepAlive) });
  return { main, worker, backlog: pair.main.backlog };
}

/** Collects frames as `channel/flags:text`; `until` resolves when so many came. */
function collector() {
  const frames: string[] = [];
  let wanted = 0;
  let resolve: () => void = () => {};
  return {
    frames,
    frame(channelId: number, flags: number, bytes: Uint8Array, offset: number, length: number): boolean {
      frames.push(`${channelId}/${flags}:${Buffer.from(bytes.subarray(offset, offset + length))}`);
      if (frames.length === wanted) resolve();
      return true;
    },
    until(count: number): Promise<void> {
      wanted = count;
      return new Promise((done) => {
        resolve = done;
        if (frames.length >= count) done();
      });
    },
    ringRoom: () => {},
    channelRoom: (_slot: number) => {},
  };
}

describe('main side and worker side', () => {
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  test('frames go both ways with their channel and flags', async () => {
    const { main, worker } = sides();
    const [atMain, atWorker] = [collector(), collector()];
    main.run(atMain);
    worker.run(atWorker);
    assert.ok(main.tryWrite(5, FLAG_URGENT, Buffer.from('out')));
    assert.ok(main.tryWrite(0xff_fffe, 0, Buffer.from('')));
    assert.ok(worker.tryWrite(7, 0x80, Buffer.from('in')));
    await Promise.all([atMain.until(1), atWorker.until(2)]);
    assert.deepEqual(atWorker.frames, ['5/1:out', '16777214/0:']);
    assert.deepEqual(atMain.frames, ['7/128:in']);
  });

  test('a sleeping side is woken', async () => {
    const { main, worker } = sides();
    const atWorker = collector();
    worker.run(atWorker);
    for (let i = 1; i <= 3; i++) {
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
      assert.ok(main.tryWrite(1, 0, Buffer.from(`${i}`)));
      await atWorker.until(i);
    }
    assert.deepEqual(atWorker.frames, ['1/0:1', '1/0:2', '1/0:3']);
  });

  test('a peer whose path is stuck is refused, the others go on, and it is told of room', async () => {
    const { main, worker } = sides({ backlogLimitBytes: 1024 });
    const atWorker = collector();
    const told: number[] = [];
    const room = new Promise<void>((resolve) => {
      main.run({ ...collector(), channelRoom: (slot) => resolve(void told.push(slot)) });
    });
    worker.run(atWorker);

    const frame = Buffer.alloc(512);
    assert.ok(main.tryWrite(64 + 9, 0, frame));
    assert.ok(main.tryWrite(64 + 9, 0, frame));
    assert.equal(main.tryWrite(64 + 9, 0, frame), false);
    assert.equal(main.room(64 + 9), 0);
    for (let i = 0; i < 20; i++) {
      assert.ok(main.tryWrite(3, 0, frame));
      await atWorker.until(3 + i);
      worker.drained(3, 512);
    }
    assert.deepEqual(told, []);
    worker.drained(64 + 9, 512);
    await room;
    assert.deepEqual(told, [9]);
    assert.ok(main.tryWrite(64 + 9, 0, frame));
  });

  test('a full ring counts nothing as written to the peer, and room is told', async () => {
    const { main, worker } = sides({ capacityBytes: 1024, backlogLimitBytes: 4096 });
    const room = new Promise<void>((resolve) => main.run({ ...collector(), ringRoom: resolve }));
    let written = 0;
    while (main.tryWrite(1, 0, Buffer.alloc(100))) written += 100;
    assert.equal(main.room(1), 4096 - written);
    worker.run(collector());
    await room;
    assert.ok(main.tryWrite(1, 0, Buffer.alloc(100)));
  });

  test('a worker that was refused is told of room, and a main side that left a frame gets it again', async () => {
    const { main, worker } = sides({ capacityBytes: 1024 });
    let frames = 0;
    while (worker.tryWrite(1, 0, Buffer.alloc(100))) frames++;
    const room = new Promise<void>((resolve) => worker.run({ ...collector(), ringRoom: resolve }));
    const atMain = collector();
    let refused = false;
    const refusal = new Promise<void>((resolve) => {
      main.run({
        ...atMain,
        frame(...frame) {
          if (refused) return atMain.frame(...frame);
          refused = true;
          resolve();
          return false;
        },
      });
    });
    await refusal;
    assert.equal(atMain.frames.length, 0);
    main.resume();
    await Promise.all([room, atMain.until(frames)]);
  });

  test('a reservation that is forgotten is not counted', () => {
    const { main } = sides({ backlogLimitBytes: 1024 });
    assert.notEqual(main.reserve(1, 0, 500), undefined);
    assert.notEqual(main.reserve(1, 0, 100), undefined);
    main.commit();
    assert.equal(main.room(1), 924);
    assert.throws(() => main.commit(), /without a reservation/);
    assert.equal(main.room(1), 924);
  });

  test('after close writing throws ERR_CLOSED, and nothing is taken', async () => {
    const { main, worker } = sides();
    const atMain = collector();
    main.run(atMain);
    main.close();
    main.close();
    const closed = (error: unknown): boolean => TunnelError.is(error) && error.code === 'ERR_CLOSED';
    assert.throws(() => main.tryWrite(1, 0, Buffer.from('late')), closed);
    assert.throws(() => main.run(atMain), closed);
    assert.ok(worker.tryWrite(1, 0, Buffer.from('late')));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(atMain.frames, []);
  });

  test('a refusal leaves an earlier reservation as it was', async () => {
    const { main, worker } = sides({ backlogLimitBytes: 1024 });
    const atWorker = collector();
    worker.run(atWorker);
    assert.ok(main.tryWrite(2, 0, Buffer.alloc(512)));
    assert.ok(main.tryWrite(2, 0, Buffer.alloc(512)));
    const place = main.reserve(1, 0, 2);
    assert.ok(place !== undefined);
    main.bytes.set(Buffer.from('ok'), place);
    assert.equal(main.reserve(2, 0, 100), undefined);
    main.commit();
    assert.equal(main.room(1), 1022);
    await atWorker.until(3);
    assert.equal(atWorker.frames[2], '1/0:ok');
  });

  test('who was refused is told of room that this side found by itself, without a bell', async () => {
    const { main, worker, backlog } = sides({ backlogLimitBytes: 1024 });
    const table = new BacklogTable(backlog);
    for (let i = 0; i < 2; i++) assert.ok(main.tryWrite(9, 0, Buffer.alloc(512)));
    const told = new Promise<number>((resolve) => main.run({ ...collector(), channelRoom: resolve }));
    assert.equal(main.tryWrite(9, 0, Buffer.alloc(100)), false);
    // Between two steps of the next try the worker makes room; its bell is left out.
    const store = Atomics.store;
    mock.method(Atomics, 'store', (...args: Parameters<typeof store>) => {
      mock.restoreAll();
      table.drained(9, 1024);
      return store(...args);
    });
    assert.ok(main.tryWrite(9, 0, Buffer.alloc(100)));
    assert.equal(await told, 9);
    worker.close();
  });

  test('a handler that closes the side is told no more', async () => {
    const { main, worker } = sides({ capacityBytes: 1024, backlogLimitBytes: 512 });
    for (let i = 0; i < 2; i++) assert.ok(main.tryWrite(1, 0, Buffer.alloc(256)));
    assert.equal(main.tryWrite(1, 0, Buffer.alloc(256)), false);
    assert.ok(main.tryWrite(2, 0, Buffer.alloc(256)));
    assert.equal(main.tryWrite(3, 0, Buffer.alloc(256)), false);
    worker.run(collector());
    worker.drained(1, 512);
    const told: string[] = [];
    await new Promise<void>((resolve) => {
      const close = (what: string): void => {
        told.push(what);
        main.close();
        setImmediate(resolve);
      };
      // Both answers are there before main first listens to its bell.
      setImmediate(() =>
        setImmediate(() =>
          main.run({ ...collector(), ringRoom: () => close('ring'), channelRoom: () => close('channel') }),
        ),
      );
    });
    assert.deepEqual(told, ['ring']);
  });

  test('close closes the doorbell', async () => {
    const pair = allocateShared(1024);
    const main = new MainSide(pair.main);
    const worker = new WorkerSide(pair.worker);
    pair.worker.bell.ref();
    const closed = once(pair.worker.bell, 'close');
    main.close();
    await closed;
    worker.close();
  });

  test('bulk that is refused leaves room for what is urgent', () => {
    const pair = allocateShared(8192);
    const main = new MainSide(pair.main, { backlogLimitBytes: 1024, urgentReserveBytes: 100 });
    open.push(main, new WorkerSide(pair.worker));
    for (const bytes of [400, 400, 124]) assert.ok(main.tryWrite(1, FLAG_LOSSY, Buffer.alloc(bytes)));
    for (const flags of [0, FLAG_LOSSY]) assert.equal(main.tryWrite(1, flags, Buffer.alloc(1)), false);
    assert.ok(main.tryWrite(1, FLAG_URGENT, Buffer.alloc(50)));
    assert.ok(main.tryWrite(1, FLAG_URGENT | FLAG_LOSSY, Buffer.alloc(50)));
    assert.equal(main.tryWrite(1, FLAG_URGENT, Buffer.alloc(1)), false);
    assert.ok(main.tryWrite(2, 0, Buffer.alloc(1)));
  });

  test('by default a ring holds RING_BYTES and a backlog CHANNEL_BACKLOG_BYTES', () => {
    const pair = allocateShared();
    const main = new MainSide(pair.main);
    open.push(main, new WorkerSide(pair.worker));
    assert.equal(main.bytes.byteLength, RING_BYTES);
    assert.equal(main.room(0), CHANNEL_BACKLOG_BYTES);
    const chunk = Buffer.alloc(8192);
    for (let left = CHANNEL_BACKLOG_BYTES - URGENT_RESERVE_BYTES; left > 0; left -= chunk.length)
      assert.ok(main.tryWrite(0, 0, chunk));
    assert.equal(main.tryWrite(0, 0, Buffer.alloc(1)), false);
    assert.ok(main.tryWrite(0, FLAG_URGENT, Buffer.alloc(1)));
  });
});
