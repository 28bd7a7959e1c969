/** A listener on a small network that short visitors join and leave, as CI jobs do. On virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

/** Source: NET_PACKET_ONION_SEND_INITIAL, toxcore/network.h. */
const ONION_SEND_INITIAL = 0x80;
/** As the `Joiner` of the main thread does while the Tox node is off the network. */
const REJOIN_MS = 5_000;

type Identity = Pick<Parameters<ToxWorld['person']>[0] & object, 'secretKey' | 'nospam'>;

/** Bootstrap nodes, a listener that accepts everybody, and connectors that come and go. */
class VisitedWorld {
  readonly world: ToxWorld;
  listener: Person;
  /** When the listener lost the network. */
  readonly outMs: number[] = [];
  /** First nodes of the listener's onion paths. */
  readonly firstHops = new Set<string>();
  /** True while the link of the listener is down: all datagrams from and to it are lost. */
  isCutOff = false;
  readonly #udp: boolean;
  readonly #todo: (() => void)[] = [];
  #listenerIp = '';
  #joined = false;
  #rejoinAtMs = 0;

  /** @param udp whether the listener has UDP; visitors always have it */
  constructor(nodes = 1, udp = true) {
    this.#udp = udp;
    const drop = (bytes: Uint8Array, from: { readonly ip: string }, to: { readonly ip: string }): boolean => {
      const ip = this.#listenerIp;
      if (bytes[0] === ONION_SEND_INITIAL && from.ip === ip) this.firstHops.add(to.ip);
      return this.isCutOff && (from.ip === ip || to.ip === ip);
    };
    this.world = new ToxWorld({ drop });
    const { ip, node } = this.world.node();
    for (let i = 1; i < nodes; i++) this.world.node().node.bootstrap(ip, UDP_PORT, node.publicKey);
    this.listener = this.#newListener({});
    if (nodes > 1) this.pass(10_000);
    assert.ok(
      this.run(() => this.#joined, 30_000),
      'the listener joins',
    );
  }

  run(done: () => boolean, limitMs: number, stepMs = 20): boolean {
    return this.world.run(
      () => {
        for (const work of this.#todo.splice(0)) work();
        if (!this.#joined && this.world.sim.nowMs >= this.#rejoinAtMs) this.#join(this.listener);
        return done();
      },
      limitMs,
      stepMs,
    );
  }

  pass(ms: number, stepMs = 20): void {
    this.run(() => false, ms, stepMs);
  }

  connector(): Person {
    const connector: Person = this.world.person(
      {},
      {
        friendPath: (friend, path) => {
          connector.friendPaths.push([friend, path]);
          if (path === 'none') this.#todo.push(() => connector.tox.askAgain(friend));
        },
      },
    );
    this.#join(connector);
    connector.tox.addFriend(this.listener.tox.address, Buffer.from('hello'));
    return connector;
  }

  /** @returns the time until the connector is online with the listener; infinite past the limit */
  online(connector: Person, limitMs = 60_000): number {
    const begunMs = this.world.sim.nowMs;
    const online = this.run(() => connector.tox.friendPath(0) !== 'none', limitMs);
    return online ? this.world.sim.nowMs - begunMs : Number.POSITIVE_INFINITY;
  }

  /** A visitor arrives, stays for a moment, and leaves. @returns how long it took to connect */
  visit(leaves: 'politely' | 'killed', staysMs = 300): number {
    const visitor = this.connector();
    const tookMs = this.online(visitor);
    this.pass(staysMs);
    this.end(visitor, leaves);
    this.pass(1_000);
    return tookMs;
  }

  /** A killed visitor sends nothing more, like a process after SIGKILL. */
  end(person: Person, how: 'politely' | 'killed'): void {
    if (how === 'politely') person.tox.kill();
    this.world.people.splice(this.world.people.indexOf(person), 1);
  }

  /** Kills the listener; a new process starts with its identity. */
  restartListener(awayMs: number): void {
    const { tox } = this.listener;
    const identity = { secretKey: tox.secretKey.slice(), nospam: tox.address.slice(32, 36) };
    this.end(this.listener, 'killed');
    this.pass(awayMs);
    this.listener = this.#newListener(identity);
  }

  get isJoined(): boolean {
    return this.#joined;
  }

  #newListener(identity: Identity): Person {
    this.#joined = false;
    const options = { udp: this.#udp, ...identity };
    const listener: Person = this.world.person(options, {
      friendRequest: (publicKey) => {
        const key = publicKey.slice();
        this.#todo.push(() => listener.tox.acceptFriend(key));
      },
      friendPath: (friend, path) => {
        if (path === 'none') this.#todo.push(() => listener.tox.deleteFriend(friend));
      },
      selfPath: (path) => {
        if (path === 'none') this.outMs.push(this.world.sim.nowMs);
        this.#joined = path !== 'none';
      },
    });
    this.#listenerIp = listener.host.ip;
    this.#join(listener);
    return listener;
  }

  #join({ tox }: Person): void {
    this.#rejoinAtMs = this.world.sim.nowMs + REJOIN_MS;
    for (const { ip, node } of this.world.nodes.slice(0, 4)) {
      tox.bootstrap(ip, UDP_PORT, node.publicKey);
      tox.addRelay(ip, TCP_PORT, node.publicKey);
    }
  }
}

describe('a network of one bootstrap node', () => {
  // 16 dead nodes fill the bucket of 8 that half of them belong in, and 3 visitors are too many for onion paths that
  // may lead over dead ones (docs/connecting.md). `bench/worlds.ts --visits 1000` lets many more come.
  for (const [visitors, leave, killed] of [
    [25, 'leave cleanly', 0],
    [20, 'are killed', 1],
    [25, 'leave cleanly or are killed', 3],
  ] as const) {
    test(`connects each of ${visitors} visitors within 3 s when they ${leave}, and keeps the listener joined`, () => {
      const visited = new VisitedWorld();
      const tookMs = Array.from({ length: visitors }, (_, i) =>
        visited.visit(killed > 0 && i % killed === 0 ? 'killed' : 'politely'),
      );
      assert.ok(Math.max(...tookMs) <= 3_000, tookMs.join(' '));
      assert.deepEqual(visited.outMs, []);
      visited.world.close();
    });
  }

  test('connects a visitor every minute within 3 s', () => {
    const visited = new VisitedWorld();
    for (let i = 0; i < 15; i++) {
      const tookMs = visited.visit('killed');
      assert.ok(tookMs <= 3_000, `visitor ${i} after ${tookMs} ms`);
      visited.pass(60_000, 50);
    }
    assert.deepEqual(visited.outMs, []);
    visited.world.close();
  });

  // Onion paths led over these guests: all must fail before only the bootstrap node is left.
  test('recovers within a minute when 12 guests that stayed longer are killed at once', () => {
    const visited = new VisitedWorld();
    for (let round = 0; round < 2; round++) {
      const guests = Array.from({ length: 12 }, () => visited.connector());
      visited.pass(45_000, 50);
      for (const guest of guests) visited.end(guest, 'killed');
      let waitedMs = 0;
      for (let i = 0; i < 8; i++) {
        const tookMs = visited.visit('politely');
        if (i < 3) waitedMs += tookMs;
        else assert.ok(tookMs <= 3_000, `round ${round}, visitor ${i}: ${tookMs} ms`);
      }
      assert.ok(waitedMs <= 60_000, `round ${round}: ${waitedMs} ms`);
    }
    visited.world.close();
  });

  // A relay whose numbers leak misses every third visitor.
  for (const [visitors, leave, killed] of [
    [15, 'are killed', 1],
    [15, 'leave cleanly', 0],
    [15, 'leave cleanly or are killed', 3],
  ] as const) {
    test(`connects each of ${visitors} visitors within 3 s to a listener without UDP when they ${leave}`, () => {
      const visited = new VisitedWorld(1, false);
      const tookMs = Array.from({ length: visitors }, (_, i) =>
        visited.visit(killed > 0 && i % killed === 0 ? 'killed' : 'politely'),
      );
      assert.ok(Math.max(...tookMs) <= 3_000, tookMs.join(' '));
      assert.deepEqual(visited.outMs, []);
      visited.world.close();
    });
  }

  for (const beforeMs of [0, 1_500, 3_000, 4_500, 6_000, 7_500]) {
    test(`brings a connector back within 15 s to a listener that was killed ${beforeMs} ms after some visitors, and restarted`, () => {
      const visited = new VisitedWorld();
      const connector = visited.connector();
      visited.online(connector);
      for (let i = 0; i < 12; i++) visited.visit(i % 2 === 0 ? 'killed' : 'politely');
      visited.pass(beforeMs);
      const paths = connector.friendPaths.length;
      visited.restartListener(500);
      const begunMs = visited.world.sim.nowMs;
      visited.run(
        () => connector.friendPaths.length > paths && connector.tox.friendPath(0) !== 'none',
        300_000,
      );
      assert.ok(visited.world.sim.nowMs - begunMs <= 15_000, `${visited.world.sim.nowMs - begunMs} ms`);
      visited.world.close();
    });
  }

  test('lets a listener rejoin soon after the bootstrap node was down, even if a connector stayed', () => {
    const visited = new VisitedWorld();
    visited.online(visited.connector());
    const [entry] = visited.world.nodes.splice(0, 1);
    assert.ok(entry !== undefined);
    visited.pass(400_000, 50);
    visited.world.nodes.push(entry);
    visited.pass(15_000);
    const tookMs = visited.visit('politely');
    assert.ok(tookMs <= 3_000, `${tookMs} ms`);
    visited.world.close();
  });
});

describe('an outage of the listener', () => {
  for (const [nodes, outageMs] of [
    [1, 20_000],
    [1, 200_000],
    [12, 20_000],
    [12, 200_000],
  ] as const) {
    test(`of ${outageMs / 1000} s on a network of ${nodes} is over soon, and does not make any node count as dead`, () => {
      const visited = new VisitedWorld(nodes);
      visited.pass(60_000, 50);
      visited.isCutOff = true;
      visited.pass(outageMs, 50);
      visited.isCutOff = false;
      assert.ok(visited.run(() => visited.isJoined, 15_000));
      visited.firstHops.clear();
      visited.pass(10_000);
      const tookMs = visited.visit('politely');
      assert.ok(tookMs <= 3_000, `${tookMs} ms`);
      visited.pass(60_000, 50);
      assert.ok(visited.firstHops.size >= Math.min(nodes, 3), `${visited.firstHops.size} first nodes`);
      visited.world.close();
    });
  }
});

describe('onion paths', () => {
  test('among 12 nodes lead over many of them', () => {
    const visited = new VisitedWorld(12);
    // The paths change every quarter of an hour.
    visited.pass(3_600_000, 200);
    assert.ok(visited.firstHops.size >= 7, `${visited.firstHops.size} first nodes`);
    visited.world.close();
  });
});
