/** How soon two friends connect, and what that costs the network. On virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

interface StartOptions {
  readonly udp?: boolean;
  /** One way, between any two machines. */
  readonly delayMs?: number;
  readonly nodes?: number;
}

interface Identity {
  readonly secretKey: Uint8Array;
  readonly nospam: Uint8Array;
}

/** A network with bootstrap nodes, a listener that accepts every request, and a connector that sends one. */
class StartWorld {
  readonly world: ToxWorld;
  /** When each datagram of the connector was sent. */
  readonly sentMs: number[] = [];
  readonly #udp: boolean;
  readonly #todo: (() => void)[] = [];
  #connector: Person | undefined;

  constructor({ udp = true, delayMs = 10, nodes = 1 }: StartOptions = {}) {
    this.#udp = udp;
    const drop = (_: Uint8Array, from: { readonly ip: string }): boolean => {
      if (from.ip === this.#connector?.host.ip) this.sentMs.push(this.world.sim.nowMs);
      return false;
    };
    this.world = new ToxWorld({ delayMs, drop });
    const { ip, node } = this.world.node();
    for (let i = 1; i < nodes; i++) this.world.node().node.bootstrap(ip, UDP_PORT, node.publicKey);
    if (nodes > 1) this.pass(10_000);
  }

  listener(identity: Partial<Identity> = {}): Person {
    const listener: Person = this.#person(identity, (publicKey) => listener.tox.acceptFriend(publicKey));
    return listener;
  }

  connector(address: Uint8Array): Person {
    const connector = this.#person({}, () => {});
    this.#connector = connector;
    connector.tox.addFriend(address, Buffer.from('hello'));
    return connector;
  }

  /** In coarser steps than {@link meet}: at least as often as toxcore requests. */
  pass(ms: number): void {
    this.#run(() => false, ms, 50);
  }

  /** @returns the milliseconds until both are online; infinite after more than a minute */
  meet(listener: Person, connector: Person): number {
    const begunMs = this.world.sim.nowMs;
    const online = ({ tox }: Person): boolean => tox.friendPath(0) !== 'none';
    const met = this.#run(() => online(listener) && online(connector), 60_000);
    return met ? this.world.sim.nowMs - begunMs : Number.POSITIVE_INFINITY;
  }

  kill(person: Person): Identity {
    const identity = {
      secretKey: person.tox.secretKey.slice(),
      nospam: person.tox.address.slice(32, 36),
    };
    person.tox.kill();
    this.world.people.splice(this.world.people.indexOf(person), 1);
    return identity;
  }

  #person(identity: Partial<Identity>, accept: (publicKey: Uint8Array) => void): Person {
    const person: Person = this.world.person(
      { udp: this.#udp, ...identity },
      {
        friendRequest: (publicKey) => accept(publicKey.slice()),
        // As Friends in src/worker does.
        friendPath: (friend, path) => {
          if (path === 'none') this.#todo.push(() => person.tox.askAgain(friend));
        },
      },
    );
    for (const { ip, node } of this.world.nodes.slice(0, 4)) {
      person.tox.bootstrap(ip, UDP_PORT, node.publicKey);
      person.tox.addRelay(ip, TCP_PORT, node.publicKey);
    }
    return person;
  }

  #run(done: () => boolean, limitMs: number, stepMs = 10): boolean {
    const turn = (): boolean => {
      for (const work of this.#todo.splice(0)) work();
      return done();
    };
    return this.world.run(turn, limitMs, stepMs);
  }
}

const WAYS = [
  ['over UDP', true, 500],
  ['over a relay alone', false, 600],
] as const;

describe('a connector reaches its listener', () => {
  for (const [way, udp, limitMs] of WAYS) {
    for (const upMs of [2_000, 30_000]) {
      test(`within ${limitMs / 1000} s ${way} when the listener has been up for ${upMs / 1000} s`, () => {
        const start = new StartWorld({ udp });
        const listener = start.listener();
        start.pass(upMs);
        const tookMs = start.meet(listener, start.connector(listener.tox.address));
        assert.ok(tookMs <= limitMs, `${tookMs} ms`);
        start.world.close();
      });
    }

    test(`within 3 s ${way} of the start of a listener that it has waited for`, () => {
      const start = new StartWorld({ udp });
      const first = start.listener();
      const { address } = first.tox;
      const identity = start.kill(first);
      const connector = start.connector(address);
      start.pass(60_000);
      const tookMs = start.meet(start.listener(identity), connector);
      assert.ok(tookMs <= 3_000, `${tookMs} ms`);
      start.world.close();
    });

    for (const awayMs of [1_000, 100_000]) {
      test(`again within 6 s ${way} after a restart that takes ${awayMs / 1000} s`, () => {
        const start = new StartWorld({ udp });
        const listener = start.listener();
        const connector = start.connector(listener.tox.address);
        start.meet(listener, connector);
        start.pass(5_000);
        const identity = start.kill(listener);
        start.pass(awayMs);
        const tookMs = start.meet(start.listener(identity), connector);
        assert.ok(tookMs <= 6_000, `${tookMs} ms`);
        start.world.close();
      });
    }
  }

  for (const [way, udp, limitMs] of [
    ['over UDP', true, 6_000],
    ['over a relay alone', false, 9_000],
  ] as const) {
    test(`${way} when each onion hop takes 300 ms there and back`, () => {
      const start = new StartWorld({ udp, delayMs: 150, nodes: 16 });
      const listener = start.listener();
      start.pass(10_000);
      const tookMs = start.meet(listener, start.connector(listener.tox.address));
      assert.ok(tookMs <= limitMs, `${tookMs} ms`);
      start.world.close();
    });
  }

  test('within 0.8 s among many nodes, each 40 ms away', () => {
    const start = new StartWorld({ delayMs: 20, nodes: 30 });
    const listener = start.listener();
    start.pass(2_000);
    const tookMs = start.meet(listener, start.connector(listener.tox.address));
    assert.ok(tookMs <= 800, `${tookMs} ms`);
    start.world.close();
  });

  test('among many nodes, soon after the listener starts, when the connector has searched for minutes', () => {
    const start = new StartWorld({ nodes: 30 });
    const first = start.listener();
    const { address } = first.tox;
    const identity = start.kill(first);
    const connector = start.connector(address);
    start.pass(120_000);
    const tookMs = start.meet(start.listener(identity), connector);
    assert.ok(tookMs <= 20_000, `${tookMs} ms`);
    start.world.close();
  });
});

describe('a start', () => {
  test('takes at most twice the datagrams of unpatched toxcore', () => {
    const start = new StartWorld({ nodes: 30, delayMs: 20 });
    const listener = start.listener();
    start.pass(30_000);
    const begunMs = start.world.sim.nowMs;
    start.meet(listener, start.connector(listener.tox.address));
    start.pass(20_000 - (start.world.sim.nowMs - begunMs));
    const seconds = Array.from({ length: 20 }, () => 0);
    for (const ms of start.sentMs) {
      const second = Math.floor((ms - begunMs) / 1000);
      seconds[second] = (seconds[second] ?? 0) + 1;
    }
    // Unpatched toxcore sends 302 to 326, at most 59 per second. Patches 0010 and 0011 ask new nodes more
    // often.
    assert.ok(start.sentMs.length < 620, `${start.sentMs.length} in 20 s`);
    assert.ok(Math.max(...seconds) < 160, `${seconds.join(' ')}`);
    start.world.close();
  });

  test('that gets no answer becomes quiet: the search for an absent listener slows down', () => {
    const start = new StartWorld({ nodes: 30 });
    const away = start.listener();
    const { address } = away.tox;
    start.kill(away);
    start.connector(address);
    start.pass(90_000);
    start.sentMs.length = 0;
    start.pass(60_000);
    assert.ok(start.sentMs.length < 4 * 60, `${start.sentMs.length} in a minute`);
    start.world.close();
  });
});
