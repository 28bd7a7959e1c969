import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../src/bridge/tox_node.js';
import { TunnelError } from '../../src/core/errors.js';
import { KIND_HELLO, KIND_WELCOME, LOSSLESS_PACKET_ID } from '../../src/core/packets.js';
import type { Path } from '../../src/core/tox_network.js';
import { FriendPlaces, type Place } from '../../src/peer/friend_places.js';
import type { Grant } from '../../src/rules/rule_book.js';
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

  sendMark(): () => boolean {
    return () => true;
  }

  async close(reason: string): Promise<void> {
    this.closedAs = reason;
    await turn();
  }
}

/** As many as a friend's number in these tests leaves room for. */
const PLACES = 64;

function bench(maxPeers = PLACES) {
  const peers = new Map<number, FakePeer>();
  const removed: number[] = [];
  const accepted: number[] = [];
  const answers: string[] = [];
  /** Public keys of peers that may not stay. */
  const out = new Set<string>();
  const lines: string[] = [];
  const grants: Grant[] = [];
  const clock = { ms: 0 };
  const node = {
    outcome: undefined as Outcome | undefined,
    error: undefined as Error | undefined,
    path: 'none' as Path,
    /** The friends of other parts of the program. */
    others: new Map<number, Uint8Array>(),
    acceptFriend: async (key: Uint8Array): Promise<Outcome> => {
      await turn();
      if (node.error !== undefined) throw node.error;
      accepted.push(numberOf(key));
      return node.outcome ?? { code: 101, friend: numberOf(key) };
    },
    shareFriend: (friend: number) => node.others.get(friend),
    removeFriend: async (friend: number) => {
      await turn();
      if (node.error !== undefined) throw node.error;
      removed.push(friend);
    },
    friendPath: () => node.path,
  };
  const places = new FriendPlaces({
    node,
    maxPeers,
    nowMs: () => clock.ms,
    onFull: (message) => lines.push(message),
    onAnswer: (publicKey, { code }) => answers.push(`${publicKey} ${code}`),
    mayStay: (grant, publicKey) => !out.has(publicKey) && grant === BY_KEY,
    newPlace: (friend, publicKey, grant): Place => {
      const peer = new FakePeer();
      peers.set(friend, peer);
      grants.push(grant);
      return {
        peer,
        publicKey,
        grant,
        info: () => assert.fail('nobody asks'),
        close: () => lines.push(`closed ${friend}`),
      };
    },
  });
  return { places, node, peers, removed, accepted, answers, lines, out, clock, grants };
}

/** A public key: 16 times the number, big-endian; below 256 its high byte is the low one again. */
function key(number: number): Uint8Array {
  const high = number < 256 ? number : number >> 8;
  return Uint8Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? high : number));
}

function numberOf(of: Uint8Array): number {
  const [high = 0, low = 0] = of;
  return high === low ? low : high * 256 + low;
}

const FULL =
  'all 64 places are taken: new peers wait until another one leaves; let in more with --max-peers (maxPeers)';

async function full() {
  const all = bench();
  for (let i = 0; i < PLACES; i++) await all.places.request(key(i), BY_KEY);
  assert.equal(all.peers.size, PLACES);
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
  assert.deepEqual(accepted.length, PLACES);
  assert.deepEqual(lines, [FULL]);
  peers.get(7)?.idleFor(10);
  await places.seat();
  assert.deepEqual([accepted.slice(PLACES), removed], [[100], [7]]);
  assert.equal(peers.get(7)?.closedAs, 'limit');
  assert.ok(lines.includes('closed 7'));
  peers.get(9)?.idleFor(10);
  await places.seat();
  assert.deepEqual(
    [accepted.slice(PLACES), removed],
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

test('of many friends that are away, a request removes those beyond the last eight that are away for half a minute', async () => {
  const { places, peers, removed } = bench();
  for (let byte = 1; byte <= 12; byte++) await places.request(key(byte), BY_KEY);
  for (let byte = 1; byte <= 9; byte++) peers.get(byte)?.idleFor(byte * 1_000);
  for (const [byte, ms] of [
    [10, 29_999],
    [11, 30_000],
    [12, 40_000],
  ] as const)
    peers.get(byte)?.idleFor(ms);
  await places.request(key(13), BY_KEY);
  assert.deepEqual(removed, [12, 11]);
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

test('at most the 256 newest requests wait', async () => {
  const { places, peers, accepted } = await full();
  // 257 has two equal bytes, like 1.
  for (let n = 300; n < 660; n++) if (n >> 8 !== (n & 0xff)) await places.request(key(n), BY_KEY);
  const asked = 659;
  const seated = new Set<number>();
  while (seated.size < peers.size) {
    for (const [friend, peer] of peers) {
      seated.add(friend);
      peer.idleFor(1);
    }
    await places.seat();
  }
  const newcomers = accepted.slice(PLACES);
  assert.equal(newcomers.length, 256);
  assert.deepEqual(newcomers.at(-1), asked);
});

test('a full listener says so at the first request that must wait, and then every ten minutes at most', async () => {
  const { places, peers, lines, clock } = await full();
  assert.equal(lines.length, 0);
  await places.request(key(100), BY_KEY);
  assert.deepEqual(lines.splice(0), [FULL]);
  // Places change hands, and the listener is full again each time.
  for (let n = 0; n < 10; n++) {
    peers.get(n)?.idleFor(1);
    clock.ms += 59_000;
    await places.request(key(110 + n), BY_KEY);
  }
  assert.equal(lines.filter((line) => line === FULL).length, 0);
  lines.splice(0);
  clock.ms += 10_000;
  await places.request(key(130), BY_KEY);
  assert.deepEqual(lines, [FULL]);
});

test('a thousand peers have places, and one that asks for them all is served in order', async () => {
  const { places, peers, accepted, lines } = bench(1_000);
  const keys = Array.from({ length: 1_010 }, (_, n) => n).filter((n) => n < 256 || n >> 8 !== (n & 0xff));
  for (const n of keys.slice(0, 1_001)) await places.request(key(n), BY_KEY);
  assert.deepEqual(accepted, keys.slice(0, 1_000));
  assert.equal(peers.size, 1_000);
  assert.match(lines[0] ?? '', /^all 1000 places are taken: /);
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
  assert.match(lines[0] ?? '', /^all 2 places are taken: /);
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

test('a hello of a friend that another part of the program has added gets a place, which allows nothing yet', async () => {
  const { places, node, peers, removed, accepted, lines, grants } = bench(1);
  const hello = Uint8Array.of(LOSSLESS_PACKET_ID, KIND_HELLO);
  await places.handshake(7, hello);
  assert.deepEqual([...peers.keys()], [], 'nobody has added it');
  node.others.set(7, key(7));
  node.path = 'udp';
  await places.handshake(7, Uint8Array.of(LOSSLESS_PACKET_ID, KIND_WELCOME));
  assert.deepEqual([...peers.keys()], [], 'a welcome is for the connector');
  await Promise.all([places.handshake(7, hello), places.handshake(7, hello)]);
  assert.deepEqual([...peers.keys()], [7]);
  assert.deepEqual(peers.get(7)?.paths, ['udp']);
  assert.ok((peers.get(7)?.packets.length ?? 0) > 0);
  assert.deepEqual([accepted, grants.map(({ name, rules }) => [name, rules])], [[], [['unproven', []]]]);
  // The only place is taken: the other part keeps its friend.
  node.others.set(8, key(8));
  await places.handshake(8, hello);
  assert.deepEqual([[...peers.keys()], removed], [[7], [8]]);
  await places.removeAll();
  assert.deepEqual([removed, lines.filter((line) => line === 'closed 7').length], [[8, 7], 1]);
});
