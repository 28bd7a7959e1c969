import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { StartOptions, WorkerEvent } from '../../src/bridge/contract.js';
import { WorkerLink } from '../../src/bridge/worker_link.js';
import { TunnelError } from '../../src/core/errors.js';

const LOCAL = { bindAddress: '127.0.0.1', udpPorts: { from: 0, to: 0 }, lanDiscovery: false } as const;

/** A worker whose events can be awaited, including past ones. */
class Node {
  readonly link: WorkerLink;
  readonly events: WorkerEvent[] = [];
  #arrived: () => void = () => {};

  constructor(context: TestContext) {
    this.link = WorkerLink.spawn();
    context.after(() => this.link.close());
    this.link.on('event', (event) => {
      this.events.push(event);
      this.#arrived();
    });
  }

  /** Returns the first event that matches; each event is returned once. */
  async next<Type extends WorkerEvent['type']>(
    type: Type,
    fits: (event: Extract<WorkerEvent, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<WorkerEvent, { type: Type }>> {
    for (;;) {
      for (const [i, event] of this.events.entries()) {
        // Comparing the types has shown that this is of the type.
        const same = event.type === type ? (event as Extract<WorkerEvent, { type: Type }>) : undefined;
        if (same === undefined || !fits(same)) continue;
        this.events.splice(i, 1);
        return same;
      }
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }
}

async function startedBootstrap(context: TestContext) {
  const node = new Node(context);
  const started = await node.link.api.start({ kind: 'bootstrap', ...LOCAL, tcpPort: 0 });
  const address = {
    host: '127.0.0.1',
    port: started.udpPort,
    tcpPorts: [started.tcpPort],
    key: started.dhtKey,
  };
  return { node, started, address };
}

const TUNNEL: StartOptions = { kind: 'tunnel', udp: true, ...LOCAL };
const HELLO = Buffer.from('b70100010001c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c00540' + '00000000', 'hex');

/** Collects frames of `channel` until they have `bytes` bytes; returns their hash. */
function receiving(side: WorkerLink['side'], channel: number, bytes: number) {
  const hashes = new Map<number, Buffer>();
  let taken = 0;
  let room: () => void = () => {};
  const done = new Promise<string>((resolve) => {
    side.run({
      frame: (id, _flags, memory, offset, length) => {
        assert.equal(id, channel);
        const frame = Buffer.from(memory.subarray(offset, offset + length));
        hashes.set(frame.readUInt32BE(0), frame);
        taken += length;
        if (taken >= bytes) resolve(hashOf(hashes));
        return true;
      },
      ringRoom: () => room(),
      channelRoom: () => room(),
    });
  });
  const nextRoom = (): Promise<void> =>
    new Promise((resolve) => {
      room = resolve;
    });
  return { done, nextRoom };
}

/** Sorts frames, which may arrive in any order, by the number at their start. */
function hashOf(frames: ReadonlyMap<number, Buffer>): string {
  const hash = createHash('sha256');
  for (const [, frame] of [...frames].sort(([a], [b]) => a - b)) hash.update(frame);
  return hash.digest('hex');
}

async function sendFrames(
  side: WorkerLink['side'],
  channel: number,
  count: number,
  nextRoom: () => Promise<void>,
): Promise<string> {
  const frames = new Map<number, Buffer>();
  for (let i = 0; i < count; i++) {
    const frame = Buffer.alloc(1024, i);
    frame.writeUInt32BE(i);
    frames.set(i, frame);
    for (;;) {
      const room = nextRoom();
      if (side.tryWrite(channel, 0, frame)) break;
      await room;
    }
  }
  return hashOf(frames);
}

test('two workers become friends over a third, complete the handshake, and carry a megabyte each way', async (context) => {
  const { address } = await startedBootstrap(context);
  const listener = new Node(context);
  const connector = new Node(context);
  const listening = await listener.link.api.start(TUNNEL);
  assert.equal(listening.address.length, 38);
  await connector.link.api.start(TUNNEL);
  for (const { link } of [listener, connector]) {
    assert.deepEqual(await link.api.bootstrap([address]), { failed: [] });
  }

  const admission = { prefixes: [Buffer.from('let me')], keys: [], deniedKeys: [] };
  assert.equal(await listener.link.api.admitRequests(admission), true);

  const added = await connector.link.api.addFriend(listening.address, Buffer.from('let me in'));
  assert.equal(added.code, 101);
  assert.equal((await connector.link.api.addFriend(listening.address, Buffer.from('again'))).code, 103);
  assert.equal((await connector.link.api.sendHandshake(added.friend, HELLO)).code, 204);
  assert.equal((await connector.link.api.sendHandshake(added.friend + 1, HELLO)).code, 202);
  await assert.rejects(connector.link.api.addFriend(Buffer.alloc(5), HELLO), /38 bytes/);
  await assert.rejects(
    connector.link.api.sendHandshake(added.friend, Buffer.from('b705aa', 'hex')),
    TunnelError.is,
  );

  const request = await listener.next('friend-request');
  assert.equal(Buffer.from(request.message).toString(), 'let me in');
  const accepted = await listener.link.api.acceptFriend(request.publicKey);
  assert.equal(accepted.code, 101);
  await Promise.all([
    listener.next('friend-path', ({ path }) => path !== 'none'),
    connector.next('friend-path', ({ path }) => path !== 'none'),
  ]);

  assert.equal((await connector.link.api.sendHandshake(added.friend, HELLO)).code, 201);
  const hello = await listener.next('handshake');
  assert.equal(hello.friend, accepted.friend);
  assert.deepEqual(Buffer.from(hello.packet), HELLO);

  const count = 1024;
  assert.equal(await listener.link.api.openChannel(64, accepted.friend, 1024, 7), true);
  assert.equal(await connector.link.api.openChannel(65, added.friend, 1024, 7), true);
  const near = receiving(connector.link.side, 65, count * 1024);
  const far = receiving(listener.link.side, 64, count * 1024);
  // For a channel that does not exist: dropped, and its bytes returned.
  assert.equal(connector.link.side.tryWrite(3, 0, Buffer.alloc(100)), true);
  const [sentOut, sentBack] = await Promise.all([
    sendFrames(connector.link.side, 65, count, near.nextRoom),
    sendFrames(listener.link.side, 64, count, far.nextRoom),
  ]);
  assert.equal(await far.done, sentOut);
  assert.equal(await near.done, sentBack);

  const stats = await connector.link.api.channelStats(65);
  assert.equal(stats?.framesIn, count);
  assert.equal(await connector.link.api.closeChannel(65), true);
  assert.equal(await connector.link.api.channelStats(65), undefined);
  assert.equal((await connector.link.api.stats()).datagramsDropped, 0);

  await listener.link.close();
  const gone = await connector.next('friend-path', ({ path }) => path === 'none');
  assert.equal(gone.friend, added.friend);
  assert.equal(await connector.link.api.removeFriend(added.friend), true);
  assert.equal(await connector.link.api.removeFriend(added.friend), false);
});

test('a taken port is reported with its own error', async (context) => {
  const { started } = await startedBootstrap(context);
  const other = new Node(context);
  const udpPorts = { from: started.udpPort, to: started.udpPort };
  await assert.rejects(
    other.link.api.start({ ...TUNNEL, udpPorts }),
    (error) =>
      TunnelError.is(error) && error.code === 'ERR_LISTEN' && error.message.includes(`${started.udpPort}`),
  );
});
