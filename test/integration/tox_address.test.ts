/** The IP address of an end changes while two friends talk. On virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LOSSY_PACKET_ID } from '../../src/core/packets.js';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

/**
 * A DHT ping request and its length. Source: NET_PACKET_PING_REQUEST, toxcore/network.h; DHT_PING_SIZE,
 * toxcore/ping.c.
 */
const PING_REQUEST = 0;
const PING_BYTES = 82;

interface Sent {
  readonly bytes: Uint8Array;
  readonly from: string;
  readonly to: string;
}

const hexOf = (ip: string): string => Buffer.from(ip.split('.').map(Number)).toString('hex');

class MovingWorld {
  readonly sent: Sent[] = [];
  readonly world: ToxWorld;
  readonly alice: Person;
  readonly bob: Person;
  #network: string;

  /** @param crowd other nodes of the network: with many, toxcore's list of close nodes is full */
  constructor(network: string, crowd = 0) {
    this.#network = network;
    const drop = (bytes: Uint8Array, from: { ip: string }, to: { ip: string }): boolean => {
      this.sent.push({ bytes: bytes.slice(), from: from.ip, to: to.ip });
      return false;
    };
    this.world = new ToxWorld({ drop }, network);
    const { ip, node } = this.world.node();
    for (let i = 0; i < crowd; i++) this.world.node().node.bootstrap(ip, UDP_PORT, node.publicKey);
    this.alice = this.world.person();
    this.bob = this.world.person();
    for (const { tox } of [this.alice, this.bob]) {
      tox.bootstrap(ip, UDP_PORT, node.publicKey);
      tox.addRelay(ip, TCP_PORT, node.publicKey);
    }
    assert.ok(this.world.run(() => this.alice.selfPaths.length > 0 && this.bob.selfPaths.length > 0, 60_000));
    this.alice.tox.addFriend(this.bob.tox.address, Buffer.from('hello'));
    this.bob.tox.acceptFriend(this.alice.tox.publicKey);
    const direct = (): boolean =>
      this.alice.tox.friendPath(0) === 'udp' && this.bob.tox.friendPath(0) === 'udp';
    assert.ok(this.world.run(direct, 180_000), 'the friends connect');
    this.talk(30_000);
  }

  /** Both send a packet every 20 ms for this long. @returns how many arrived at alice, and at bob */
  talk(ms: number): readonly [number, number] {
    const before = [this.alice.lossy.length, this.bob.lossy.length] as const;
    this.world.run(() => {
      for (const { tox } of [this.alice, this.bob]) tox.sendLossy(0, Uint8Array.of(LOSSY_PACKET_ID, 1));
      return false;
    }, ms);
    return [this.alice.lossy.length - before[0], this.bob.lossy.length - before[1]];
  }

  move(person: Person, last: number): void {
    this.world.sim.move(person.host, `${this.#network}.${last}`);
  }
}

describe("a friend's address", () => {
  // The silence is too short for bob's own requests to nodes, which would reveal the new address, and long
  // enough for an address on the LAN to count as silent.
  for (const [what, network, crowd, silenceMs] of [
    ['on the public network', '198.51.100', 0, 200],
    ['on the public network, among many nodes', '198.51.100', 40, 200],
    ['on the local network', '10.77.0', 0, 1_000],
  ] as const) {
    test(`that changes ${what} is found after one ping from the new address`, () => {
      const { world, alice, bob, ...moving } = spread(new MovingWorld(network, crowd));
      moving.move(bob, 200);
      const [, astray] = moving.talk(silenceMs);
      assert.ok(astray <= 1, `${astray} packets were in flight`);
      assert.equal(bob.tox.seekFriend(0), true);
      moving.talk(100);
      const [toAlice, toBob] = moving.talk(1_000);
      assert.ok(toBob >= 45 && toAlice >= 45, `${toAlice} and ${toBob} of 50 arrive`);
      assert.deepEqual(alice.friendPaths.at(-1), [0, 'udp']);
      world.close();
    });
  }

  test('does not move when somebody else replays its ping', () => {
    const { world, alice, bob, ...moving } = spread(new MovingWorld('198.51.100'));
    const { sent } = moving;
    sent.length = 0;
    assert.equal(bob.tox.seekFriend(0), true);
    const ping = sent.find(({ bytes }) => bytes[0] === PING_REQUEST && bytes.length === PING_BYTES);
    assert.ok(ping !== undefined && ping.to === alice.host.ip);
    const { host: thief, ip } = world.machine();
    const alicesIp = [...Buffer.from(alice.host.ip, 'hex')].join('.');
    sent.length = 0;
    for (let i = 0; i < 100; i++) thief.inject(ping.bytes, UDP_PORT, { ip: alicesIp, port: UDP_PORT });
    const [toAlice, toBob] = moving.talk(1_000);
    assert.ok(toBob >= 49 && toAlice >= 49, `${toAlice} and ${toBob} of 50 arrive`);
    const toThief = sent.filter(({ to }) => to === hexOf(ip));
    assert.ok(
      toThief.every(({ bytes }) => bytes.length === PING_BYTES),
      'no packet is between the friends',
    );
    const answers = 100;
    assert.ok(toThief.length > answers && toThief.length <= answers + 2 * 8, `${toThief.length} packets`);
    world.close();
  });

  test('that is unknown cannot be pinged', () => {
    const world = new ToxWorld();
    const alice = world.person();
    const bob = world.person();
    assert.equal(alice.tox.seekFriend(0), false);
    alice.tox.acceptFriend(bob.tox.publicKey);
    assert.equal(alice.tox.seekFriend(0), false);
    world.close();
  });
});

function spread(moving: MovingWorld) {
  const { world, alice, bob, sent } = moving;
  return {
    world,
    alice,
    bob,
    sent,
    talk: (ms: number) => moving.talk(ms),
    move: (person: Person, last: number) => moving.move(person, last),
  };
}
