/** Peers that meet again where they were last reached, before any search has found them. On virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PeerPlace } from '../../src/core/tox_network.js';
import { Knocks } from '../../src/worker/knocks.js';
import type { SimOptions } from '../support/sim_network.js';
import { type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';
import { VirtualTimers } from '../support/virtual_timers.js';

type Identity = Pick<Parameters<ToxWorld['person']>[0] & object, 'secretKey' | 'nospam'>;

type Seen = (...datagram: Parameters<NonNullable<SimOptions['drop']>>) => void;

/** Source: NET_PACKET_CRYPTO, toxcore/network.h. */
const CRYPTO = 0x20;

/** A process: a Tox node and its knocks. */
interface Process {
  readonly person: Person;
  readonly knocks: Knocks;
  /** Where the other end was last reached. */
  place: PeerPlace | undefined;
  isOnline: boolean;
  /** Friend requests that it was told of. */
  requests: number;
  /** How often its path to the other end changed. */
  pathChanges: number;
}

const identityOf = ({ tox }: Person): Identity => ({
  secretKey: tox.secretKey.slice(),
  nospam: tox.address.slice(32, 36),
});

/** A bootstrap node, and processes that run as a listener or a connector of ours. */
class KnockWorld {
  /** True while all datagrams of persons are lost. */
  isCutOff = false;
  /** True while only knocks arrive. */
  hasOnlyKnocks = false;
  /** False: processes know no relays. */
  hasRelays = true;
  readonly world: ToxWorld;
  readonly #timers = new VirtualTimers();
  readonly #todo: (() => void)[] = [];
  readonly #udp: boolean;

  constructor(udp: boolean, seen: Seen = () => {}) {
    this.#udp = udp;
    this.world = new ToxWorld({
      drop: (...datagram) => {
        seen(...datagram);
        return this.isCutOff || (this.hasOnlyKnocks && datagram[0][0] !== CRYPTO);
      },
    });
    this.world.node();
  }

  run(done: () => boolean, limitMs: number, stepMs = 5): boolean {
    return this.world.run(
      () => {
        this.#timers.advance(this.world.sim.nowMs - this.#timers.nowMs());
        for (const work of this.#todo.splice(0)) work();
        return done();
      },
      limitMs,
      stepMs,
    );
  }

  pass(ms: number, stepMs = 20): void {
    this.run(() => false, ms, stepMs);
  }

  listener(identity: Identity = {}, remembered: readonly PeerPlace[] = []): Process {
    const process = this.#start(identity, (publicKey) => process.person.tox.acceptFriend(publicKey));
    process.knocks.knock(remembered);
    return process;
  }

  connector({ person }: Process, remembered: readonly PeerPlace[] = [], identity: Identity = {}): Process {
    const process = this.#start(identity, () => {});
    process.person.tox.addFriend(person.tox.address, Buffer.from('hello'));
    process.knocks.knock(remembered);
    return process;
  }

  /** A killed process sends nothing more. */
  kill({ person, knocks }: Process): void {
    knocks.stop();
    this.world.people.splice(this.world.people.indexOf(person), 1);
  }

  leave(process: Process): void {
    process.person.tox.kill();
    this.kill(process);
  }

  /** @returns how long it took until both are online with each other; infinite after a minute */
  meeting(one: Process, other: Process): number {
    const begunMs = this.world.sim.nowMs;
    const met = this.run(() => one.isOnline && other.isOnline, 60_000);
    return met ? this.world.sim.nowMs - begunMs : Number.POSITIVE_INFINITY;
  }

  #start(identity: Identity, request: (publicKey: Uint8Array) => void): Process {
    const later = (work: () => void): void => void this.#todo.push(work);
    const person: Person = this.world.person(
      { udp: this.#udp, ...identity },
      {
        friendRequest: (publicKey) => {
          const key = publicKey.slice();
          process.requests++;
          later(() => request(key));
        },
        friendPath: (friend, path) => {
          process.isOnline = path !== 'none';
          process.pathChanges++;
          later(() => {
            if (path === 'none') person.tox.askAgain(friend);
            process.knocks.friendPath(friend, path);
          });
        },
        selfPath: (path) => later(() => process.knocks.selfPath(path)),
      },
    );
    const knocks = new Knocks({
      tox: person.tox,
      timers: this.#timers,
      tell: ({ place }) => {
        process.place = place;
      },
      wake: () => {},
    });
    const process: Process = {
      person,
      knocks,
      place: undefined,
      isOnline: false,
      requests: 0,
      pathChanges: 0,
    };
    for (const { ip, node } of this.world.nodes) {
      person.tox.bootstrap(ip, UDP_PORT, node.publicKey);
      if (this.hasRelays) person.tox.addRelay(ip, TCP_PORT, node.publicKey);
    }
    return process;
  }
}

/** A listener and a connector that have met, and remember where. */
function met(udp: boolean, world = new KnockWorld(udp)) {
  const listener = world.listener();
  world.pass(5_000);
  const connector = world.connector(listener);
  assert.ok(Number.isFinite(world.meeting(listener, connector)), 'they meet');
  world.pass(5_000);
  const placeOfListener = connector.place;
  const placeOfConnector = listener.place;
  assert.ok(placeOfListener !== undefined && placeOfConnector !== undefined);
  return { world, listener, connector, placeOfListener, placeOfConnector };
}

for (const [way, udp] of [
  ['over UDP', true],
  ['by a relay', false],
] as const) {
  describe(`${way}, where an end was last reached`, () => {
    test('a connector that starts again is online within 0.5 s, though the listener has forgotten it', () => {
      const { world, listener, connector, placeOfListener } = met(udp);
      world.leave(connector);
      world.pass(2_000);
      listener.person.tox.deleteFriend(0);
      listener.isOnline = false;
      const tookMs = world.meeting(listener, world.connector(listener, [placeOfListener]));
      assert.ok(tookMs <= 500, `${tookMs} ms`);
      world.world.close();
    });

    test('a connector that was killed and starts again with its identity is online within 0.5 s', () => {
      const { world, listener, connector, placeOfListener } = met(udp);
      world.kill(connector);
      const again = world.connector(listener, [placeOfListener], identityOf(connector.person));
      const begunMs = world.world.sim.nowMs;
      assert.ok(world.run(() => again.isOnline, 60_000));
      assert.ok(world.world.sim.nowMs - begunMs <= 500, `${world.world.sim.nowMs - begunMs} ms`);
      assert.equal(listener.requests, 1, 'a friend that asks again is not reported');
      world.world.close();
    });

    test('a listener that was killed and starts again finds its connector within 0.5 s', () => {
      const { world, listener, connector, placeOfConnector } = met(udp);
      world.kill(listener);
      world.pass(500);
      const again = world.listener(identityOf(listener.person), [placeOfConnector]);
      const begunMs = world.world.sim.nowMs;
      assert.ok(world.run(() => again.isOnline, 60_000));
      assert.ok(world.run(() => connector.isOnline, 60_000));
      assert.ok(world.world.sim.nowMs - begunMs <= 500, `${world.world.sim.nowMs - begunMs} ms`);
      world.world.close();
    });

    test('a listener that left and starts again a minute later finds its connector within 0.5 s', () => {
      const { world, listener, connector, placeOfConnector } = met(udp);
      world.leave(listener);
      world.pass(60_000);
      const again = world.listener(identityOf(listener.person), [placeOfConnector]);
      const tookMs = world.meeting(again, connector);
      assert.ok(tookMs <= 500, `${tookMs} ms`);
      world.world.close();
    });

    test('a stale place does not delay the search', () => {
      const { world, listener, connector, placeOfListener } = met(udp);
      world.leave(connector);
      world.kill(listener);
      world.pass(2_000);
      const again = world.listener(identityOf(listener.person));
      world.pass(5_000);
      const without = world.connector(again);
      const withoutMs = world.meeting(again, without);
      world.leave(without);
      world.pass(5_000);
      const withMs = world.meeting(again, world.connector(again, [placeOfListener]));
      assert.ok(withMs <= withoutMs + 500, `${withMs} ms; without the place ${withoutMs} ms`);
      world.world.close();
    });
  });
}

test('a listener that is killed at any moment of a session, and starts again, has its connectors back at once', () => {
  const tookMs: number[] = [];
  for (let run = 0; run < 20; run++) {
    const { world, listener, placeOfConnector, connector } = met(true);
    world.pass(run * 1_300);
    for (let visits = 0; visits < run % 4; visits++) {
      const visitor = world.connector(listener);
      world.pass(2_000);
      world.kill(visitor);
    }
    world.kill(listener);
    world.pass(400);
    const again = world.listener(identityOf(listener.person), [placeOfConnector]);
    const begunMs = world.world.sim.nowMs;
    assert.ok(world.run(() => again.isOnline && connector.isOnline, 60_000));
    tookMs.push(world.world.sim.nowMs - begunMs);
    world.world.close();
  }
  assert.ok(Math.max(...tookMs) <= 500, tookMs.join(' '));
});

test('friends that both stayed meet again within 6 s after an outage of 200 s', () => {
  const world = new KnockWorld(true);
  world.hasRelays = false; // the simulated outage is one of datagrams only
  const { listener, connector } = met(true, world);
  world.isCutOff = true;
  world.pass(200_000, 50);
  assert.ok(!listener.isOnline && !connector.isOnline);
  world.isCutOff = false;
  const tookMs = world.meeting(listener, connector);
  assert.ok(tookMs <= 6_000, `${tookMs} ms`);
  world.world.close();
});

test('friends that both stayed meet again within half a second after an outage of a minute, whenever it ends', () => {
  const tookMs: number[] = [];
  // toxcore asks a friend for a cookie once a second: an outage may end at any moment of that second.
  for (let moment = 0; moment < 8; moment++) {
    const world = new KnockWorld(true);
    world.hasRelays = false; // the simulated outage is one of datagrams only
    const { listener, connector } = met(true, world);
    world.isCutOff = true;
    world.pass(60_000 + moment * 130);
    assert.ok(!listener.isOnline && !connector.isOnline);
    world.isCutOff = false;
    tookMs.push(world.meeting(listener, connector));
    world.world.close();
  }
  assert.ok(Math.max(...tookMs) <= 500, tookMs.join(' '));
});

test('a friend that is online is reached at its address, and through the relays that both joined', () => {
  const { world, listener, placeOfListener } = met(true);
  const ip = world.world.nodes[0]?.ip;
  const { tox } = listener.person;
  assert.deepEqual(Buffer.from(placeOfListener.publicKey), Buffer.from(tox.publicKey));
  assert.deepEqual(Buffer.from(placeOfListener.dhtKey), Buffer.from(tox.dhtId));
  assert.deepEqual(placeOfListener.addresses, [{ ip: '198.51.100.2', port: UDP_PORT }]);
  assert.ok(placeOfListener.relays.every((relay) => relay.ip === ip));
  world.world.close();
});

/** A world in which an attacker records all knocks. */
function tappedWorld() {
  const knocks: { readonly bytes: Uint8Array; readonly from: number }[] = [];
  const world = new KnockWorld(true, (bytes, from) => {
    if (bytes[0] === CRYPTO) knocks.push({ bytes: bytes.slice(), from: from.port });
  });
  // The receiver's DHT key follows the packet's kind.
  const knocksFor = ({ tox }: Person) =>
    knocks.filter(({ bytes }) => Buffer.compare(bytes.subarray(1, 33), tox.dhtId) === 0);
  return { world, knocksFor };
}

test('a knock that someone repeats does not end a connection, whatever strangers send before', () => {
  const { world, knocksFor } = tappedWorld();
  const { listener, connector, placeOfConnector } = met(true, world);
  // A start of the listener that its connector hears of, then another.
  world.kill(listener);
  const second = world.listener(identityOf(listener.person), [placeOfConnector]);
  assert.ok(world.run(() => second.isOnline && connector.isOnline, 10_000));
  world.pass(2_000);
  const ours = knocksFor(connector.person);
  const place = second.place;
  assert.ok(place !== undefined && ours.length > 0);
  world.kill(second);
  const third = world.listener(identityOf(listener.person), [place]);
  assert.ok(world.run(() => third.isOnline && connector.isOnline, 10_000));
  world.pass(2_000);
  for (let strangers = 0; strangers < 65; strangers++) {
    const stranger = world.world.person();
    assert.equal(stranger.tox.knock({ ...place, relays: [] }), 1);
    world.pass(20);
    stranger.tox.kill();
    world.world.people.pop();
  }
  const changes = connector.pathChanges;
  for (const { bytes, from } of ours)
    third.person.host.inject(bytes, from, { ip: '198.51.100.3', port: UDP_PORT });
  world.pass(5_000);
  assert.equal(connector.pathChanges, changes);
  assert.ok(third.isOnline && connector.isOnline);
  world.world.close();
});

test('a knock that someone repeats while the friend is away does not open the way for others', () => {
  const { world, knocksFor } = tappedWorld();
  const { listener, connector, placeOfConnector } = met(true, world);
  world.leave(listener);
  world.pass(2_000);
  const second = world.listener(identityOf(listener.person));
  for (let times = 0; times < 3; times++) {
    second.person.tox.knock(placeOfConnector);
    world.pass(5, 5);
  }
  assert.ok(world.run(() => second.isOnline && connector.isOnline, 60_000));
  const ours = knocksFor(connector.person);
  assert.ok(ours.length > 1);
  world.leave(second);
  assert.ok(world.run(() => !connector.isOnline, 10_000));
  const attacker = world.world.person().host;
  const repeat = ({ bytes, from }: (typeof ours)[number]): void =>
    attacker.inject(bytes, from, { ip: '198.51.100.3', port: UDP_PORT });
  const [first, ...others] = ours;
  assert.ok(first !== undefined);
  repeat(first);
  world.pass(1_000);
  const third = world.listener(identityOf(listener.person));
  assert.ok(world.run(() => third.isOnline && connector.isOnline, 60_000));
  world.pass(2_000);
  const changes = connector.pathChanges;
  others.forEach(repeat);
  world.pass(5_000);
  assert.equal(connector.pathChanges, changes);
  world.world.close();
});

test('two ends that both ask each other do not answer knocks without end', () => {
  let knocks = 0;
  const world = new KnockWorld(true, (bytes) => {
    if (bytes[0] === CRYPTO) knocks++;
  });
  const one = world.listener();
  const other = world.connector(one);
  one.person.tox.addFriend(other.person.tox.address, Buffer.from('hello'));
  world.hasOnlyKnocks = true;
  const { publicKey, dhtId } = other.person.tox;
  const addresses = [{ ip: '198.51.100.3', port: UDP_PORT }];
  assert.equal(one.person.tox.knock({ publicKey, dhtKey: dhtId, addresses, relays: [] }), 1);
  world.pass(1_000);
  assert.ok(knocks > 0 && knocks < 10, `${knocks} knocks`);
  world.world.close();
});
