import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packetKind } from '../../src/mux/wire/handshake.js';
import { hello, ListenerBench, PING, uuid } from '../support/peer_bench.js';
import { KEYS, PeerWorld } from '../support/peer_world.js';

const kinds = (packets: readonly Uint8Array[]): (number | undefined)[] => packets.map(packetKind);
const [HELLO, WELCOME, REFUSE, CHALLENGE] = [1, 2, 3, 4];

test('a connector with a ticket is challenged once, and after an outage proves itself at once', async () => {
  const world = new PeerWorld({ patienceMs: 60_000 });
  await world.online();
  assert.deepEqual(kinds(world.connector.node.sent), [HELLO, HELLO]);
  assert.deepEqual(kinds(world.listener.node.sent), [CHALLENGE, WELCOME]);
  assert.equal(world.listener.grants.at(-1)?.name, 'default');
  await world.outage();
  const next = new Uint8Array(32).fill(0xb2);
  for (const end of [world.connector, world.listener]) end.node.binding = next;
  await world.online();
  assert.deepEqual(kinds(world.connector.node.sent), [HELLO, HELLO, HELLO]);
  assert.deepEqual(kinds(world.listener.node.sent), [CHALLENGE, WELCOME, WELCOME]);
});

// It has the Tox key of either end, and so the Tox session, but not the ticket.
for (const end of ['listener', 'connector'] as const) {
  test(`frames of whoever has the next Tox session do not resume the session of a ${end} without a proof`, async () => {
    const world = new PeerWorld({ patienceMs: 60_000 });
    await world.online();
    const { node, peer } = world[end];
    const proven = node.newest.binding;
    await world.outage();
    node.binding = new Uint8Array(32).fill(0xb2);
    peer.friendPath('udp');
    node.newest.deliver(PING);
    await world.pass(1_000);
    assert.equal(peer.isOnline, false);
    assert.equal(node.newest.binding, proven, 'so the worker sends and takes nothing');
    world[end === 'listener' ? 'connector' : 'listener'].node.binding = node.binding;
    peer.friendPath('none');
    await world.online();
    assert.ok(peer.isOnline);
    assert.equal(node.newest.binding, node.binding);
    assert.equal(node.channels.length, 1, 'the same session goes on');
  });
}

test('a rotated ticket opens no session: the connector learns why, and gives up', async () => {
  const world = new PeerWorld({});
  world.access.rotate();
  await world.online();
  assert.deepEqual(kinds(world.listener.node.sent), [CHALLENGE, REFUSE]);
  assert.deepEqual(world.listener.node.channels, []);
  assert.match(world.connector.failures[0]?.message ?? '', /this ticket is not valid here, or no longer/);
});

test('a connector whose ticket was revoked is disconnected, reports it, and gives up', async () => {
  const world = new PeerWorld({});
  await world.online();
  world.access.rotate();
  void world.listener.peer.close('not-allowed');
  await world.pass(3_000);
  assert.match(world.connector.failures[0]?.message ?? '', /ticket was replaced or revoked/);
  const hellos = world.connector.node.sent.length;
  await world.pass(60_000);
  assert.equal(world.connector.node.sent.length, hellos);
});

// It holds a Tox session with each end, by the stolen Tox key of one of them, and passes all packets on.
test('whoever stands between two Tox sessions gets neither end to open a channel', async () => {
  const world = new PeerWorld({});
  world.listener.node.binding = new Uint8Array(32).fill(0xb2);
  await world.online();
  await world.pass(20_000);
  assert.ok(world.connector.node.sent.length > 5);
  assert.deepEqual(new Set(kinds(world.listener.node.sent)), new Set([CHALLENGE]));
  assert.deepEqual([world.listener.node.channels, world.connector.node.channels], [[], []]);
});

test('a recorded hello replayed by a friend with another key, or in another session, opens nothing', async () => {
  const world = new PeerWorld({});
  await world.online();
  const recorded = world.connector.node.sent[1]!;
  const thief = { connector: new Uint8Array(32).fill(0xbb), listener: KEYS.listener };
  for (const keys of [thief, KEYS]) {
    const other = new ListenerBench({
      onHello: (proof, sessions, resumes) => world.access.hello(proof, keys, sessions, resumes),
    });
    other.peer.friendPath('udp');
    for (let times = 0; times < 20; times++) await other.peer.handshake(recorded);
    await other.pass(0);
    assert.deepEqual(new Set(kinds(other.node.sent)), new Set([CHALLENGE]));
    assert.deepEqual([other.node.channels.length, other.grants.length, other.peer.hasMet], [0, 0, false]);
  }
});

test('a hello without any proof neither opens a session nor harms the existing one', async () => {
  const world = new PeerWorld({});
  await world.online();
  const { session } = world.connector;
  world.listener.node.sent.length = 0;
  for (const byte of [0xd0, 0xd1]) await world.listener.peer.handshake(hello(uuid(byte)));
  await world.pass(100);
  assert.deepEqual(kinds(world.listener.node.sent), [REFUSE, REFUSE]);
  await world.pass(20_000);
  assert.equal(world.connector.session, session);
  assert.ok(world.connector.peer.isOnline && world.listener.peer.isOnline);
  assert.equal(world.listener.node.channels.length, 1);
});

test('a listener that repeats its challenge forever gets hellos no faster than their repeat interval', async () => {
  const world = new PeerWorld({});
  // As if the connector had another secret under the same key id.
  const { access } = world;
  const honest = access.hello.bind(access);
  access.hello = (proof, keys, sessions, resumes) => {
    const forged = proof?.slice();
    if (forged !== undefined && forged.length > 8) forged[20]! ^= 1;
    return honest(forged, keys, sessions, resumes);
  };
  await world.online();
  await world.pass(29_000);
  assert.ok(world.connector.node.sent.length <= 12, `${world.connector.node.sent.length} hellos in 30 s`);
  assert.deepEqual(world.listener.node.channels, []);
});
