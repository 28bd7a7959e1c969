/** Two channels over two toxcores while UDP is blocked and unblocked. On virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Path } from '../../src/core/tox_network.js';
import { Relays } from '../../src/worker/bootstrap.js';
import { ReliableChannel } from '../../src/worker/channel/reliable_channel.js';
import { ChannelSet } from '../../src/worker/channel_set.js';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

const FRAME_BYTES = 1_300;
const CHANNEL = 1;
/** Maximum bytes of waiting frames; both ends always have some to send. */
const BACKLOG_BYTES = 16 * 1024;
const STEP_MS = 5;

/** A Tox user with a channel to its only friend, which sends numbered frames and records incoming ones. */
class End {
  readonly person: Person;
  readonly channels: ChannelSet;
  readonly paths: Path[] = [];
  readonly errors: string[] = [];
  /** How often the frame with each number arrived. */
  readonly received: number[] = [];
  receivedCount = 0;
  sent = 0;
  #nextMs = 0;

  constructor(world: ToxWorld) {
    this.person = world.person(
      {},
      {
        friendPath: (friend, path) => {
          this.paths.push(path);
          this.channels.pathChanged(friend, path);
        },
        lossyPacket: (friend, packet) => this.channels.receive(friend, packet),
      },
    );
    this.channels = new ChannelSet({
      createChannel: (host, options) => new ReliableChannel(host, options),
      rings: {
        write: (_id, frame) => {
          const number = new DataView(frame.buffer, frame.byteOffset).getUint32(0);
          this.received[number] = (this.received[number] ?? 0) + 1;
          this.receivedCount++;
          return true;
        },
        drained: () => {},
      },
      tox: this.person.tox,
      seek: (friend) => void this.person.tox.seekFriend(friend),
      nowMs: () => world.sim.nowMs,
      failed: (_id, error) => this.errors.push(error.message),
      wake: () => {
        this.#nextMs = Number.NEGATIVE_INFINITY;
      },
    });
  }

  open(seed: number): void {
    const options = { frameBytes: FRAME_BYTES, tag: 7, seed };
    const binding = this.person.tox.sessionBinding(0);
    assert.ok(binding !== undefined);
    assert.ok(this.channels.open(CHANNEL, 0, { ...options, role: 'listener', binding }));
  }

  /** @param busy whether there is more to send */
  turn(nowMs: number, busy: boolean): void {
    const channel = this.channels.get(CHANNEL);
    while (busy && channel !== undefined && channel.backlogBytes < BACKLOG_BYTES) {
      const frame = new Uint8Array(FRAME_BYTES);
      new DataView(frame.buffer).setUint32(0, this.sent++);
      this.channels.frame(CHANNEL, 0, frame);
    }
    if (this.#nextMs <= nowMs) this.#nextMs = this.channels.pump(nowMs);
  }
}

type Ends = readonly [End, End];

const pathsAre = (ends: Ends, path: Path): boolean =>
  ends.every(({ person }) => person.tox.friendPath(0) === path);

/** The form in which the simulated network names an IPv4 address. */
const hexIp = (ip: string): string => Buffer.from(ip.split('.').map(Number)).toString('hex');

/** The two join through a bootstrap node, become friends, connect directly, and know its relay as well. */
function meet(world: ToxWorld, ends: Ends, ip: string, key: Uint8Array): void {
  const [a, b] = ends;
  for (const { person } of ends) {
    person.tox.bootstrap(ip, UDP_PORT, key);
    person.tox.addRelay(ip, TCP_PORT, key);
  }
  world.run(() => ends.every(({ person }) => person.selfPaths.length > 0), 60_000);
  a.person.tox.addFriend(b.person.tox.address, Buffer.from('hello'));
  b.person.tox.acceptFriend(a.person.tox.publicKey);
  assert.ok(
    world.run(() => pathsAre(ends, 'udp'), 180_000),
    'the friends connect',
  );
  for (const [index, end] of ends.entries()) {
    const relays = new Relays();
    relays.add(ip, TCP_PORT, key);
    relays.giveTo(0, end.person.tox);
    end.open(index + 1);
  }
}

/** Makes both ends send as much as possible, or nothing new. */
function load(world: ToxWorld, ends: Ends, done: () => boolean, limitMs: number, busy = true): boolean {
  return world.run(
    () => {
      for (const end of ends) end.turn(world.sim.nowMs, busy);
      return done();
    },
    limitMs,
    STEP_MS,
  );
}

test('the relay stays available when the direct path fails soon after the start while UDP still reaches bootstrap nodes', () => {
  let blocked = false;
  let nodeIp = '';
  const world = new ToxWorld({
    // UDP fails only between the friends, as when one has moved behind another NAT; UDP to the bootstrap node
    // still works.
    drop: (_bytes, from, to) => blocked && ![from, to].some((end) => end.ip.endsWith(hexIp(nodeIp))),
    delayMs: 20,
  });
  const { ip, node } = world.node();
  nodeIp = ip;
  const ends = [new End(world), new End(world)] as const;
  meet(world, ends, ip, node.publicKey);
  const arrived = (): number => Math.min(...ends.map(({ receivedCount }) => receivedCount));

  blocked = true;
  assert.ok(
    load(world, ends, () => pathsAre(ends, 'relay'), 20_000),
    'the relay takes over',
  );
  for (let second = 0; second < 15; second++) {
    const before = arrived();
    load(world, ends, () => false, 1_000);
    assert.ok(second < 2 || arrived() > before, `frames arrive in second ${second}`);
  }
  for (const { paths } of ends)
    assert.ok(!paths.slice(paths.indexOf('udp')).includes('none'), paths.join(' '));
  world.close();
});

test('a switch from direct to relay and back under load loses and duplicates nothing, and nobody goes offline', () => {
  let blocked = false;
  const world = new ToxWorld({ drop: () => blocked, delayMs: 20 });
  const { ip, node } = world.node();
  const ends = [new End(world), new End(world)] as const;
  const [a, b] = ends;
  meet(world, ends, ip, node.publicKey);
  const arrived = (): number => Math.min(...ends.map(({ receivedCount }) => receivedCount));
  const arrivesMore = (): (() => boolean) => {
    const before = arrived();
    return () => arrived() >= before + 200;
  };

  assert.ok(load(world, ends, arrivesMore(), 10_000), 'direct');
  blocked = true;
  assert.ok(
    load(world, ends, () => pathsAre(ends, 'relay'), 20_000),
    'the relay takes over',
  );
  assert.ok(load(world, ends, arrivesMore(), 20_000), 'and it carries frames');
  load(world, ends, () => false, 20_000);
  blocked = false;
  assert.ok(
    load(world, ends, () => pathsAre(ends, 'udp'), 30_000),
    'direct again',
  );
  assert.ok(load(world, ends, arrivesMore(), 10_000));
  const whole = (): boolean => a.receivedCount >= b.sent && b.receivedCount >= a.sent;
  assert.ok(
    load(world, ends, whole, 30_000, false),
    `${a.receivedCount} of ${b.sent}, ${b.receivedCount} of ${a.sent}`,
  );

  for (const { received, errors, paths } of ends) {
    assert.ok(
      Array.from(received).every((times) => times === 1),
      'each frame once',
    );
    assert.deepEqual(errors, []);
    const since = paths.slice(paths.indexOf('udp'));
    assert.ok(!since.includes('none'), since.join(' '));
    assert.ok(since.includes('relay') && since.at(-1) === 'udp', since.join(' '));
  }
  world.close();
});
