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
  const started = await node.link.worker.start({ kind: 'bootstrap', ...LOCAL, tcpPort: 0 });
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

/** A channel that takes frames until there are `bytes` of them; `done` resolves with their hash. */
function receiving(rings: WorkerLink['rings'], bytes: number) {
  const hashes = new Map<number, Buffer>();
  let taken = 0;
  let room: () => void = () => {};
  let done: (hash: string) => void = () => {};
  const whole = new Promise<string>((resolve) => {
    done = resolve;
  });
  const channel = rings.open({
    frame: (view) => {
      const frame = Buffer.from(view);
      hashes.set(frame.readUInt32BE(0), frame);
      taken += frame.length;
      if (taken >= bytes) done(hashOf(hashes));
    },
    flush: () => {},
    room: () => room(),
    failed: (error) => assert.fail(error),
  });
  const nextRoom = (): Promise<void> =>
    new Promise((resolve) => {
      room = resolve;
    });
  return { channel, done: whole, nextRoom };
}

/** Sorts frames, which may arrive in any order, by the number at their start. */
function hashOf(frames: ReadonlyMap<number, Buffer>): string {
  const hash = createHash('sha256');
  for (const [, frame] of [...frames].sort(([a], [b]) => a - b)) hash.update(frame);
  return hash.digest('hex');
}

async function sendFrames(
  { channel, nextRoom }: ReturnType<typeof receiving>,
  count: number,
): Promise<string> {
  const frames = new Map<number, Buffer>();
  for (let i = 0; i < count; i++) {
    const frame = Buffer.alloc(1024, i);
    frame.writeUInt32BE(i);
    frames.set(i, frame);
    for (;;) {
      const room = nextRoom();
      const out = channel.reserve(frame.length, false);
      if (out === undefined) {
        await room;
        continue;
      }
      out.set(frame);
      channel.commit();
      break;
    }
  }
  return hashOf(frames);
}

test('two workers become friends over a third, complete the handshake, and carry a megabyte each way', async (context) => {
  const { address } = await startedBootstrap(context);
  const listener = new Node(context);
  const connector = new Node(context);
  const listening = await listener.link.worker.start(TUNNEL);
  assert.equal(listening.address.length, 38);
  await connector.link.worker.start(TUNNEL);
  for (const { link } of [listener, connector]) {
    assert.deepEqual(await link.worker.bootstrap([address]), { failed: [] });
  }

  const admission = { prefixes: [Buffer.from('let me')], keys: [], deniedKeys: [] };
  await listener.link.worker.admitRequests(admission);

  const added = await connector.link.worker.addFriend(listening.address, Buffer.from('let me in'));
  assert.equal(added.code, 101);
  // It is a friend already: this only sets the request that it is asked again with.
  const again = await connector.link.worker.addFriend(listening.address, Buffer.from('let me in'));
  assert.deepEqual(again, { code: 103, friend: added.friend });
  assert.equal((await connector.link.worker.sendHandshake(added.friend, HELLO)).code, 204);
  assert.equal((await connector.link.worker.sendHandshake(added.friend + 1, HELLO)).code, 202);
  const short = await connector.link.worker.addFriend(Buffer.alloc(5), HELLO);
  assert.equal(short.code, 102);
  assert.match(short.reason ?? '', /38 bytes/);
  await assert.rejects(
    connector.link.worker.sendHandshake(added.friend, Buffer.from('b705aa', 'hex')),
    TunnelError.is,
  );

  const request = await listener.next('friend-request');
  assert.equal(Buffer.from(request.message).toString(), 'let me in');
  const accepted = await listener.link.worker.acceptFriend(request.publicKey);
  assert.equal(accepted.code, 101);
  const [{ binding = new Uint8Array(0) }] = await Promise.all([
    listener.next('friend-path', ({ path }) => path !== 'none'),
    connector.next('friend-path', ({ path }) => path !== 'none'),
  ]);

  assert.equal((await connector.link.worker.sendHandshake(added.friend, HELLO)).code, 201);
  const hello = await listener.next('handshake');
  assert.equal(hello.friend, accepted.friend);
  assert.deepEqual(Buffer.from(hello.packet), HELLO);

  const count = 1024;
  const near = receiving(connector.link.rings, count * 1024);
  const far = receiving(listener.link.rings, count * 1024);
  const start = { frameBytes: 1024, tag: 7, binding };
  assert.equal(
    await listener.link.worker.openChannel(far.channel.id, accepted.friend, { role: 'listener', ...start }),
    true,
  );
  assert.equal(
    await connector.link.worker.openChannel(near.channel.id, added.friend, { role: 'connector', ...start }),
    true,
  );
  // The worker drops a frame of an unknown channel and counts its bytes as drained.
  const stray = receiving(connector.link.rings, 1).channel;
  stray.reserve(100, false);
  stray.commit();
  const [sentOut, sentBack] = await Promise.all([sendFrames(near, count), sendFrames(far, count)]);
  assert.equal(await far.done, sentOut);
  assert.equal(await near.done, sentBack);

  const stats = await connector.link.worker.channelStats(near.channel.id);
  assert.equal(stats?.framesIn, count);
  assert.equal(await connector.link.worker.closeChannel(near.channel.id), true);
  assert.equal(await connector.link.worker.channelStats(near.channel.id), undefined);
  assert.equal((await connector.link.worker.stats()).datagramsDropped, 0);

  await listener.link.close();
  const gone = await connector.next('friend-path', ({ path }) => path === 'none');
  assert.equal(gone.friend, added.friend);
  assert.equal(await connector.link.worker.removeFriend(added.friend), true);
  assert.equal(await connector.link.worker.removeFriend(added.friend), false);
});

test('a taken port is reported with its own error', async (context) => {
  const { started } = await startedBootstrap(context);
  const other = new Node(context);
  const udpPorts = { from: started.udpPort, to: started.udpPort };
  await assert.rejects(
    other.link.worker.start({ ...TUNNEL, udpPorts }),
    (error) =>
      TunnelError.is(error) && error.code === 'ERR_LISTEN' && error.message.includes(`${started.udpPort}`),
  );
});
