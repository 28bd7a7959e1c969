/** Hosts behind NATs, firewalls and broken name servers: real processes in network namespaces. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { CliProcess } from '../support/cli_process.js';
import { withoutNamespaces } from '../support/namespaces.js';
import { NatWorld } from '../support/nat_world.js';
import { type Carried, PathTarget } from '../support/path_transfer.js';
import { TempFolder } from '../support/temp_folder.js';
import { type Pair, ToxHosts } from '../support/tox_hosts.js';

const MIB = 1024 * 1024;
/** Options for an end that keeps no state and knows only the given bootstrap nodes. */
const ALONE = ['--ephemeral', '--no-lan'];
/** A tunnel that normally connects within seconds may take longer on a busy machine. */
const PATIENT = { timeout: 150_000 };

function assertWhole(carried: readonly Carried[]): void {
  for (const { got, wanted } of carried) assert.equal(got, wanted);
}

describe('two hosts behind two NATs', { skip: withoutNamespaces() }, () => {
  let folder: TempFolder;
  let world: NatWorld;
  let bootstrap: string;
  let target: PathTarget;
  let tunnels = 0;

  before(async () => {
    folder = new TempFolder();
    target = await PathTarget.start(folder.file('target'));
    world = new NatWorld();
    bootstrap = await world.startNode('a');
  });

  after(async () => {
    await world.remove();
    await target.stop();
    folder.remove();
  });

  function tunnel(): Promise<Pair> {
    const path = folder.file(`near${tunnels++}`);
    return world.tunnel('b', target.path, 'a', path, ['--bootstrap', bootstrap, '--no-lan']);
  }

  test(
    'connect directly when the NATs keep the port, and lose no byte when one moves to another network',
    PATIENT,
    async () => {
      world.setNats('keeps-port');
      const pair = await tunnel();
      await pair.isReached('udp');
      assertWhole(await target.carry(pair.path, MIB));

      assertWhole(await target.carry(pair.path, 4 * MIB, () => world.moveOn('a')));
      await pair.stop();
    },
  );

  test(
    'continue over a relay without losing a byte when a firewall starts to drop UDP',
    PATIENT,
    async () => {
      world.setNats('keeps-port');
      const pair = await tunnel();
      await pair.isReached('udp');

      const relayed = pair.connector.nextEvent('peer', ({ path }) => path === 'relay');
      assertWhole(await target.carry(pair.path, 4 * MIB, () => world.dropUdp('a')));
      await relayed;
      await pair.stop();
      world.dropUdp('a', false);
    },
  );

  test('connect over a relay when both NATs map each peer to a different port', PATIENT, async () => {
    world.setNats('symmetric');
    const pair = await tunnel();
    await pair.isReached('relay');
    assertWhole(await target.carry(pair.path, 2 * MIB));
    assert.ok(!pair.connector.events.some(({ path }) => path === 'udp'), 'never directly');
    await pair.stop();
  });

  test('connect over a relay when firewalls drop all UDP', PATIENT, async () => {
    world.setNats('keeps-port');
    world.dropUdp('a');
    world.dropUdp('b');
    const pair = await tunnel();
    await pair.isReached('relay');
    assertWhole(await target.carry(pair.path, 2 * MIB));
    await pair.stop();
    world.dropUdp('a', false);
    world.dropUdp('b', false);
  });

  test('learn from doctor which kind of NAT each is behind', PATIENT, async () => {
    world.setNats('keeps-port', 'symmetric');
    const other = await world.startNode('b');
    const nodes = ['--bootstrap', bootstrap, '--bootstrap', other, '--no-lan'];
    const [a, b] = [world.run('a', 'doctor', ...nodes), world.run('b', 'doctor', ...nodes)];
    const natOf = async (doctor: CliProcess): Promise<string> => {
      assert.equal(await doctor.exited(), 0);
      return String((await doctor.event('check', ({ check }) => check === 'nat'))['message']);
    };
    const [atA, atB] = await Promise.all([natOf(a), natOf(b)]);
    assert.match(
      atA,
      /^a NAT that maps our port to the same port for all peers.*\(seen at 203\.0\.113\.\d+:\d+\)$/,
    );
    assert.match(
      atB,
      /^a symmetric NAT, which uses a different port for each peer.*\(seen at 203\.0\.113\.70:\d+\)$/,
    );
  });

  test(
    'connect once the name of the bootstrap node resolves, and report until then that it does not',
    PATIENT,
    async () => {
      world.setNats('keeps-port');
      const etc = world.spaces.etcFolder('a');
      mkdirSync(etc, { recursive: true });
      writeFileSync(`${etc}/resolv.conf`, 'nameserver 127.0.0.1\n'); // no name server answers there
      writeFileSync(`${etc}/hosts`, '127.0.0.1 localhost\n');
      const [address = '', port, key] = bootstrap.split(':');
      const listener = world.run('b', 'listen', '--bootstrap', bootstrap, ...ALONE);
      const { ticket } = await listener.event('started');
      const named = `home.example:${port}:${key}`;
      const connector = world.run(
        'a',
        'connect',
        String(ticket),
        '-D',
        '0',
        '--bootstrap',
        named,
        '--no-lan',
      );

      const { message } = await connector.event('waiting');
      assert.match(String(message), /home\.example:33445 \(home\.example was not found/);

      writeFileSync(`${etc}/hosts`, `127.0.0.1 localhost\n${address} home.example\n`);
      await connector.event('peer', ({ status }) => status === 'online');
      await Promise.all([connector.stop('SIGKILL'), listener.stop('SIGKILL')]);
    },
  );
});

describe('two hosts without NATs', { skip: withoutNamespaces() }, () => {
  let folder: TempFolder;
  let hosts: ToxHosts;
  let target: PathTarget;

  before(async () => {
    folder = new TempFolder();
    target = await PathTarget.start(folder.file('target'));
    hosts = new ToxHosts();
  });

  after(async () => {
    await hosts.remove();
    await target.stop();
    folder.remove();
  });

  test('connect over IPv6 only', PATIENT, async () => {
    const { spaces } = hosts;
    for (const space of ['router', 'left', 'right']) spaces.add(space);
    spaces.setting('router', 'ipv6/conf/all/forwarding', '1');
    for (const [number, space] of ['left', 'right'].entries()) {
      const net = `2001:db8:${number + 1}:`;
      spaces.link(
        { space: 'router', device: `to-${space}`, addresses: [`${net}:1/64`] },
        { space, device: 'eth0', addresses: [`${net}:2/64`] },
      );
      spaces.ip(space, 'route', 'add', 'default', 'via', `${net}:1`);
    }
    const bootstrap = await hosts.node('router', '2001:db8:1::1');

    const common = ['--bootstrap', bootstrap, '--no-lan'];
    const pair = await hosts.tunnel('right', target.path, 'left', folder.file('near6'), common);

    await pair.isReached('udp');
    assertWhole(await target.carry(pair.path, 2 * MIB));
    await pair.stop();
  });

  test('learn from doctor within seconds that they have no network', PATIENT, async () => {
    hosts.spaces.add('island');
    const key = 'AB'.repeat(32);
    const doctor = hosts.run('island', 'doctor', '--bootstrap', `192.0.2.1:33445:${key}`, '--no-lan');
    const { ok, message } = await doctor.event('check', ({ check }) => check === 'network');
    assert.equal(ok, false);
    assert.match(String(message), /^no internet connection: .*loopback \(ENETUNREACH\)/);
    assert.equal(await doctor.exited(), 1);
    // The checks after it would take a minute.
    await assert.rejects(doctor.event('check', ({ check }) => check === 'udp'));
  });

  test('find each other on their LAN when no bootstrap node is reachable', PATIENT, async () => {
    const { spaces } = hosts;
    for (const space of ['desk', 'shelf']) spaces.add(space);
    spaces.link(
      { space: 'desk', device: 'eth0', addresses: ['192.168.7.2/24'] },
      { space: 'shelf', device: 'eth0', addresses: ['192.168.7.3/24'] },
    );

    const pair = await hosts.tunnel('shelf', target.path, 'desk', folder.file('near-lan'), []);

    await pair.isReached('udp');
    assertWhole(await target.carry(pair.path, 2 * MIB));
    await pair.stop();
  });
});
