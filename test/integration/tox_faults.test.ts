/** toxcore on a host that fails, with handlers that throw, and callers that make mistakes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { LOSSY_PACKET_ID } from '../../src/core/packets.js';
import { loadTox } from '../../src/worker/tox/load.js';
import type { Host, Tox, ToxEvents } from '../../src/worker/tox/tox.js';
import { SimNetwork } from '../support/sim_network.js';
import { compiledTox, type Person, TCP_PORT, ToxWorld, UDP_PORT } from '../support/tox_world.js';

const isCode =
  (code: string, detail = /./) =>
  (error: unknown) =>
    TunnelError.is(error) && error.code === code && detail.test(error.message);

const silent: ToxEvents = {
  selfPath: () => {},
  friendRequest: () => {},
  friendPath: () => {},
  losslessPacket: () => {},
  lossyPacket: () => {},
  log: () => {},
};
const options = { udp: true, ipv6: false, udpPort: UDP_PORT, lanDiscovery: false };

/** Two friends on UDP, `bob` with these handlers. */
function friends(handlers: Partial<ToxEvents>): { world: ToxWorld; alice: Person; bob: Person } {
  const world = new ToxWorld();
  const { ip, node } = world.node();
  const alice = world.person();
  const bob = world.person({}, handlers);
  for (const { tox } of [alice, bob]) tox.bootstrap(ip, UDP_PORT, node.publicKey);
  alice.tox.acceptFriend(bob.tox.publicKey);
  bob.tox.acceptFriend(alice.tox.publicKey);
  const online = () => alice.tox.friendPath(0) === 'udp' && bob.tox.friendPath(0) === 'udp';
  assert.equal(world.run(online, 120_000), true);
  return { world, alice, bob };
}

function arrive(world: ToxWorld, from: Person, ...numbers: number[]): void {
  for (const number of numbers) {
    assert.equal(from.tox.sendLossy(0, Uint8Array.of(LOSSY_PACKET_ID, number)), 'sent');
  }
  world.sim.nowMs += world.sim.delayMs;
}

test('an exception of a handler leaves poll and iterate unchanged, and loses no packet', () => {
  const fault = new Error('of the handler');
  const got: number[] = [];
  const { world, alice, bob } = friends({
    lossyPacket: (_, packet) => {
      got.push(packet[1]!);
      if (packet[1] === 2) throw fault;
    },
  });
  const isFault = (error: unknown) => error === fault;
  arrive(world, alice, 1, 2, 3);
  assert.throws(() => bob.tox.poll(), isFault);
  assert.deepEqual(got, [1, 2, 3], 'the next packet is not lost');
  arrive(world, alice, 2, 4);
  assert.throws(() => bob.tox.iterate(), isFault);
  bob.tox.iterate();
  assert.deepEqual(got, [1, 2, 3, 2, 4]);
  world.close();
});

test('a handler may answer, even with the packet that it received', () => {
  let tox: Tox | undefined;
  const { world, alice, bob } = friends({
    lossyPacket: (friend, packet) => {
      assert.equal(tox!.sendLossy(friend, packet), 'sent');
    },
  });
  tox = bob.tox;
  arrive(world, alice, 42);
  bob.tox.poll();
  world.sim.nowMs += world.sim.delayMs;
  alice.tox.poll();
  assert.deepEqual(alice.lossy, [Uint8Array.of(LOSSY_PACKET_ID, 42)]);
  world.close();
});

test('a handler that iterates, polls or creates an instance gets the error that toxcore is busy', () => {
  let bobs: Person | undefined;
  const faults: unknown[] = [];
  const { world, alice, bob } = friends({
    lossyPacket: () => {
      const { tox, module } = bobs!;
      const calls = [
        () => tox.iterate(),
        () => tox.poll(),
        () => module.createTox({ ...options, udpPort: 33_446 }, silent),
      ];
      for (const call of calls) {
        try {
          call();
        } catch (error) {
          faults.push(error);
        }
      }
    },
  });
  bobs = bob;
  arrive(world, alice, 1);
  bob.tox.poll();
  assert.equal(faults.length, 3);
  for (const fault of faults) assert.equal(isCode('ERR_TOX_BUSY')(fault), true, String(fault));
  world.close();
});

test('a handler may kill its instance: no event follows, and its sockets close once toxcore has returned', () => {
  let bobs: Person | undefined;
  const got: number[] = [];
  const { world, alice, bob } = friends({
    lossyPacket: (_, packet) => {
      got.push(packet[1]!);
      bobs!.tox.kill();
      assert.equal(bobs!.host.openSockets, 1);
    },
  });
  bobs = bob;
  arrive(world, alice, 1, 2);
  bob.tox.poll();
  assert.deepEqual(got, [1]);
  assert.equal(bob.host.openSockets, 0);
  bob.tox.kill();
  for (const call of [
    () => bob.tox.iterate(),
    () => bob.tox.poll(),
    () => bob.tox.intervalMs(),
    () => bob.tox.sendLossy(0, Uint8Array.of(LOSSY_PACKET_ID)),
    () => bob.tox.friendPath(0),
    () => bob.tox.bootstrap('192.0.2.1', 1, new Uint8Array(32)),
  ]) {
    assert.throws(call, isCode('ERR_CLOSED'));
  }
  const { node } = world.nodes[0]!;
  node.kill();
  for (const call of [() => node.iterate(), () => node.poll(), () => node.isConnected()]) {
    assert.throws(call, isCode('ERR_CLOSED'));
  }
  world.close();
});

test('an exception of the network reaches the caller, and looks like silence to toxcore', () => {
  const host = new SimNetwork().host('198.51.100.1');
  const fault = new Error('of the network');
  let failing = false;
  const network = new Proxy(host, {
    get: (target, name) => {
      // Every property of a Network that toxcore's imports read is a method.
      const method = Reflect.get(target, name) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (failing) throw fault;
        return method.apply(target, args);
      };
    },
  });
  const module = loadTox(compiledTox(), { ...host.toxHost(), network });
  const tox = module.createTox(options, silent);
  failing = true;
  for (const call of [
    () => tox.iterate(),
    () => tox.poll(),
    () => tox.bootstrap('198.51.100.9', UDP_PORT, new Uint8Array(32).fill(1)),
    () => module.createTox({ ...options, udpPort: 33_446 }, silent),
    () =>
      module.createBootstrapNode({ ipv6: false, udpPort: 33_447, tcpPort: 0, lanDiscovery: false }, () => {}),
  ]) {
    assert.throws(call, (error) => error === fault);
  }
  failing = false;
  tox.poll();
  tox.kill();
  assert.equal(host.openSockets, 0);
});

test('without randomness or time toxcore stops with an error', () => {
  for (const broken of ['random', 'nowMs', 'wallMs'] as const) {
    const fault = new Error(broken);
    const whole = new SimNetwork().host('198.51.100.1').toxHost();
    const host: Host = {
      ...whole,
      [broken]: () => {
        throw fault;
      },
    };
    const module = loadTox(compiledTox(), host);
    for (let tries = 0; tries < 2; tries++) {
      assert.throws(
        () => module.createTox(options, silent),
        (error) => isCode('ERR_TOX_CRASHED')(error) && (error as TunnelError).cause === fault,
        broken,
      );
    }
  }
});

test('a failed start names the invalid option or the port that is taken', () => {
  const { host } = new ToxWorld().machine();
  const module = loadTox(compiledTox(), host.toxHost());
  const start = (more: object) => () => module.createTox({ ...options, ...more }, silent);
  assert.throws(
    start({ secretKey: new Uint8Array(31) }),
    isCode('ERR_TOX_START', /secret key has 32 bytes, not 31/),
  );
  assert.throws(start({ nospam: new Uint8Array(5) }), isCode('ERR_TOX_START', /nospam has 4 bytes, not 5/));
  for (const udpPort of [0, 65_536, 1.5]) {
    assert.throws(start({ udpPort }), isCode('ERR_TOX_START', /is not a UDP port/));
  }
  const first = module.createTox(options, silent);
  assert.throws(start({}), isCode('ERR_TOX_START', /UDP port 33445 is not available/));
  const node = (udpPort: number, tcpPort: number) => () =>
    module.createBootstrapNode({ ipv6: false, udpPort, tcpPort, lanDiscovery: false }, () => {});
  assert.throws(node(UDP_PORT, 0), isCode('ERR_TOX_START', /UDP port 33445 is not available/));
  assert.throws(node(33_446, 70_000), isCode('ERR_TOX_START', /is not a TCP port/));
  const second = node(33_446, TCP_PORT)();
  assert.throws(
    node(33_447, TCP_PORT),
    isCode('ERR_TOX_START', /UDP port 33447 or TCP port 3389 is not available/),
  );
  assert.equal(host.openSockets, 3, 'the failed start left no socket');
  first.kill();
  second.kill();
  assert.equal(host.openSockets, 0);
});

test('no identity stays in the staging buffer once an instance exists', () => {
  const host = new SimNetwork().host('198.51.100.1');
  const whole = host.toxHost();
  let memory: ArrayBufferLike | undefined;
  const random: Host['random'] = (into) => {
    memory = into.buffer;
    whole.random(into);
  };
  const module = loadTox(compiledTox(), { ...whole, random });
  const tox = module.createTox(options, silent);
  // A sequence of bytes that only the answer in the staging buffer held.
  const answer = Buffer.concat([tox.address, tox.publicKey]);
  assert.equal(Buffer.from(memory!).includes(answer), false);
  assert.equal(Buffer.from(memory!).includes(Buffer.from(tox.secretKey)), true, 'it was this memory');
  tox.kill();
});

/** More than the initial memory holds. */
const COUNT = 32;

test('instances of one module share its memory, which grows with them, and receive only their own events', () => {
  const world = new ToxWorld();
  const { ip, node } = world.node();
  const { host } = world.machine();
  const module = loadTox(compiledTox(), host.toxHost());
  const got: [number, number][] = [];
  const toxes = Array.from({ length: COUNT }, (_, index) =>
    module.createTox(
      { ...options, udpPort: UDP_PORT + index },
      { ...silent, lossyPacket: (_friend, packet) => got.push([index, packet[1]!]) },
    ),
  );
  assert.equal(module.memoryBytes() > 16 * 1024 * 1024, true, `${module.memoryBytes()}`);
  const [alice, bob] = [toxes[0]!, toxes[COUNT - 1]!];
  for (const tox of toxes) tox.bootstrap(ip, UDP_PORT, node.publicKey);
  alice.acceptFriend(bob.publicKey);
  bob.acceptFriend(alice.publicKey);
  const met = () => alice.friendPath(0) === 'udp' && bob.friendPath(0) === 'udp';
  for (let steps = 0; steps < 3000 && !met(); steps++) {
    node.iterate();
    alice.iterate();
    bob.iterate();
    world.sim.nowMs += 20;
  }
  assert.equal(alice.sendLossy(0, Uint8Array.of(LOSSY_PACKET_ID, 1)), 'sent');
  assert.equal(bob.sendLossy(0, Uint8Array.of(LOSSY_PACKET_ID, 2)), 'sent');
  world.sim.nowMs += 10;
  for (const tox of toxes) tox.poll();
  assert.deepEqual(got, [
    [0, 2],
    [COUNT - 1, 1],
  ]);
  for (const tox of toxes) tox.kill();
  const bytes = module.memoryBytes();
  for (let round = 0; round < 3; round++) {
    const again = Array.from({ length: COUNT }, (_, index) =>
      module.createTox({ ...options, udpPort: UDP_PORT + index }, silent),
    );
    for (const tox of again) tox.kill();
  }
  assert.equal(module.memoryBytes(), bytes, 'killed instances return their memory');
  world.close();
});

test('log messages carry their level from the start', () => {
  const host = new SimNetwork().host('198.51.100.1');
  const module = loadTox(compiledTox(), host.toxHost());
  const logs: string[] = [];
  const log: ToxEvents['log'] = (level, message) => logs.push(`${level} ${message}`);
  const first = module.createTox(options, silent);
  assert.throws(() => module.createTox(options, { ...silent, log }), isCode('ERR_TOX_START'));
  assert.match(logs.join('\n'), /^error new_networking_ex: failed to bind socket/m);
  first.kill();
});

test('IPv4 addresses stay reachable with IPv6 enabled', () => {
  const world = new ToxWorld();
  const { ip, node } = world.node();
  const alice = world.person({ ipv6: true });
  assert.equal(alice.tox.bootstrap(ip, UDP_PORT, node.publicKey), true);
  assert.equal(alice.tox.bootstrap('2001:db8::1', UDP_PORT, node.publicKey), true);
  assert.equal(world.person().tox.bootstrap('2001:db8::1', UDP_PORT, node.publicKey), false);
  assert.equal(
    world.run(() => alice.selfPaths.at(-1) === 'udp', 60_000),
    true,
  );
  world.close();
});

test('machines on one LAN find each other without a bootstrap node', () => {
  const world = new ToxWorld({}, '10.0.0');
  const alice = world.person({ lanDiscovery: true });
  const bob = world.person({ lanDiscovery: true });
  // toxcore reports relay when all its UDP nodes are on the LAN.
  const joined = () => alice.selfPaths.at(-1) === 'relay' && bob.selfPaths.at(-1) === 'relay';
  assert.equal(world.run(joined, 60_000), true);
  world.close();
});

test('LAN discovery finds a bootstrap node, but only for ends that enable it', () => {
  const world = new ToxWorld({}, '10.0.0');
  const { host } = world.machine();
  const options = { ipv6: false, udpPort: 33_600, tcpPort: 0, lanDiscovery: true };
  const node = loadTox(compiledTox(), host.toxHost()).createBootstrapNode(options, () => {});
  world.nodes.push({ host, ip: '', node });
  const alice = world.person({ lanDiscovery: true });
  const loner = world.person({ lanDiscovery: false, udpPort: 40_000 });
  assert.equal(
    world.run(() => alice.selfPaths.at(-1) === 'relay' && node.isConnected(), 60_000),
    true,
  );
  assert.deepEqual(loner.selfPaths, []);
  world.close();
});
