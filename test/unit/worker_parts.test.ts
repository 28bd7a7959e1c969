import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Allowance } from '../../src/core/allowance.js';
import { TunnelError } from '../../src/core/errors.js';
import type { Path } from '../../src/core/tox_network.js';
import { FLAG_URGENT } from '../../src/ring/record.js';
import { joinBy, joinThroughProxy } from '../../src/worker/bootstrap.js';
import type { ChannelHost } from '../../src/worker/channel/channel.js';
import { ChannelSet } from '../../src/worker/channel_set.js';
import { createRandomPool, gatedLogger } from '../../src/worker/run_worker.js';

test('an allowance permits a burst, then its rate, and never saves up more than the burst', () => {
  const allowance = new Allowance(3, 2, 0);
  const passed = (nowMs: number): number => {
    let count = 0;
    while (allowance.take(nowMs)) count++;
    return count;
  };
  assert.equal(passed(0), 3);
  assert.equal(passed(499), 0);
  assert.equal(passed(500), 1);
  assert.equal(passed(60_000), 3);
  assert.equal(allowance.takeRefused(), 4);
  assert.equal(allowance.takeRefused(), 0);
});

test('a gated logger drops lines below its level and beyond its rate, and reports how many it dropped', () => {
  let nowMs = 0;
  const lines: string[] = [];
  const logger = gatedLogger(
    'info',
    () => nowMs,
    (level, message) => lines.push(`${level} ${message}`),
  );
  logger.log('debug', 'deep');
  logger.log('info', 'wanted');
  logger.log('error', 'wanted');
  assert.deepEqual(lines, ['info wanted', 'error wanted']);
  for (let i = 0; i < 1000; i++) logger.log('warn', 'flood');
  assert.ok(lines.length <= 202);
  const refused = 1002 - lines.length;
  nowMs = 1000;
  lines.length = 0;
  logger.log('info', 'later');
  assert.deepEqual(lines, [`warn ${refused} log lines were dropped: too many at once`, 'info later']);
});

test('a random pool hands out each byte of its source at most once, for requests of any size', () => {
  let next = 0;
  const random = createRandomPool((into) => {
    for (let i = 0; i < into.length; i++) into[i] = next++ % 251;
  });
  const seen: number[] = [];
  const sizes = [32, 24, 4, 1, 0, 64];
  for (let i = 0; i < 600; i++) {
    const into = new Uint8Array(sizes[i % sizes.length]!);
    random(into);
    seen.push(...into);
  }
  // Bytes from one fill are consecutive; a remainder too small for the next request may be discarded.
  let jumps = 0;
  for (let i = 1; i < seen.length; i++) if (seen[i] !== (seen[i - 1]! + 1) % 251) jumps++;
  assert.ok(jumps <= Math.ceil(seen.length / 4096) + 1, `${jumps} jumps`);
  const large = new Uint8Array(10_000);
  random(large);
  assert.equal(new Set(large).size, 251);
});

test('a random pool erases the bytes it hands out', () => {
  let pool: Uint8Array | undefined;
  const random = createRandomPool((into) => {
    pool ??= into;
    into.fill(7);
  });
  random(new Uint8Array(100));
  assert.deepEqual([...pool!.subarray(0, 101)], [...new Array<number>(100).fill(0), 7]);
});

test('the default source fills a pool with varying bytes', () => {
  const [a, b] = [new Uint8Array(32), new Uint8Array(32)];
  const random = createRandomPool();
  random(a);
  random(b);
  assert.notDeepEqual(a, b);
  assert.ok(new Set(a).size > 5);
});

/** Records the join calls of {@link joinBy} and resolves host names. */
function joining(answers: (ip: string) => boolean) {
  const did: string[] = [];
  const resolver = {
    resolve: (host: string) =>
      host === 'lost.example'
        ? Promise.reject(new Error('lost.example was not found'))
        : Promise.resolve(['192.0.2.1', '2001:db8::1']),
  };
  const joins = {
    bootstrap: (ip: string, port: number) => did.push(`udp ${ip} ${port}`) > 0 && answers(ip),
    addRelay: (ip: string, port: number) => did.push(`tcp ${ip} ${port}`) > 0 && answers(ip),
  };
  return { did, resolver, joins };
}
const key = new Uint8Array(32);

test('a bootstrap node is tried at each of its addresses, over UDP and at each of its TCP ports', async () => {
  const { did, resolver, joins } = joining(() => true);
  const failed = await joinBy([{ host: 'a', port: 1, tcpPorts: [2, 3], key }], resolver, () => joins);
  assert.deepEqual(failed, []);
  assert.deepEqual(did, [
    'udp 192.0.2.1 1',
    'tcp 192.0.2.1 2',
    'tcp 192.0.2.1 3',
    'udp 2001:db8::1 1',
    'tcp 2001:db8::1 2',
    'tcp 2001:db8::1 3',
  ]);
});

test('a bootstrap node is tried as a relay at its UDP port only if its TCP ports are not listed', async () => {
  const one = joining(() => true);
  await joinBy([{ host: 'a', port: 1, key }], one.resolver, () => one.joins);
  assert.ok(one.did.includes('tcp 192.0.2.1 1'));
  const none = joining(() => true);
  await joinBy([{ host: 'a', port: 1, tcpPorts: [], key }], none.resolver, () => none.joins);
  assert.deepEqual(none.did, ['udp 192.0.2.1 1', 'udp 2001:db8::1 1']);
});

test('unusable bootstrap nodes are reported with the reason, and the others are joined', async () => {
  const { did, resolver, joins } = joining((ip) => ip === '2001:db8::1');
  const nodes = [
    { host: 'lost.example', port: 1, key },
    { host: 'short.example', port: 2, key: key.subarray(1) },
    { host: 'good.example', port: 3, key },
  ];
  const failed = await joinBy(nodes, resolver, () => joins);
  assert.equal(failed.length, 2);
  assert.match(failed[0]!, /^lost\.example:1 .*not found/);
  assert.match(failed[1]!, /^short\.example:2 .*31 bytes/);
  assert.ok(did.includes('udp 192.0.2.1 3'));
  const refused = joining(() => false);
  const [line] = await joinBy([nodes[2]!], refused.resolver, () => refused.joins);
  assert.match(line!, /^good\.example:3 .*refused 192\.0\.2\.1, 2001:db8::1/);
});

const OPTIONS = { frameBytes: 1024, tag: 1, seed: 2 };

/** Bindings of two Tox sessions. */
const [FIRST, SECOND] = [Uint8Array.of(1), Uint8Array.of(2)];

/** A channel set whose channels record the calls they get. */
function channelSet() {
  const did: string[] = [];
  const hosts = new Map<number, ChannelHost>();
  const dueMs = new Map<number, number>();
  const ring = { isFull: false };
  let made = 0;
  let path: Path = 'udp';
  /** Of the current Tox session with each friend. */
  const bindings = new Map<number, Uint8Array>();
  const set = new ChannelSet({
    createChannel: (host, { online }) => {
      const name = ++made;
      did.push(`${name} made ${online ? 'online' : 'offline'}`);
      hosts.set(name, host);
      return {
        send: (frame, urgent) => void did.push(`${name} send ${Buffer.from(frame)} ${urgent}`),
        receive: (packet) => void did.push(`${name} receive ${Buffer.from(packet)}`),
        pump: () => {
          did.push(`${name} pump`);
          return dueMs.get(name) ?? Number.POSITIVE_INFINITY;
        },
        freeze: () => void did.push(`${name} freeze`),
        thaw: () => void did.push(`${name} thaw`),
        pathChanged: () => void did.push(`${name} path`),
        stats: () => assert.fail(),
        backlogBytes: 10 * name,
      };
    },
    rings: {
      write: (id) => did.push(`deliver from ${id}`) > 0 && !ring.isFull,
      drained: (id, bytes) => void did.push(`drained ${id} ${bytes}`),
    },
    tox: {
      sendLossy: (friend) => {
        did.push(`packet to ${friend}`);
        return friend === 99 ? 'not-a-friend' : 'sent';
      },
      friendPath: () => path,
      sessionBinding: (friend) => bindings.get(friend) ?? FIRST,
    },
    seek: (friend) => void did.push(`seek ${friend}`),
    nowMs: () => 0,
    failed: (id, error) => void did.push(`failed ${id} ${error.code}`),
    wake: () => void did.push('wake'),
  });
  const open = (id: number, friend: number, at: Path = 'udp'): boolean => {
    path = at;
    return set.open(id, friend, { ...OPTIONS, role: 'listener', binding: FIRST });
  };
  const take = (): string[] => did.splice(0).filter((what) => what !== 'wake');
  return { set, open, take, did, hosts, dueMs, ring, bindings };
}

test('a channel gets the frames of its id and the packets of its friend, and is pumped afterwards', () => {
  const { set, open, take, did } = channelSet();
  assert.equal(open(65, 3), true);
  set.pump(0);
  assert.deepEqual(take(), ['1 made online', '1 pump']);
  set.frame(65, FLAG_URGENT, Buffer.from('f'));
  set.receive(3, Buffer.from('p'));
  assert.ok(did.includes('wake'));
  set.pump(0);
  set.pump(0);
  assert.deepEqual(take(), ['1 send f true', '1 receive p', '1 pump']);
  set.frame(66, 0, Buffer.from('frame'));
  set.receive(4, Buffer.from('p'));
  assert.deepEqual(take(), ['drained 66 5'], 'the bytes of a frame without a channel count as drained');
});

test('a channel is pumped at its due time, and the set returns the next due time', () => {
  const { set, open, take, dueMs } = channelSet();
  open(1, 1, 'none');
  open(2, 2);
  dueMs.set(1, 50);
  dueMs.set(2, 80);
  assert.equal(set.pump(0), 50);
  take();
  dueMs.set(1, 200);
  assert.equal(set.pump(50), 80);
  assert.deepEqual(take(), ['1 pump']);
});

test('closing a channel releases its backlog, and its friend may get another channel', () => {
  const { set, open, take } = channelSet();
  open(1, 7);
  assert.equal(open(1, 8), false);
  assert.equal(open(65, 7), true);
  assert.deepEqual(take(), ['1 made online', 'drained 1 10', '2 made online']);
  assert.equal(set.close(1), false);
  set.receive(7, Buffer.from('p'));
  assert.deepEqual(take(), ['2 receive p']);
  set.closeOfFriend(7);
  assert.deepEqual(take(), ['drained 65 20']);
  set.receive(7, Buffer.from('p'));
  assert.deepEqual(take(), []);
});

test('path changes freeze and thaw only the channel of that friend', () => {
  const { set, open, take } = channelSet();
  open(1, 7);
  open(2, 8);
  set.pump(0);
  take();
  set.pathChanged(7, 'none');
  set.pathChanged(7, 'udp');
  set.pathChanged(9, 'udp');
  set.pump(0);
  assert.deepEqual(take(), ['1 freeze', '1 thaw', '1 pump']);
});

// A thief of either end's Tox key can make the next Tox session, but not its handshake.
test('in another Tox session a channel sends nothing and takes nothing until the peer has proven itself there', () => {
  const { set, open, take, bindings } = channelSet();
  open(1, 7);
  set.pump(0);
  take();
  set.pathChanged(7, 'none');
  bindings.set(7, SECOND);
  set.pathChanged(7, 'relay');
  set.receive(7, Buffer.from('of a thief'));
  set.pathChanged(7, 'udp');
  set.pump(0);
  assert.deepEqual(take(), ['1 freeze', '1 pump']);
  assert.equal(set.rebind(1, FIRST), true);
  assert.deepEqual(take(), [], 'a proof for an earlier Tox session counts for nothing');
  assert.equal(set.rebind(1, SECOND), true);
  set.receive(7, Buffer.from('p'));
  set.pathChanged(7, 'relay');
  assert.deepEqual(take(), ['1 thaw', '1 receive p', '1 path']);
  assert.equal(set.rebind(1, SECOND), true);
  assert.deepEqual(take(), []);
  assert.equal(set.rebind(2, SECOND), false);
});

test('a channel whose peer has proven itself in a Tox session that is gone starts frozen', () => {
  const { set, open, take, bindings } = channelSet();
  bindings.set(7, SECOND);
  open(1, 7);
  set.receive(7, Buffer.from('of a thief'));
  assert.deepEqual(take(), ['1 made offline']);
  set.rebind(1, SECOND);
  assert.deepEqual(take(), ['1 thaw']);
});

test('room in the inbound ring wakes the channels that it refused a frame, and no others', () => {
  const { set, open, take, hosts, ring } = channelSet();
  for (const id of [1, 2, 3]) open(id, id);
  set.pump(0);
  take();
  ring.isFull = true;
  assert.equal(hosts.get(3)!.deliver(Buffer.from('x')), false);
  assert.equal(hosts.get(1)!.deliver(Buffer.from('x')), false);
  take();
  ring.isFull = false;
  set.room();
  set.pump(0);
  assert.deepEqual(take(), ['3 pump', '1 pump'], 'in the order of their refusals');
  set.room();
  set.pump(0);
  assert.deepEqual(take(), []);
});

for (const size of [1, 64, 65, 1000]) {
  test(`of ${size} channels, a turn pumps those that are due and those with something new, each once`, () => {
    const { set, open, take, dueMs } = channelSet();
    for (let id = 1; id <= size; id++) {
      dueMs.set(id, 10 * (size - id + 1));
      open(id, id);
    }
    assert.equal(set.pump(0), 10, 'the last one is due first');
    assert.equal(take().filter((line) => line.endsWith('pump')).length, size);
    assert.equal(set.pump(9), 10);
    assert.deepEqual(take(), []);
    dueMs.set(size, Number.POSITIVE_INFINITY);
    set.receive(1, Buffer.from('p'));
    set.receive(1, Buffer.from('q'));
    if (size === 1) dueMs.set(1, 500);
    assert.equal(set.pump(10), size === 1 ? 500 : 20);
    const pumped = take().filter((line) => line.endsWith('pump'));
    assert.deepEqual(pumped, size === 1 ? ['1 pump'] : ['1 pump', `${size} pump`]);
    for (let id = 1; id <= size; id++) set.close(id);
    take();
    assert.equal(set.pump(1_000_000), Number.POSITIVE_INFINITY);
    assert.deepEqual(take(), []);
  });
}

test('a channel that fails is closed in the next turn, and the failure is reported once', () => {
  const { set, open, take, hosts } = channelSet();
  open(1, 7);
  set.pump(0);
  take();
  hosts.get(1)!.fail(new TunnelError('ERR_LIMIT', 'x'));
  hosts.get(1)!.fail(new TunnelError('ERR_CLOSED', 'y'));
  set.pump(0);
  set.pump(0);
  assert.deepEqual(take(), ['1 pump', 'drained 1 10', 'failed 1 ERR_LIMIT']);
  assert.equal(set.get(1), undefined);
});

test('a channel sends packets to its own friend and delivers frames under its own id', () => {
  const { open, take, hosts } = channelSet();
  open(5, 7);
  take();
  assert.equal(hosts.get(1)!.sendPacket(Buffer.from('p')), 'sent');
  assert.equal(hosts.get(1)!.deliver(Buffer.from('f')), true);
  hosts.get(1)!.drained(3);
  assert.deepEqual(take(), ['packet to 7', 'deliver from 5', 'drained 5 3']);
  open(6, 99);
  assert.equal(hosts.get(2)!.sendPacket(Buffer.from('p')), 'failed', 'the friend no longer exists');
});

test('through a proxy, a bootstrap node given by name is only a relay, at its placeholder address', () => {
  const key = new Uint8Array(32).fill(1);
  const done: string[] = [];
  const instance = {
    bootstrap: (ip: string, port: number) => done.push(`bootstrap ${ip} ${port}`) > 0,
    addRelay: (ip: string, port: number) => done.push(`relay ${ip} ${port}`) > 0,
  };
  const names = {
    addressOf: (name: string) => (name === 'full.example' ? undefined : `100::${name.length}`),
  };
  const join = (...hosts: readonly string[]) =>
    joinThroughProxy(
      hosts.map((host) => ({ host, port: 33445, tcpPorts: [443], key })),
      names,
      instance,
    );

  assert.deepEqual(join('192.0.2.1', 'a.example'), []);
  assert.deepEqual(done, ['bootstrap 192.0.2.1 33445', 'relay 192.0.2.1 443', 'relay 100::9 443']);
  assert.deepEqual(join('192.0.2.1', 'full.example'), ['full.example:33445 (toxcore refused it)']);
  assert.match(join('a.example')[0] ?? '', /^no way to friends: .*numeric address$/);
  const short = { host: '192.0.2.1', port: 1, key: key.subarray(1) };
  assert.deepEqual(joinThroughProxy([short], names, instance), [
    '192.0.2.1:1 (its key has 31 bytes, not 32)',
  ]);
});
