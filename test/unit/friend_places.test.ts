import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../src/bridge/tox_node.js';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_PEERS } from '../../src/core/limits.js';
import type { Path } from '../../src/core/tox_network.js';
import { FriendPlaces, type Place } from '../../src/peer/friend_places.js';
import { turn } from '../support/fake_node.js';
import { BY_KEY } from '../support/peer_bench.js';

/** A peer whose state the test sets. */
class FakePeer {
  hasMet = true;
  idleMs = 0;
  isIdle = false;
  readonly paths: Path[] = [];
  readonly packets: Uint8Array[] = [];
  closedAs: string | undefined;
  readonly traffic = { bytesIn: 3, bytesOut: 5, datagramsIn: 7, datagramsOut: 11, datagramsDropped: 13 };

  idleFor(ms: number): void {
    this.isIdle = true;
    this.idleMs = ms;
  }

  friendPath(path: Path): void {
    this.paths.push(path);
  }

  async handshake(packet: Uint8Array): Promise<void> {
    await turn();
    this.packets.push(packet);
  }

  async close(reason: string): Promise<void> {
    this.closedAs = reason;
    await turn();
  }
}

function bench(maxPeers = MAX_PEERS) {
  const peers = new Map<number, FakePeer>();
  const removed: number[] = [];
  const accepted: number[] = [];
  const answers: string[] = [];
  /** Public keys of peers that may not stay. */
  const out = new Set<string>();
  const lines: string[] = [];
  const node = {
    outcome: undefined as Outcome | undefined,
    error: undefined as Error | undefined,
    path: 'none' as Path,
    worker: {
      acceptFriend: async (key: Uint8Array): Promise<Outcome> => {
        await turn();
        if (node.error !== undefined) throw node.error;
        accepted.push(key[0]!);
        return node.outcome ?? { code: 101, friend: key[0]! };
      },
    },
    removeFriend: async (friend: number) => {
      await turn();
      if (node.error !== undefined) throw node.error;
      removed.push(friend);
      return true;
    },
    friendPath: () => node.path,
  };
  const places = new FriendPlaces({
    node,
    maxPeers,
    logger: { log: (level, message) => lines.push(`${level} ${message}`) },
    onAnswer: (publicKey, { code }) => answers.push(`${publicKey} ${code}`),
    mayStay: (grant, publicKey) => !out.has(publicKey) && grant === BY_KEY,
    newPlace: (friend, publicKey, grant): Place => {
      const peer = new FakePeer();
      peers.set(friend, peer);
      return {
        peer,
        publicKey,
        grant,
        info: () => assert.fail('nobody asks'),
        close: () => lines.push(`closed ${friend}`),
      };
    },
  });
  return { places, node, peers, removed, accepted, answers, lines, out };
}

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

async function full() {
  const all = bench();
  for (let i = 0; i < MAX_PEERS; i++) await all.places.request(key(i), BY_KEY);
  assert.equal(all.peers.size, MAX_PEERS);
  return all;
}

test('an accepted request routes the events of its friend to its peer', async () => {
  const { places, node, peers, answers } = bench();
  node.path = 'relay';
  await places.request(key(0xab), BY_KEY);
  assert.deepEqual(answers, [`${'AB'.repeat(32)} 101`]);
  const peer = peers.get(0xab);
  assert.ok(peer !== undefined);
  assert.deepEqual(peer.paths, ['relay'], 'it came online before its number was known');
  places.friendPath(0xab, 'udp');
  places.friendPath(1, 'udp');
  await places.handshake(0xab, key(1));
  await places.handshake(1, key(1));
  assert.deepEqual(peer.paths, ['relay', 'udp']);
  assert.equal(peer.packets.length, 1);
});

test('a request that toxcore rejects is reported, and takes no place', async () => {
  const { places, node, peers, answers } = bench();
  node.outcome = { code: 102, friend: -1, reason: 'no memory' };
  await places.request(key(1), BY_KEY);
  assert.deepEqual([peers.size, answers.length], [0, 1]);
});

test('concurrent requests are accepted one after the other, each key once', async () => {
  const { places, accepted } = bench();
  await Promise.all([1, 2, 2, 3].map((byte) => places.request(key(byte), BY_KEY)));
  await turn();
  await turn();
  assert.deepEqual(accepted, [1, 2, 3]);
});

test('without a free place a request waits for an idle peer, which is reported once', async () => {
  const { places, peers, accepted, removed, lines } = await full();
  await places.request(key(100), BY_KEY);
  await places.request(key(101), BY_KEY);
  assert.deepEqual(accepted.length, MAX_PEERS);
  assert.deepEqual(lines, ['warn 64 peers are connected: further friend requests must wait']);
  peers.get(7)?.idleFor(10);
  await places.seat();
  assert.deepEqual([accepted.slice(MAX_PEERS), removed], [[100], [7]]);
  assert.equal(peers.get(7)?.closedAs, 'limit');
  assert.ok(lines.includes('closed 7'));
  peers.get(9)?.idleFor(10);
  await places.seat();
  assert.deepEqual(
    [accepted.slice(MAX_PEERS), removed],
    [
      [100, 101],
      [7, 9],
    ],
  );
});

test('peers that never connected are replaced first, and then those away longest', async () => {
  const { places, peers, removed } = await full();
  peers.get(1)?.idleFor(5_000);
  peers.get(2)?.idleFor(9_000);
  peers.get(3)?.idleFor(10);
  peers.get(3)!.hasMet = false;
  for (let byte = 100; byte < 103; byte++) await places.request(key(byte), BY_KEY);
  assert.deepEqual(removed, [3, 2, 1]);
});

test('a request removes friends that are offline for ten minutes, and others only for lack of room', async () => {
  const { places, peers, removed } = bench();
  for (const byte of [1, 2, 3]) await places.request(key(byte), BY_KEY);
  peers.get(1)?.idleFor(599_999);
  peers.get(2)?.idleFor(600_000);
  peers.get(3)?.idleFor(900_000);
  peers.get(1)!.hasMet = false;
  await places.request(key(4), BY_KEY);
  assert.deepEqual(removed, [3, 2]);
});

test('a peer that came back while another was removed keeps its place', async () => {
  const { places, peers, removed } = bench();
  for (const byte of [1, 2]) await places.request(key(byte), BY_KEY);
  peers.get(1)?.idleFor(700_000);
  peers.get(2)?.idleFor(900_000);
  const request = places.request(key(3), BY_KEY);
  peers.get(1)!.isIdle = false;
  await request;
  assert.deepEqual(removed, [2]);
});

test('at most the 32 newest requests wait', async () => {
  const { places, peers, accepted } = await full();
  for (let byte = 100; byte < 140; byte++) await places.request(key(byte), BY_KEY);
  for (const peer of peers.values()) peer.idleFor(1);
  await places.seat();
  const newcomers = accepted.slice(MAX_PEERS);
  assert.equal(newcomers.length, 32);
  assert.deepEqual([newcomers[0], newcomers.at(-1)], [108, 139]);
});

test('a peer that left frees its place at once, and its traffic stays counted', async () => {
  const { places, accepted, removed } = await full();
  await places.request(key(100), BY_KEY);
  await places.free(5);
  await places.free(5);
  assert.deepEqual([removed, accepted.at(-1)], [[5], 100]);
  assert.deepEqual(places.traffic, {
    bytesIn: 3 * 65,
    bytesOut: 5 * 65,
    datagramsIn: 7 * 65,
    datagramsOut: 11 * 65,
    datagramsDropped: 13 * 65,
  });
  places.friendPath(5, 'udp');
});

test('close ends all peers gracefully, and accepts no further peers', async () => {
  const { places, peers, accepted, lines } = bench();
  await places.request(key(1), BY_KEY);
  const late = places.request(key(2), BY_KEY);
  // A place was reserved, and toxcore has the request.
  for (let ticks = 0; ticks < 5; ticks++) await Promise.resolve();
  await places.close();
  await late;
  await places.request(key(3), BY_KEY);
  assert.deepEqual(accepted, [1, 2], 'toxcore answers the earlier request');
  assert.equal(peers.size, 1, 'but it has no place');
  assert.equal(peers.get(1)?.closedAs, 'peer-shutdown');
  assert.deepEqual(lines, ['closed 1']);
});

test('a closed Tox node ends no process, and does not hide another fault', async () => {
  const { places, node } = bench();
  await places.request(key(1), BY_KEY);
  node.error = new TunnelError('ERR_WORKER_DIED', 'crashed');
  await places.request(key(2), BY_KEY);
  await places.free(1);
  node.error = new Error('a fault of ours');
  await assert.rejects(places.request(key(3), BY_KEY), node.error);
});

test('uses as few places as configured', async () => {
  const { places, accepted, peers, lines } = bench(2);
  for (const byte of [1, 2, 3]) await places.request(key(byte), BY_KEY);
  assert.deepEqual(accepted, [1, 2]);
  assert.deepEqual(lines, ['warn 2 peers are connected: further friend requests must wait']);
  peers.get(1)?.idleFor(1);
  await places.seat();
  assert.deepEqual(accepted, [1, 2, 3]);
});

test('a disconnected peer learns that it is not allowed, is no longer a friend, and leaves its place', async () => {
  const { places, peers, removed, accepted, lines } = bench(1);
  await places.request(key(1), BY_KEY);
  await places.request(key(2), BY_KEY);
  assert.equal(await places.cut('01'.repeat(32)), true);
  assert.equal(peers.get(1)?.closedAs, 'not-allowed');
  assert.ok(lines.includes('closed 1'));
  assert.deepEqual([removed, accepted], [[1], [1, 2]]);
  assert.equal(await places.cut('01'.repeat(32)), false);
});

test('a peer disconnected while it waits, or while it is accepted, gets no place', async () => {
  const { places, peers, removed, accepted } = bench(1);
  const asking = places.request(key(1), BY_KEY);
  assert.equal(await places.cut('01'.repeat(32)), true);
  await asking;
  assert.deepEqual([accepted, removed, peers.size], [[], [], 0]);
  const accepting = places.request(key(1), BY_KEY);
  // A place was reserved, and toxcore has the request.
  for (let ticks = 0; ticks < 5; ticks++) await Promise.resolve();
  assert.equal(await places.cut('01'.repeat(32)), true);
  await accepting;
  await turn();
  assert.deepEqual([accepted.splice(0), removed, peers.size], [[1], [1], 0]);
  await places.request(key(2), BY_KEY);
  await places.request(key(3), BY_KEY);
  assert.equal(await places.cut('03'.repeat(32)), true);
  peers.get(2)?.idleFor(1);
  await places.seat();
  assert.deepEqual(accepted, [2]);
});
