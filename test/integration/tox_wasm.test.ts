import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOSSLESS_PACKET_ID, LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../src/core/packets.js';
import { SESSION_BINDING_BYTES } from '../../src/core/tox_network.js';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

/** Two Tox users who have become friends: `bob` accepted the request of `alice`. */
function befriended(world: ToxWorld, udp: boolean): { alice: Person; bob: Person } {
  const { ip, node } = world.node();
  const alice = world.person({ udp });
  const bob = world.person({ udp });
  for (const { tox } of [alice, bob]) {
    assert.equal(tox.bootstrap(ip, UDP_PORT, node.publicKey), true);
    assert.equal(tox.addRelay(ip, TCP_PORT, node.publicKey), true);
  }
  const connected = () => alice.selfPaths.length > 0 && bob.selfPaths.length > 0;
  assert.equal(world.run(connected, 60_000), true, 'both join the network');
  assert.deepEqual(alice.tox.addFriend(bob.tox.address, Buffer.from('hello')), { kind: 'added', friend: 0 });
  assert.equal(
    world.run(() => bob.requests.length > 0, 120_000),
    true,
    'the request arrives',
  );
  const request = bob.requests[0]!;
  assert.equal(request.message, 'hello');
  assert.deepEqual(request.publicKey, alice.tox.publicKey);
  assert.deepEqual(bob.tox.acceptFriend(request.publicKey), { kind: 'added', friend: 0 });
  const online = () => alice.tox.friendPath(0) !== 'none' && bob.tox.friendPath(0) !== 'none';
  assert.equal(world.run(online, 120_000), true, 'the friends connect');
  return { alice, bob };
}

function packet(id: number, number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(number & 0xff);
  bytes[0] = id;
  new DataView(bytes.buffer).setUint32(1, number);
  return bytes;
}

/** Sends 1000 packets each way, of every possible length, and returns what arrived at `bob` and `alice`. */
function exchange(world: ToxWorld, { alice, bob }: { alice: Person; bob: Person }): void {
  const sent: Uint8Array[] = [];
  for (let number = 0; number < 1000; number++) {
    sent.push(packet(0, number, number === 999 ? MAX_PACKET_BYTES : 5 + ((number * 37) % 1369)));
  }
  const withId = (id: number) =>
    sent.map((bytes) => {
      const copy = bytes.slice();
      copy[0] = id;
      return copy;
    });
  for (const [from, to] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    for (const [index, lossy] of withId(LOSSY_PACKET_ID).entries()) {
      world.run(() => from.tox.sendLossy(0, lossy) === 'sent', 10_000, 5);
      // A relay drops packets for which its client has no room, so give the client time to take them.
      if (index % 100 === 99) world.run(() => false, 20, 5);
    }
    for (const lossless of withId(LOSSLESS_PACKET_ID)) {
      world.run(() => from.tox.sendLossless(0, lossless) === 'sent', 10_000, 5);
    }
    const all = () => to.lossless.length === 1000 && to.lossy.length === 1000;
    assert.equal(
      world.run(all, 60_000),
      true,
      `${to.lossless.length} and ${to.lossy.length} of 1000 arrived`,
    );
    assert.deepEqual(to.lossless, withId(LOSSLESS_PACKET_ID));
    assert.deepEqual(to.lossy, withId(LOSSY_PACKET_ID));
  }
}

test('two friends connect over UDP through a bootstrap node, and 1000 packets of either kind arrive intact each way', () => {
  const world = new ToxWorld();
  const friends = befriended(world, true);
  assert.equal(friends.alice.tox.udpPort, UDP_PORT);
  assert.equal(
    world.run(() => friends.alice.tox.friendPath(0) === 'udp', 60_000),
    true,
  );
  exchange(world, friends);
  assert.deepEqual(friends.alice.friendPaths.at(-1), [0, 'udp']);
  world.close();
  for (const { host } of [...world.nodes, ...world.people]) assert.equal(host.openSockets, 0);
});

test('without UDP they connect through the TCP relay, and lose nothing there', () => {
  const world = new ToxWorld();
  const friends = befriended(world, false);
  assert.equal(friends.alice.tox.udpPort, 0);
  assert.equal(friends.bob.selfPaths.at(-1), 'relay');
  assert.equal(friends.alice.tox.friendPath(0), 'relay');
  exchange(world, friends);
  world.close();
  for (const { host } of [...world.nodes, ...world.people]) assert.equal(host.openSockets, 0);
});

test('a poll reads the waiting datagrams without an iteration', () => {
  const world = new ToxWorld();
  const { alice, bob } = befriended(world, true);
  world.run(() => alice.tox.friendPath(0) === 'udp' && bob.tox.friendPath(0) === 'udp', 60_000);
  assert.equal(alice.tox.sendLossy(0, packet(LOSSY_PACKET_ID, 7, 100)), 'sent');
  bob.tox.poll();
  assert.equal(bob.lossy.length, 0, 'it is in flight');
  world.sim.nowMs += world.sim.delayMs;
  bob.tox.poll();
  assert.deepEqual(bob.lossy, [packet(LOSSY_PACKET_ID, 7, 100)]);
  world.close();
});

test('both ends of a Tox session know the same binding, and another session has another', () => {
  const bindings = [0, 1].map((others) => {
    const world = new ToxWorld();
    // Another world would have the same random numbers.
    for (let i = 0; i < others; i++) world.person();
    const { alice, bob } = befriended(world, true);
    const binding = Buffer.from(alice.tox.sessionBinding(0) ?? []);
    assert.equal(binding.length, SESSION_BINDING_BYTES);
    assert.deepEqual(Buffer.from(bob.tox.sessionBinding(0) ?? []), binding);
    assert.equal(alice.tox.sessionBinding(1), undefined);
    bob.tox.deleteFriend(0);
    assert.equal(bob.tox.sessionBinding(0), undefined);
    world.close();
    return binding.toString('hex');
  });
  assert.notEqual(bindings[0], bindings[1]);
});

test('sending distinguishes a stranger, an offline friend and an invalid packet', () => {
  const world = new ToxWorld();
  const alice = world.person();
  const bob = world.person();
  const bytes = packet(LOSSY_PACKET_ID, 1, 10);
  assert.equal(alice.tox.sendLossy(0, bytes), 'not-a-friend');
  assert.equal(alice.tox.friendPath(0), 'none');
  assert.deepEqual(alice.tox.acceptFriend(bob.tox.publicKey), { kind: 'added', friend: 0 });
  assert.equal(alice.tox.sendLossy(0, bytes), 'offline');
  assert.equal(alice.tox.sendLossless(0, packet(LOSSLESS_PACKET_ID, 1, 10)), 'offline');
  assert.equal(alice.tox.sendLossy(0, new Uint8Array(0)), 'failed');
  assert.equal(alice.tox.sendLossy(0, packet(LOSSY_PACKET_ID, 1, MAX_PACKET_BYTES + 1)), 'failed');
  assert.equal(alice.tox.sendLossless(0, packet(LOSSLESS_PACKET_ID, 1, 5000)), 'failed');
  world.close();
});

test('adding a friend reports invalid keys and friends that already exist', () => {
  const world = new ToxWorld();
  const alice = world.person();
  const bob = world.person();
  const hello = Buffer.from('hello');
  const mistyped = bob.tox.address.slice();
  mistyped[37] = mistyped[37]! ^ 1;
  const reason = (outcome: ReturnType<typeof alice.tox.addFriend>) =>
    outcome.kind === 'failed' ? outcome.reason : outcome.kind;
  assert.match(reason(alice.tox.addFriend(mistyped, hello)), /checksum/);
  assert.match(reason(alice.tox.addFriend(alice.tox.address, hello)), /our own key/);
  assert.match(reason(alice.tox.addFriend(bob.tox.address, Buffer.alloc(0))), /empty/);
  assert.match(reason(alice.tox.addFriend(bob.tox.address, Buffer.alloc(922))), /921 bytes/);
  assert.match(reason(alice.tox.addFriend(bob.tox.address.subarray(1), hello)), /38 bytes, not 37/);
  assert.match(reason(alice.tox.acceptFriend(new Uint8Array(31))), /32 bytes, not 31/);
  assert.deepEqual(alice.tox.addFriend(bob.tox.address, Buffer.alloc(921, 'x')), {
    kind: 'added',
    friend: 0,
  });
  assert.deepEqual(alice.tox.addFriend(bob.tox.address, hello), { kind: 'already', friend: 0 });
  assert.deepEqual(alice.tox.acceptFriend(bob.tox.publicKey), { kind: 'already', friend: 0 });
  const renamed = world.person({ secretKey: bob.tox.secretKey, nospam: Uint8Array.of(1, 2, 3, 4) });
  assert.deepEqual(alice.tox.addFriend(renamed.tox.address, hello), { kind: 'already', friend: 0 });
  assert.equal(alice.tox.deleteFriend(0), true);
  assert.equal(alice.tox.deleteFriend(0), false);
  assert.deepEqual(alice.tox.acceptFriend(bob.tox.publicKey), { kind: 'added', friend: 0 });
  world.close();
});

test('an identity returns with its secret key and nospam, and without any friend of the earlier run', () => {
  const world = new ToxWorld();
  const first = world.person();
  first.tox.acceptFriend(world.person().tox.publicKey);
  const { secretKey, address } = first.tox;
  const again = world.person({ secretKey, nospam: address.slice(32, 36) });
  assert.deepEqual(again.tox.address, address);
  assert.deepEqual(again.tox.publicKey, first.tox.publicKey);
  assert.deepEqual(again.tox.secretKey, secretKey);
  assert.notDeepEqual(again.tox.dhtId, first.tox.dhtId);
  assert.equal(again.tox.deleteFriend(0), false);
  const other = world.person({ secretKey, nospam: Uint8Array.of(1, 2, 3, 4) });
  assert.deepEqual([...other.tox.address.subarray(32, 36)], [1, 2, 3, 4]);
  world.close();
});

test('a bootstrap node keeps its key, and answers under it', () => {
  const world = new ToxWorld();
  const secretKey = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const first = world.node(secretKey);
  const second = world.node();
  assert.deepEqual(first.node.secretKey, secretKey);
  assert.notDeepEqual(second.node.secretKey, secretKey);
  assert.equal(second.node.isConnected(), false);
  assert.equal(second.node.bootstrap(first.ip, UDP_PORT, first.node.publicKey), true);
  assert.equal(
    world.run(() => second.node.isConnected() && first.node.isConnected(), 60_000),
    true,
  );
  world.close();
});

test('a bootstrap node sends its info in fewer bytes than the request had', () => {
  const world = new ToxWorld();
  const { ip, node } = world.node();
  const { host } = world.machine();
  const socket = host.socket(2, 2);
  host.bind(socket, { family: 2, bytes: new Uint8Array(16), port: 5000 });
  const answer = new Uint8Array(2048);
  const from = { family: 2 as const, bytes: new Uint8Array(16), port: 0 };
  for (const length of [77, 78, 79]) {
    const request = new Uint8Array(length);
    request[0] = 0xf0;
    host.inject(request, 5000, { ip, port: UDP_PORT });
  }
  world.sim.nowMs += 10;
  node.poll();
  world.sim.nowMs += 10;
  const length = host.recvFrom(socket, answer, from);
  assert.deepEqual([...answer.subarray(0, 5)], [0xf0, 0, 0, 7, 0xe6], 'version 0.2.22 as 2022');
  assert.equal(Buffer.from(answer.subarray(5, length)).toString(), 'tox-wasm-tunnel\0');
  assert.equal(from.port, UDP_PORT);
  assert.equal(host.recvFrom(socket, answer, from), -1, 'only the request of 78 bytes is valid');
  world.close();
});
