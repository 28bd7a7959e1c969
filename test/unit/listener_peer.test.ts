import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteRates } from '../../src/core/allowance.js';
import { TunnelError } from '../../src/core/errors.js';
import { decodeRefuse, decodeWelcome, packetKind } from '../../src/mux/wire/handshake.js';
import { openFrame } from '../support/attacker.js';
import { BY_KEY, bye, hello, ListenerBench, PING, refusal, uuid, welcome } from '../support/peer_bench.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const C = uuid(0xc0);
const D = uuid(0xd0);

function answers(bench: ListenerBench): string[] {
  return bench.node.sent
    .splice(0)
    .map((packet) => ({ 2: 'welcome', 3: 'refuse' })[packetKind(packet) ?? 0] ?? 'else');
}

test('a hello opens the channel, and the welcome follows only then', async () => {
  const bench = new ListenerBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  void bench.peer.handshake(hello(C));
  await bench.pass(0);
  assert.deepEqual([bench.node.channels.length, bench.node.sent.length], [1, 0]);
  assert.equal(bench.peer.hasMet, false);
  bench.node.held[0]?.();
  await bench.pass(0);
  const packet = bench.node.sent[0]!;
  assert.deepEqual(decodeWelcome(packet).connectorSession, C);
  assert.deepEqual(bench.take(), ['code 301', 'online udp', 'code 201']);
  assert.equal(bench.peer.hasMet, true);
  assert.deepEqual(bench.node.newest.frames, [], 'the connector sends first');
});

test('a repeated hello gets the same welcome, and the session continues', async () => {
  const bench = new ListenerBench({ patienceMs: 20_000 });
  await bench.join(C);
  await bench.peer.handshake(hello(C));
  await bench.pass(0);
  bench.peer.friendPath('none');
  await bench.pass(19_000);
  await bench.join(C);
  const [first, second, third] = bench.node.sent.map((packet) => decodeWelcome(packet).session);
  assert.deepEqual(first, second);
  assert.deepEqual(first, third);
  assert.equal(bench.node.channels.length, 1);
  assert.ok(bench.peer.isOnline);
});

test('many hellos at once are answered one by one, the newest last', async () => {
  const bench = new ListenerBench();
  bench.peer.friendPath('udp');
  for (let i = 1; i <= 50; i++) void bench.peer.handshake(hello(uuid(i)));
  await bench.pass(0);
  await bench.pass(0);
  assert.ok(bench.node.channels.length <= 2, `${bench.node.channels.length} channels`);
  assert.deepEqual(decodeWelcome(bench.node.sent.at(-1)!).connectorSession, uuid(50));
  assert.deepEqual(bench.node.open, [bench.node.newest]);
});

test('another connector session gets its own session, and the old streams are reset', async () => {
  const bench = new ListenerBench({ patienceMs: 60_000 });
  await bench.join(C);
  const old = bench.node.newest;
  await bench.join(D);
  const [first, second] = bench.node.sent.map((packet) => decodeWelcome(packet).session);
  assert.notDeepEqual(first, second);
  assert.ok(old.closed);
  assert.deepEqual(bench.node.open, [bench.node.newest]);
  assert.notEqual(old.tag, bench.node.newest.tag);
  assert.deepEqual(bench.codes, [301, 201, 302, 301, 201]);
});

test('a hello after the end of the session gets another session', async () => {
  const bench = new ListenerBench();
  await bench.join(C);
  bench.peer.friendPath('none');
  await bench.join(C);
  const [first, second] = bench.node.sent.map((packet) => decodeWelcome(packet).session);
  assert.notDeepEqual(first, second);
});

test('a hello without agreement is refused with the reason, and does not affect a session', async () => {
  const bench = new ListenerBench();
  await bench.join(C);
  bench.node.sent = [];
  const newer = hello(D);
  newer[3] = 7;
  newer[5] = 9;
  await bench.peer.handshake(newer);
  await bench.peer.handshake(hello(D).subarray(0, 27));
  await bench.pass(0);
  const refusals = bench.node.sent.map(decodeRefuse);
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ['version', 'protocol-error'],
  );
  assert.match(refusals[0]?.text ?? '', /you speak versions 7 to 9, this end speaks version 2/);
  assert.ok(bench.peer.isOnline);
  assert.equal(bench.take().filter((line) => line.startsWith('warn')).length, 2);
});

test('ignores packets that are not a hello', async () => {
  const bench = new ListenerBench();
  bench.peer.friendPath('udp');
  await bench.peer.handshake(welcome(C, D));
  await bench.peer.handshake(refusal('busy'));
  await bench.peer.handshake(Uint8Array.of());
  await bench.pass(0);
  assert.deepEqual([bench.node.sent, bench.node.channels], [[], []]);
});

test('with too many peers a hello is refused as a limit; other faults are not disclosed', async () => {
  const bench = new ListenerBench();
  bench.node.openError = new TunnelError('ERR_LIMIT', '64 peers are connected');
  await bench.join(C);
  bench.node.openError = new TunnelError('ERR_TOX_CRASHED', 'at 0x1234');
  await bench.join(C);
  const [limit, internal] = bench.node.sent.map(decodeRefuse);
  assert.ok(limit?.reason === 'limit' && internal?.reason === 'internal');
  assert.match(limit.text, /64 peers/);
  assert.doesNotMatch(internal.text, /0x1234/);
  assert.match(bench.take().join(), /0x1234/, 'but the log has them');
  bench.node.openError = undefined;
  await bench.join(C);
  assert.deepEqual(answers(bench), ['refuse', 'refuse', 'welcome']);
});

test('a closed Tox node sends no refusals', async () => {
  const bench = new ListenerBench();
  bench.node.openError = new TunnelError('ERR_WORKER_DIED', 'crashed');
  await bench.join(C);
  assert.deepEqual(bench.node.sent, []);
  assert.deepEqual(bench.take(), []);
});

test('a friend that goes offline while the channel opens is not welcomed', async () => {
  const bench = new ListenerBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  void bench.peer.handshake(hello(C));
  await bench.pass(0);
  bench.peer.friendPath('none');
  bench.node.held[0]?.();
  bench.node.held = undefined;
  await bench.pass(0);
  assert.deepEqual([bench.node.open, bench.node.sent], [[], []]);
  assert.ok(bench.peer.isIdle);
  await bench.join(C);
  assert.deepEqual(answers(bench), ['welcome']);
});

test('a hello that waited while the friend went offline has no effect', async () => {
  const bench = new ListenerBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  void bench.peer.handshake(hello(C));
  void bench.peer.handshake(hello(D));
  bench.peer.friendPath('none');
  bench.node.held[0]?.();
  await bench.pass(0);
  assert.equal(bench.node.channels.length, 1);
  assert.deepEqual(bench.take(), []);
});

test('an outage that the connector has not noticed ends with its next frame', async () => {
  const bench = new ListenerBench({ patienceMs: 20_000 });
  await bench.join(C);
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.pass(15_000);
  bench.take();
  bench.node.newest.deliver(PING);
  assert.deepEqual(bench.take(), ['code 301', 'online udp']);
  await bench.pass(25_000);
  assert.deepEqual(bench.take(), [], 'the earlier patience has ended');
  assert.equal(bench.node.open.length, 1);
});

test('a peer is idle when it is offline and no stream waits for it', async () => {
  const timers = new VirtualTimers();
  timers.advance(5_000);
  const bench = new ListenerBench({ patienceMs: 20_000, timers });
  await bench.pass(1_000);
  assert.equal(bench.peer.idleMs, 1_000, 'from the start, until it comes');
  await bench.join(C);
  await bench.pass(1_000);
  assert.equal(bench.peer.idleMs, 0);
  bench.peer.friendPath('none');
  assert.equal(bench.idle, 1, 'a session without streams is not waited for');
  await bench.pass(19_000);
  assert.equal(bench.peer.idleMs, 19_000);
  await bench.pass(6_000);
  assert.deepEqual([bench.peer.idleMs, bench.idle], [25_000, 2], 'its patience has ended');
  bench.peer.friendPath('relay');
  assert.equal(bench.peer.idleMs, 0, 'even before its handshake');
  await bench.pass(1_000);
  bench.peer.friendPath('none');
  assert.equal(bench.idle, 3);
  await bench.pass(3_000);
  assert.equal(bench.peer.idleMs, 3_000);
});

test('a peer with a stream that waits for it is not idle until patience ends', async () => {
  const bench = new ListenerBench({ patienceMs: 20_000 });
  await bench.join(C);
  bench.node.newest.deliver(openFrame(uuid(0x51), 'h', 1));
  assert.equal(bench.requests.length, 1);
  bench.peer.friendPath('none');
  await bench.pass(19_000);
  assert.deepEqual([bench.peer.idleMs, bench.idle], [0, 0]);
  await bench.pass(6_000);
  assert.deepEqual([bench.peer.idleMs, bench.idle], [25_000, 1]);
});

test('a peer that says goodbye is released when it is offline, or after a second', async () => {
  for (const goes of [true, false]) {
    const bench = new ListenerBench();
    await bench.join(C);
    bench.node.newest.deliver(bye(10, 0));
    assert.equal(bench.left, 0, 'its goodbye is not acknowledged yet');
    if (goes) bench.peer.friendPath('none');
    else await bench.pass(900);
    assert.equal(bench.left, goes ? 1 : 0);
    await bench.pass(2_000);
    assert.equal(bench.left, 1);
    assert.equal(bench.timers.running, 0);
  }
});

test('a peer that ends a session otherwise, or sends a hello after its goodbye, stays a friend', async () => {
  const bench = new ListenerBench();
  await bench.join(C);
  bench.node.newest.deliver(bye(9, 0));
  await bench.pass(2_000);
  await bench.join(D);
  bench.node.newest.deliver(bye(10, 0));
  await bench.join(uuid(0xe0));
  await bench.pass(2_000);
  assert.equal(bench.left, 0);
  assert.ok(bench.peer.isOnline);
});

test('close sends BYE and nothing follows, not even while a goodbye is awaited', async () => {
  const bench = new ListenerBench({ patienceMs: 5_000 });
  await bench.join(C);
  bench.node.newest.deliver(PING);
  bench.take();
  const closing = bench.peer.close('peer-shutdown');
  await bench.pass(2_000);
  await closing;
  assert.equal(bench.node.newest.frames.at(-1)?.[0], 0x12);
  assert.deepEqual(bench.take(), ['code 302', 'offline none']);
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.peer.handshake(hello(D));
  assert.deepEqual([bench.idle, bench.node.channels.length, bench.timers.running], [0, 1, 0]);

  const other = new ListenerBench();
  await other.join(C);
  other.node.newest.deliver(bye(10, 0));
  await other.pass(300);
  await other.peer.close('limit');
  await other.pass(2_000);
  assert.deepEqual([other.left, other.timers.running], [0, 0]);
});

test('close while the channel opens leaves no channel, and sends no welcome', async () => {
  const bench = new ListenerBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  void bench.peer.handshake(hello(C));
  await bench.pass(0);
  await bench.peer.close('peer-shutdown');
  bench.node.held[0]?.();
  await bench.pass(0);
  assert.deepEqual([bench.node.open, bench.node.sent, bench.take()], [[], [], []]);
});

test('a peer cannot take its session over to a ticket with another rate', async () => {
  const slow = byteRates(1000, 0);
  let name = 'fast';
  const bench = new ListenerBench({
    onHello: () => ({ kind: 'welcome', grant: { ...BY_KEY, name }, proof: undefined }),
    onRates: (grant) => (grant.name === 'slow' ? slow : undefined),
  });
  await bench.join();
  await bench.join();
  assert.equal(bench.grants.length, 2);
  name = 'slow';
  await bench.join();
  assert.equal(
    decodeRefuse(bench.node.sent.at(-1)!).text,
    'this session keeps to the rate of another ticket; start the connector again with the new ticket',
  );
  assert.equal(bench.grants.length, 2);
  // A new session of the same peer has the rate.
  await bench.join(uuid(0xc1));
  assert.equal(bench.grants.at(-1)?.name, 'slow');
});
