/** One listener's toxcore with more friends than the 64 that were once the limit, on virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestGate } from '../../src/worker/request_gate.js';
import { type Person, ToxWorld, UDP_PORT } from '../support/tox_world.js';

const PEERS = 66;
const STEP_MS = 50;
const MESSAGE = Buffer.from('let me in');
const IDENTITY = { secretKey: new Uint8Array(32).fill(7), nospam: new Uint8Array(4).fill(1) };

/** A bootstrap node, a listener, and its peers; what they do outside of toxcore happens between two steps. */
class Crowd {
  readonly world = new ToxWorld();
  /** The peers whose friend, the listener, is online. */
  readonly online = new Set<Person>();
  listener: Person;
  readonly #node = this.world.node();
  #later: (() => void)[] = [];

  constructor() {
    this.listener = this.newListener();
  }

  /** Accepts each request that passes the gate of a new worker. */
  newListener(): Person {
    const gate = new RequestGate(() => {});
    gate.admit({ prefixes: [MESSAGE], keys: [], deniedKeys: [] }, this.world.sim.nowMs);
    const listener = this.world.person(IDENTITY, {
      friendRequest: (publicKey, message) => {
        if (!gate.take(publicKey, message, this.world.sim.nowMs)) return;
        const key = publicKey.slice();
        this.#later.push(() => void listener.tox.acceptFriend(key));
      },
    });
    this.#join(listener);
    this.listener = listener;
    return listener;
  }

  addPeer(): void {
    const peer = this.world.person(
      {},
      {
        friendPath: (friend, path) => {
          if (path !== 'none') {
            this.online.add(peer);
            return;
          }
          this.online.delete(peer);
          this.#later.push(() => void peer.tox.askAgain(friend));
        },
      },
    );
    this.#join(peer);
    peer.tox.addFriend(this.listener.tox.address, MESSAGE);
  }

  /** Takes a person off the network for good. */
  kill(person: Person): void {
    this.world.people.splice(this.world.people.indexOf(person), 1);
    person.tox.kill();
  }

  run(done: () => boolean, limitMs: number): boolean {
    return this.world.run(
      () => {
        const now = this.#later;
        this.#later = [];
        for (const callback of now) callback();
        return done();
      },
      limitMs,
      STEP_MS,
    );
  }

  #join({ tox }: Person): void {
    tox.bootstrap(this.#node.ip, UDP_PORT, this.#node.node.publicKey);
  }
}

test('a listener has 66 friends online in the memory it starts with, and all are back soon after its restart', () => {
  const crowd = new Crowd();
  try {
    const startBytes = crowd.listener.module.memoryBytes();
    crowd.run(() => false, 2_000);
    for (let i = 0; i < PEERS; i++) {
      crowd.addPeer();
      crowd.run(() => false, STEP_MS);
    }
    assert.ok(
      crowd.run(() => crowd.online.size === PEERS, 30_000),
      `${crowd.online.size} are online`,
    );
    assert.equal(crowd.listener.module.memoryBytes(), startBytes);

    crowd.kill(crowd.listener);
    assert.ok(
      crowd.run(() => crowd.online.size === 0, 5_000),
      'all see that it has left',
    );
    crowd.newListener();
    const begunMs = crowd.world.sim.nowMs;
    assert.ok(
      crowd.run(() => crowd.online.size === PEERS, 60_000),
      `${crowd.online.size} are back`,
    );
    const tookMs = crowd.world.sim.nowMs - begunMs;
    // Virtual time: one lost turn of a request costs 30 s.
    assert.ok(tookMs < 20_000, `${tookMs} ms`);
  } finally {
    crowd.world.close();
  }
});

test('a thousand accepted friends fit into 32 MiB, whether they come or not', () => {
  const world = new ToxWorld();
  try {
    const { tox, module } = world.person();
    for (let n = 0; n < 1_000; n++) {
      const key = new Uint8Array(32);
      // Any 32 bytes are a public key, as long as no two are equal.
      new DataView(key.buffer).setUint32(0, 0x0123_4567 * (n + 1));
      assert.equal(tox.acceptFriend(key).kind, 'added');
    }
    assert.ok(module.memoryBytes() <= 32 * 2 ** 20, `${module.memoryBytes()} bytes`);
  } finally {
    world.close();
  }
});
