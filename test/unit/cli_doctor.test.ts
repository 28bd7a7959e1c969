import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { LOOK_UP_MS } from '../../src/cli/commands/doctor_internet.js';
import { TunnelError } from '../../src/core/errors.js';
import { DialError } from '../../src/forward/stream/dial_error.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { CliBench, FakeTunnel } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';

/** A simulated network: paths may be blocked, and the listener may be absent. */
class World {
  readonly bench = new CliBench();
  readonly ticket = formatTicket({ toxId: parseToxId(this.bench.tunnel.toxId), secret: new Uint8Array(32) });
  udp = true;
  relay = true;
  listener = true;
  /** Bootstrap nodes, and the port at which each sees us. */
  sightings: (readonly [node: string, port: number])[] = [
    ['198.51.100.1', 33445],
    ['198.51.100.2', 33445],
  ];
  readonly tunnels: FakeTunnel[] = [];

  constructor() {
    this.bench.onStart = async ({ what, options }) => {
      const tunnel = new FakeTunnel();
      this.tunnels.push(tunnel);
      setImmediate(() => {
        const path = options.udp === false ? 'relay' : 'udp';
        if (what === 'listen') {
          if (path === 'udp' ? this.udp : this.relay) tunnel.node.emit('online', { path });
        } else if (this.listener) {
          tunnel.emit('peer', { status: 'online', path: 'udp', code: 301, publicKey: 'AB'.repeat(32) });
        }
      });
      tunnel.node.onSeenAddresses = async () => ({
        udpPort: 33445,
        seen: this.sightings.map(([by, port]) => ({
          by: { ip: by, port: 33445 },
          as: { ip: '203.0.113.5', port },
        })),
      });
      tunnel.onDial = () => {
        const stream = new PassThrough();
        setImmediate(() => stream.emit('connect'));
        return stream;
      };
      return tunnel;
    };
  }

  /** Runs the command, and skips all its waiting. */
  async doctor(...args: string[]): Promise<number> {
    let over = false;
    const ended = this.bench.run('doctor', ...args).finally(() => {
      over = true;
    });
    let timer: unknown;
    let turns = 0;
    const isOver = (): boolean => over;
    while (!isOver()) {
      await new Promise(setImmediate);
      const newest = this.bench.timers.at(-1);
      turns = newest === timer ? turns + 1 : 0;
      timer = newest;
      // Give the simulated network a few turns first.
      if (newest !== undefined && turns > 5) this.bench.tick();
    }
    return ended;
  }

  get found(): string {
    return this.#findings((line) => !/^good {2}(network|dns):/.test(line));
  }

  /** The findings about the network connection and DNS too. */
  get foundAll(): string {
    return this.#findings(() => true);
  }

  #findings(isWanted: (line: string) => boolean): string {
    return this.bench.stderr.lines.filter((line) => /^(good|BAD )/.test(line) && isWanted(line)).join('\n');
  }
}

describe('doctor', () => {
  let world = new World();
  beforeEach(() => {
    world = new World();
  });

  test('reports each step when all is well, and leaves no Tox node behind', async () => {
    assert.equal(await world.doctor(world.ticket, '22'), 0);
    const [udp, nat, relay, peer, path, target] = world.found.split('\n');
    assert.match(udp ?? '', /^good {2}udp: joined the network over UDP in 1 s \(\d+ bootstrap nodes\)$/);
    assert.match(
      nat ?? '',
      /^good {2}nat: a NAT that maps our port to the same port.*203\.0\.113\.5:33445\)$/,
    );
    assert.match(relay ?? '', /^good {2}relay: joined the network through a TCP relay/);
    assert.match(peer ?? '', /^good {2}peer: found the listener/);
    assert.match(path ?? '', /^good {2}path: directly over UDP, round trip 12\.3 ms$/);
    assert.match(target ?? '', /^good {2}target: the listener reaches localhost:22$/);
    assert.deepEqual(
      world.tunnels.map(({ closes }) => closes),
      [1, 1, 1],
    );
  });

  test('reports blocked UDP, and that relays work', async () => {
    world.udp = false;
    assert.equal(await world.doctor(), 1);
    assert.match(world.found, /^BAD {3}udp: no answer over UDP within 30 s.*firewall.*relay/);
    assert.match(world.found, /\ngood {2}relay/);
  });

  test('UDP is good when answers arrive, even if toxcore reports the relays as the path', async () => {
    const { onStart } = world.bench;
    world.udp = false;
    world.bench.onStart = async (call) => {
      const tunnel = await onStart(call);
      tunnel.node.onDatagrams = async () => ({ received: 3, sent: 9 });
      tunnel.node.path = 'relay';
      setImmediate(() => tunnel.node.emit('online', { path: 'relay' }));
      return tunnel;
    };
    assert.equal(await world.doctor(), 0);
    assert.match(world.found, /good {2}udp: joined the network over UDP in 1 s/);
  });

  test('incoming datagrams do not prove a path: they may be meant for an earlier owner of our port', async () => {
    const { onStart } = world.bench;
    world.udp = false;
    world.bench.onStart = async (call) => {
      const tunnel = await onStart(call);
      tunnel.node.path = 'none';
      tunnel.node.onDatagrams = async () => ({ received: 3, sent: 9 });
      return tunnel;
    };
    assert.equal(await world.doctor(), 1);
    assert.match(world.found, /^BAD {3}udp: no answer over UDP within 30 s/);
  });

  test('there is no NAT when nodes see an address of this machine, public or not', async () => {
    const { onStart } = world.bench;
    world.bench.onStart = async (call) => {
      const tunnel = await onStart(call);
      tunnel.node.onSeenAddresses = async () => ({
        udpPort: 33445,
        seen: [{ by: { ip: '127.0.0.1', port: 1 }, as: { ip: '192.0.2.7', port: 33445 } }],
      });
      return tunnel;
    };
    world.bench.addresses.push({ address: '192.0.2.7', family: 'IPv4', internal: false });
    assert.equal(await world.doctor(), 0);
    assert.match(
      world.found,
      /good {2}nat: no NAT: the nodes see an address of this machine.*\(seen at 192\.0\.2\.7:33445\)/,
    );
    assert.doesNotMatch(world.found, /public/);
  });

  test('reports a symmetric NAT, and a NAT that too few nodes have seen', async () => {
    world.sightings[1] = ['198.51.100.2', 40000];
    assert.equal(await world.doctor(), 0);
    assert.match(
      world.found,
      /good {2}nat: a symmetric NAT, which uses a different port for each peer.*--udp-port/,
    );
    world = new World();
    world.sightings.pop();
    assert.equal(await world.doctor(), 0);
    assert.match(world.found, /good {2}nat: the kind of NAT is unknown: that takes answers from two nodes/);
  });

  const unreachable = (): Error => Object.assign(new Error('connect ENETUNREACH'), { code: 'ENETUNREACH' });
  const notFound = async (): Promise<never> => {
    throw Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' });
  };
  const NODE = (host: string): string[] => ['--bootstrap', `${host}:33445:${'AB'.repeat(32)}`];

  test('without a network it says so at once, and joins nothing', async () => {
    world.bench.onRoute = unreachable;
    assert.equal(await world.doctor(world.ticket, '22'), 1);
    assert.match(
      world.foundAll,
      /^BAD {3}network: no internet connection: this machine has no address but its loopback \(ENETUNREACH\); connect it[^\n]*$/,
    );
    assert.deepEqual(world.tunnels, []);
    assert.equal(world.bench.nowMs, 0);
  });

  test('without a route it says so at once', async () => {
    world.bench.onRoute = unreachable;
    world.bench.addresses.push({ address: '192.0.2.7', family: 'IPv4', internal: false });
    assert.equal(await world.doctor(...NODE('198.51.100.1'), ...NODE('[2001:db8::1]')), 1);
    assert.match(world.foundAll, /^BAD {3}network: no internet connection: .*no route to it \(ENETUNREACH\)/);
    assert.deepEqual(world.tunnels, []);
  });

  test('a route to one node is enough', async () => {
    world.bench.onRoute = (address) => (address.includes(':') ? unreachable() : undefined);
    assert.equal(await world.doctor(...NODE('198.51.100.1'), ...NODE('[2001:db8::1]')), 0);
    assert.match(world.foundAll, /^good {2}network: /);
    assert.doesNotMatch(world.foundAll, /dns:/);
  });

  test('without DNS it stops when all nodes are known by name', async () => {
    world.bench.addresses.push({ address: '192.0.2.7', family: 'IPv4', internal: false });
    world.bench.onLookUp = notFound;
    assert.equal(await world.doctor(...NODE('one.example'), ...NODE('two.example')), 1);
    assert.match(
      world.foundAll,
      /\nBAD {3}dns: no internet connection or no DNS: cannot resolve any of 2 names .*\(EAI_AGAIN\); check the name server/,
    );
    assert.deepEqual(world.tunnels, []);
  });

  test('without DNS it goes on with the nodes that are known by address', async () => {
    world.bench.onLookUp = notFound;
    assert.equal(await world.doctor(...NODE('one.example'), ...NODE('198.51.100.1')), 1);
    assert.match(
      world.foundAll,
      /\nBAD {3}dns: no DNS: cannot resolve the name one\.example .*\ngood {2}udp:/s,
    );
  });

  test('a name server that never answers takes 5 s', async () => {
    world.bench.addresses.push({ address: '192.0.2.7', family: 'IPv4', internal: false });
    world.bench.onLookUp = () => new Promise(() => {});
    assert.equal(await world.doctor(...NODE('one.example')), 1);
    assert.match(world.foundAll, /\nBAD {3}dns: .*\(no answer within 5 s\)/);
    assert.equal(world.bench.nowMs, LOOK_UP_MS);
  });

  test('a machine with only its loopback has no network, unless the nodes are there too', async () => {
    assert.equal(await world.doctor(...NODE('one.example')), 1);
    assert.match(world.foundAll, /^BAD {3}network: no network: this machine has no address but its loopback/);
    world = new World();
    assert.equal(await world.doctor(...NODE('127.0.0.1')), 0);
  });

  test('each step is shown as it runs: in the live line of a terminal, and elsewhere in a line of its own', async () => {
    world.udp = false;
    assert.equal(await world.doctor(world.ticket, '22'), 1);
    const steps = world.bench.stderr.lines.filter((line) => line.endsWith('...'));
    assert.deepEqual(steps, [
      'Looking for a network connection...',
      'Resolving the names of bootstrap nodes...',
      'Joining the Tox network over UDP, for up to 30 s...',
      'Joining the Tox network through a TCP relay, for up to 30 s...',
      'Looking for the listener, for up to 90 s...',
      'Measuring the path...',
      'Asking the listener to reach localhost:22, for up to 20 s...',
    ]);
    world = new World();
    world.udp = false;
    world.bench.stderr.isTTY = true;
    assert.equal(await world.doctor(), 1);
    assert.ok(world.bench.stderr.text.includes('over UDP, for up to 30 s... 12 s'), world.bench.stderr.text);
    assert.equal(world.bench.timers.length, 0);
  });

  const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

  /** Starts a connector with the state folder of the doctor. */
  async function startConnector(...args: string[]) {
    const connector = new CliBench(world.bench.stateFolder);
    connector.pid = 4711;
    const { ended } = await connector.start(/Forwarding/, ...args, '22', '-p', '2222');
    const stop = async (): Promise<void> => {
      connector.signal();
      await ended;
    };
    return { connector, stop };
  }

  test('the listener sees the identity of this machine, which is not saved anew', async () => {
    const { connector, stop } = await startConnector(ID);
    await stop();
    world.listener = false;
    let identity: unknown;
    const { onStart } = world.bench;
    world.bench.onStart = (call) => {
      if (call.what === 'connect') identity = call.options.identity;
      return onStart(call);
    };
    assert.equal(await world.doctor(ID), 1);
    assert.deepEqual(identity, connector.tunnel.identity);
    assert.match(world.found, /BAD {3}peer: .* --allow-peer [0-9A-F]{64};/);
  });

  test('without an identity, a bare Tox ID is a finding at once', async () => {
    assert.equal(await world.doctor(ID), 1);
    assert.match(
      world.found,
      /BAD {3}peer: this machine has no identity that the listener can know; connect once/,
    );
    assert.equal(world.tunnels.length, 2);
  });

  test('asks a running connector with the same ticket', async () => {
    const { connector, stop } = await startConnector(world.ticket);
    const answering = connector.until(() => connector.timers.some(({ delayMs }) => delayMs === 500));
    connector.tunnel.friends = [SOME_PEER];
    // Its clock stands still: otherwise it would not wait for the answer.
    const code = world.bench.run('doctor', world.ticket, '22');
    await answering;
    connector.pass(500);
    assert.equal(await code, 0);
    assert.match(world.found, /good {2}peer: connector 4711 of this machine is connected to the listener, /);
    assert.match(world.bench.stderr.text, /localhost:22 is not checked, because connector 4711/);
    await stop();
  });

  test('says which process has the identity that a listener would know', async () => {
    const { stop } = await startConnector(world.ticket);
    assert.equal(await world.doctor(ID), 1);
    assert.match(world.found, /BAD {3}peer: another connector uses the identity of this machine/);
    await stop();
  });

  test('through a proxy, checks only the relay, and reports a proxy that leads nowhere', async () => {
    const proxy = ['--proxy', 'socks5://127.0.0.1:1080'];
    assert.equal(await world.doctor(...proxy), 0);
    assert.match(world.found, /^good {2}relay: [^\n]*$/);
    assert.equal(world.tunnels.length, 1);
    world = new World();
    world.relay = false;
    assert.equal(await world.doctor(...proxy), 1);
    assert.match(world.found, /^BAD {3}relay: .*the proxy does not connect to them/);
  });

  test('reports a network without relays', async () => {
    world.relay = false;
    assert.equal(await world.doctor(), 1);
    assert.match(world.found, /BAD {3}relay: .*node --tcp-port 443.*--bootstrap/);
  });

  test('reports an absent listener, and checks nothing after it', async () => {
    world.listener = false;
    assert.equal(await world.doctor(world.ticket, '22'), 1);
    assert.match(
      world.found,
      /BAD {3}peer: did not find the listener within 90 s; it is offline, or it rejects this ticket/,
    );
    assert.ok(!world.found.includes('target:'));
    assert.equal(world.tunnels.at(-1)?.closes, 1);
  });

  test('a path through a relay is good, with advice for a direct path', async () => {
    const { onStart } = world.bench;
    world.bench.onStart = async (call) => {
      const tunnel = await onStart(call);
      tunnel.onPing = async () => ({ roundTripMs: 80, path: 'relay' });
      return tunnel;
    };
    assert.equal(await world.doctor(world.ticket), 0);
    assert.match(world.found, /good {2}path: through a TCP relay, round trip 80\.0 ms: .*--udp-port/);
  });

  for (const [reason, text, told] of [
    [
      'not-allowed',
      'localhost port 22 is not exposed',
      'localhost port 22 is not exposed; check at the listener',
    ],
    [
      'refused',
      'localhost port 22: ECONNREFUSED',
      'localhost port 22: ECONNREFUSED (the target refused the connection); check',
    ],
    ['timeout', '', 'the target did not answer in time; check'],
  ] as const)
    test(`reports once why the listener does not open a target: ${reason}`, async () => {
      const { onStart } = world.bench;
      world.bench.onStart = async (call) => {
        const tunnel = await onStart(call);
        tunnel.onDial = () => {
          const stream = new PassThrough();
          const error = new DialError('connect', 'localhost port 22', reason, text);
          setImmediate(() => stream.destroy(error));
          return stream;
        };
        return tunnel;
      };
      assert.equal(await world.doctor(world.ticket, '22'), 1);
      assert.ok(world.found.includes(`BAD   target: ${told}`), world.found);
    });

  test('a Tox node that cannot start is a finding, and the other checks continue', async () => {
    const { onStart } = world.bench;
    world.bench.onStart = async (call) => {
      if (call.options.udp === true) throw new TunnelError('ERR_LISTEN', 'no UDP port is free');
      return onStart(call);
    };
    assert.equal(await world.doctor(), 1);
    assert.match(world.found, /BAD {3}udp: .*no UDP port is free\ngood {2}relay/);
  });
});
