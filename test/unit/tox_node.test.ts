import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { Outcome, Role, Started, WorkerEvent } from '../../src/bridge/contract.js';
import { type NodeLink, ToxNode, type ToxNodeOptions } from '../../src/bridge/tox_node.js';
import type { WorkerCalls, WorkerLinkEvents } from '../../src/bridge/worker_link.js';
import { DescriptorBudget } from '../../src/core/descriptors.js';
import { TunnelError } from '../../src/core/errors.js';
import { MainRings } from '../../src/ring/main_rings.js';
import { FLAG_URGENT } from '../../src/ring/record.js';
import { allocateShared } from '../../src/ring/shared.js';
import { WorkerRings } from '../../src/ring/worker_rings.js';
import { turn } from '../support/fake_node.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const STARTED: Started = {
  address: new Uint8Array(38),
  publicKey: new Uint8Array(32),
  secretKey: new Uint8Array(32),
  dhtKey: new Uint8Array(32),
  udpPort: 33_445,
  tcpPort: 0,
};
const NO_OUTCOME = { code: 101, friend: 3 } as const;

const BINDING = Uint8Array.of(7);

/** A worker that the test controls. */
class FakeLink extends EventEmitter<WorkerLinkEvents> implements NodeLink {
  readonly calls: string[] = [];
  outcome: Outcome = NO_OUTCOME;
  startError: TunnelError | undefined;
  openError: TunnelError | undefined;
  closeError: TunnelError | undefined;
  /** Events emitted while the worker starts, before it replies. */
  early: WorkerEvent[] = [];
  readonly worker: WorkerCalls = {
    start: async () => {
      for (const event of this.early) this.emit('event', event);
      await turn();
      if (this.startError !== undefined) throw this.startError;
      return STARTED;
    },
    bootstrap: async (nodes) => {
      this.calls.push(`bootstrap ${nodes.length}`);
      return { failed: [] };
    },
    knock: async () => {},
    addFriend: async () => this.outcome,
    admitRequests: async () => {},
    seenAddresses: async () => [],
    acceptFriend: async () => NO_OUTCOME,
    removeFriend: async (friend) => {
      this.calls.push(`remove ${friend}`);
      return true;
    },
    sendHandshake: async () => NO_OUTCOME,
    openChannel: async (id, friend, { role, frameBytes, tag, binding }) => {
      this.calls.push(`open ${id} ${friend} ${role} ${frameBytes} ${tag} ${binding.join()}`);
      if (this.openError !== undefined) throw this.openError;
      return true;
    },
    rebindChannel: async (id, binding) => {
      this.calls.push(`rebind ${id} ${binding.join()}`);
      return true;
    },
    closeChannel: async (id) => {
      this.calls.push(`close ${id}`);
      if (this.closeError !== undefined) throw this.closeError;
      return true;
    },
    channelStats: async () => undefined,
    stats: async () => ({
      wasmMemoryBytes: 0,
      datagramsIn: 0,
      datagramsOut: 0,
      datagramsDropped: 0,
      strangersDropped: 0,
      iterations: 0,
    }),
  };
  readonly rings: MainRings;
  /** The worker's end. */
  readonly far: WorkerRings;

  constructor(channels?: number) {
    super();
    const pair = allocateShared({ capacityBytes: 4096, ...(channels === undefined ? {} : { channels }) });
    this.rings = new MainRings(pair.main);
    this.far = new WorkerRings(pair.worker);
  }

  tell(event: WorkerEvent): void {
    this.emit('event', event);
  }

  keepProcess(keeps: boolean): void {
    this.calls.push(keeps ? 'ref' : 'unref');
  }

  async close(): Promise<void> {
    this.calls.push('closed');
    this.rings.close();
    this.far.close();
  }
}

async function started(link = new FakeLink(), options: Partial<ToxNodeOptions> = {}) {
  const lines: string[] = [];
  const node = await ToxNode.start({
    start: { kind: 'tunnel', udp: true, lanDiscovery: false },
    bootstrap: [{ host: 'n', port: 1, key: new Uint8Array(32) }],
    timers: new VirtualTimers(),
    logger: { log: (level, message) => lines.push(`${level} ${message}`) },
    spawn: () => link,
    ...options,
  });
  const told: string[] = [];
  node.on('path', (path) => told.push(`path ${path}`));
  node.on('friendPath', (friend, path) => told.push(`friend ${friend} ${path}`));
  node.on('friendRequest', (key) => told.push(`request ${key[0]}`));
  node.on('handshake', (friend, packet) => told.push(`handshake ${friend} ${packet.join(' ')}`));
  node.on('fatal', (error) => told.push(`fatal ${error.code}`));
  return { node, link, told, lines };
}

const startOf = (role: Role, tag: number) => ({ role, frameBytes: 1344, tag, binding: BINDING });
const HANDLERS = { frame: () => {}, flush: () => {}, room: () => {}, failed: () => {} };

test('events from before and right after the start of the worker reach the owner in order', async () => {
  const link = new FakeLink();
  link.early = [
    { type: 'log', level: 'info', message: 'starting' },
    { type: 'self-path', path: 'relay' },
    { type: 'friend-request', publicKey: Uint8Array.of(4), message: new Uint8Array(0) },
  ];
  const { node, told, lines } = await started(link);
  link.tell({ type: 'self-path', path: 'udp' });
  assert.deepEqual(told, [], 'an owner may attach its handlers in the turn in which start resolves');
  await turn();
  assert.deepEqual(told, ['path relay', 'request 4', 'path udp']);
  assert.deepEqual(lines, ['info starting']);
  assert.equal(node.path, 'udp');
  link.tell({ type: 'handshake', friend: 2, packet: Uint8Array.of(183, 1) });
  link.tell({ type: 'log', level: 'warn', message: 'later' });
  assert.equal(told.at(-1), 'handshake 2 183 1');
  assert.equal(lines.at(-1), 'warn later');
});

test('the latest path of a friend stays available until the friend is removed', async () => {
  const { node, link, told } = await started();
  await turn();
  assert.equal(node.friendPath(3), 'none');
  link.tell({ type: 'friend-path', friend: 3, path: 'udp', binding: undefined });
  assert.equal(node.friendPath(3), 'udp');
  assert.deepEqual(told, ['friend 3 udp']);
  await node.removeFriend(3);
  assert.equal(node.friendPath(3), 'none');
});

test('a Tox node joins through its bootstrap nodes, and stops once it is closed', async () => {
  const timers = new VirtualTimers();
  const { node, link, told } = await started(new FakeLink(), { timers });
  assert.deepEqual(link.calls, ['bootstrap 1']);
  await node.close();
  await node.close();
  link.emit('fatal', new TunnelError('ERR_WORKER_DIED', 'late'));
  await turn();
  assert.equal(timers.running, 0);
  assert.deepEqual(told, []);
  assert.deepEqual(link.calls, ['bootstrap 1', 'closed']);
});

test('a worker that cannot start is closed, and the caller gets its error', async () => {
  const link = new FakeLink();
  link.startError = new TunnelError('ERR_LISTEN', 'taken');
  await assert.rejects(started(link), link.startError);
  assert.deepEqual(link.calls, ['closed']);
});

test('the death of a worker is reported once, and the Tox node stops joining', async () => {
  const timers = new VirtualTimers();
  const { link, told } = await started(new FakeLink(), { timers });
  link.emit('fatal', new TunnelError('ERR_WORKER_DIED', 'crashed'));
  assert.deepEqual(told, ['fatal ERR_WORKER_DIED']);
  assert.equal(timers.running, 0);
});

test('a second Tox node takes descriptors from the budget and returns them however it ends', async () => {
  const budget = new DescriptorBudget(100, 1024, 40);
  const first = await started(new FakeLink(), { budget });
  assert.equal(budget.free, 100);
  const second = await started(new FakeLink(), { budget });
  assert.equal(budget.free, 60);

  const failing = new FakeLink();
  failing.startError = new TunnelError('ERR_LISTEN', 'taken');
  const rejected = assert.rejects(started(failing, { budget }), failing.startError);
  assert.equal(budget.free, 20, 'a starting Tox node counts');
  await rejected;
  assert.equal(budget.free, 60);
  const noWorker = () => assert.fail('no worker');
  await assert.rejects(started(new FakeLink(), { budget, spawn: noWorker }), /no worker/);
  assert.equal(budget.free, 60);

  second.link.emit('fatal', new TunnelError('ERR_WORKER_DIED', 'crashed'));
  await Promise.all([second.node.close(), second.node.close()]);
  assert.equal(budget.free, 100);
  await first.node.close();
  const last = await started(new FakeLink(), { budget });
  assert.equal(budget.free, 100);
  await last.node.close();
});

test('a channel receives its frames, writes into the ring under its id, and closes once', async () => {
  const { node, link } = await started();
  const heard: string[] = [];
  const sent: string[] = [];
  link.far.run({
    frame: (id, flags, frame) => sent.push(`${id} ${flags} ${frame.join(' ')}`),
    room: () => {},
  });
  const channel = await node.openChannel(5, startOf('listener', 99), {
    ...HANDLERS,
    frame: (frame) => heard.push(frame.join(' ')),
    failed: (error) => heard.push(error.code),
  });
  const opened = /^open (\d+) 5 listener 1344 99 7$/.exec(link.calls.at(-1) ?? '');
  const id = Number(opened?.[1]);
  link.far.write(id, Uint8Array.of(2, 3));
  channel.sink.reserve(3, true)?.fill(8);
  channel.sink.commit();
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.deepEqual(heard, ['2 3']);
  assert.deepEqual(sent, [`${id} ${FLAG_URGENT} 8 8 8`]);
  channel.rebind(Uint8Array.of(8));
  assert.equal(link.calls.at(-1), `rebind ${id} 8`);
  link.closeError = new TunnelError('ERR_WORKER_DIED', 'gone');
  await channel.close();
  assert.equal(link.calls.at(-1), `close ${id}`);
  link.far.write(id, Uint8Array.of(1));
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.deepEqual(heard, ['2 3']);
  await node.close();
});

test('a failing channel is notified, even before the call that opens it returns', async () => {
  const { node, link } = await started();
  await turn();
  const heard: string[] = [];
  const opening = node.openChannel(5, startOf('listener', 1), {
    ...HANDLERS,
    failed: (error) => heard.push(error.message),
  });
  const error = new TunnelError('ERR_PACKET_INVALID', 'nonsense', { remote: true });
  link.tell({ type: 'channel-failed', channel: 0, error: error.toWire() });
  await opening;
  assert.deepEqual(heard, [error.message]);
});

test('a new channel of a friend takes the slot of its older one, which a closing session may still hold', async () => {
  const { node, link } = await started(new FakeLink(1));
  const older = await node.openChannel(5, startOf('listener', 1), HANDLERS);
  const newer = await node.openChannel(5, startOf('listener', 2), HANDLERS);
  await older.close();
  await assert.rejects(node.openChannel(6, startOf('listener', 3), HANDLERS), { code: 'ERR_LIMIT' });
  await newer.close();
  await node.openChannel(6, startOf('listener', 3), HANDLERS);
  assert.equal(new Set(link.calls.filter((call) => call.startsWith('open '))).size, 3);
});

test('a friend may have a channel in each role, and closing one leaves the other', async () => {
  const { node, link } = await started(new FakeLink(2));
  const dialled = await node.openChannel(5, startOf('listener', 1), HANDLERS);
  await node.openChannel(5, startOf('connector', 2), HANDLERS);
  await dialled.close();
  await node.openChannel(5, startOf('connector', 3), HANDLERS);
  await node.openChannel(5, startOf('listener', 4), HANDLERS);
  await assert.rejects(node.openChannel(6, startOf('listener', 5), HANDLERS), { code: 'ERR_LIMIT' });
  assert.equal(link.calls.filter((call) => call.startsWith('close ')).length, 1);
});

test('a friend stays until every part of the program that uses it has removed it', async () => {
  const { node, link } = await started();
  assert.equal(node.shareFriend(3), undefined);
  await node.acceptFriend(Uint8Array.of(7));
  link.outcome = { code: 103, friend: 3 };
  assert.deepEqual(await node.addFriend(new Uint8Array(38), Uint8Array.of(1)), { code: 101, friend: 3 });
  assert.deepEqual(node.shareFriend(3), Uint8Array.of(7));
  await node.removeFriend(3);
  await node.removeFriend(3);
  assert.deepEqual(link.calls.slice(1), []);
  await node.removeFriend(3);
  assert.deepEqual(link.calls.slice(1), ['remove 3']);
  assert.equal(node.shareFriend(3), undefined);
  await node.close();
});

test('a friend that is added while its earlier user leaves is added again', async () => {
  const { node, link } = await started();
  let isFriend = false;
  Object.assign(link.worker, {
    addFriend: async () => {
      await turn();
      const outcome = { code: isFriend ? 103 : 101, friend: 3 } as const;
      isFriend = true;
      return outcome;
    },
    removeFriend: async () => {
      await turn();
      isFriend = false;
      return true;
    },
  });
  const add = () => node.addFriend(new Uint8Array(38), Uint8Array.of(1));
  const leaving = add().then(() => node.removeFriend(3));
  assert.deepEqual(await add(), { code: 101, friend: 3 });
  await leaving;
  assert.notEqual(node.shareFriend(3), undefined);
  assert.equal(isFriend, true);
  await node.removeFriend(3);
  const removing = node.removeFriend(3);
  assert.deepEqual(await add(), { code: 101, friend: 3 });
  await removing;
  assert.equal(isFriend, true);
  await node.close();
});

test('a friend that toxcore has and nobody here has added is an error', async () => {
  const { node, link } = await started();
  link.outcome = { code: 103, friend: 3 };
  assert.equal((await node.addFriend(new Uint8Array(38), Uint8Array.of(1))).code, 103);
  await node.close();
});

test('a channel that the worker refuses occupies no slot', async () => {
  const { node, link } = await started();
  link.openError = new TunnelError('ERR_CLOSED', 'leaving');
  for (let times = 0; times < 100; times++) {
    await assert.rejects(node.openChannel(5, startOf('listener', 1), HANDLERS), link.openError);
  }
});
