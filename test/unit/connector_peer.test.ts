import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import {
  DATAGRAM_HEADER_BYTES,
  OFFSET_FRAME_BYTES,
  OPENED,
  writeDatagramHeader,
  writeOffsetFrame,
} from '../../src/mux/wire/frame.js';
import {
  bye,
  ConnectorBench,
  PING,
  PLAIN_TARGET,
  refusal,
  sessionOf,
  uuid,
  welcome,
} from '../support/peer_bench.js';

const A = uuid(0xa0);
const B = uuid(0xb0);

test('sends hello when the friend comes online, and repeats it until there is an answer', async () => {
  const bench = new ConnectorBench();
  await bench.pass(10_000);
  assert.deepEqual(bench.node.sent, []);
  bench.peer.friendPath('relay');
  await bench.pass(0);
  assert.equal(bench.node.sent.length, 1);
  await bench.pass(2_900);
  assert.equal(bench.node.sent.length, 1);
  await bench.pass(200);
  assert.equal(bench.node.sent.length, 2);
  assert.deepEqual(sessionOf(bench.node.sent[0]), sessionOf(bench.node.sent[1]));
  assert.deepEqual(bench.take(), ['code 201', 'code 201']);
  assert.equal(bench.peer.isOnline, false);
});

test('reports a friend that is online but silent after five hellos', async () => {
  const bench = new ConnectorBench();
  bench.node.outcome = { code: 203, friend: 5, reason: 'full' };
  bench.peer.friendPath('udp');
  await bench.pass(11_900);
  assert.deepEqual(new Set(bench.take()), new Set(['code 203 full']));
  await bench.pass(200);
  assert.match(
    bench.take().join(),
    /waiting the peer is online but does not answer: does tox-wasm-tunnel listen/,
  );
  await bench.pass(14_900);
  assert.equal(bench.take().filter((line) => line.startsWith('waiting')).length, 1, 'and after five more');
  await bench.pass(9_000);
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.pass(11_900);
  assert.doesNotMatch(bench.take().join(), /waiting/, 'the count restarts when the friend comes online');
});

test('sends no hello to a friend that has gone', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  bench.peer.friendPath('none');
  assert.equal(bench.timers.running, 0);
  await bench.pass(10_000);
  assert.equal(bench.node.sent.length, 1);
});

test('a welcome opens the session: its owner gets it after 301', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  assert.deepEqual(bench.take(), ['code 201', 'code 301', 'online udp']);
  assert.deepEqual(bench.sessions, [bench.session]);
  assert.equal(bench.node.open.length, 1);
  assert.ok(bench.peer.isOnline);
  await bench.pass(9_000);
  assert.equal(bench.node.sent.length, 1, 'no hello after it');
  bench.peer.friendPath('relay');
  assert.deepEqual(bench.take(), ['code 301', 'online relay']);
});

test('ignores a welcome for another hello, and packets that are not answers', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.pass(0);
  await bench.peer.handshake(welcome(uuid(9), A));
  await bench.peer.handshake(bench.node.sent[0]!);
  await bench.peer.handshake(Uint8Array.of(0xb7, 77));
  await bench.peer.handshake(Uint8Array.of());
  assert.deepEqual(bench.node.channels, []);
  assert.equal(bench.failures.length, 0);
});

test('a repeated welcome opens one session', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.pass(0);
  const packet = welcome(bench.offered, A);
  await Promise.all([
    bench.peer.handshake(packet),
    bench.peer.handshake(packet),
    bench.peer.handshake(packet),
  ]);
  await bench.peer.handshake(packet);
  assert.equal(bench.node.channels.length, 1);
  assert.equal(bench.sessions.length, 1);
});

test('a welcome with another session of the listener during opening replaces the first', async () => {
  const bench = new ConnectorBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  await bench.pass(0);
  const offered = bench.offered;
  void bench.peer.handshake(welcome(offered, A));
  void bench.peer.handshake(welcome(offered, B));
  await bench.pass(0);
  assert.equal(bench.node.channels.length, 1, 'one is opened at a time');
  for (const release of bench.node.held.splice(0)) release();
  await bench.pass(0);
  for (const release of bench.node.held.splice(0)) release();
  await bench.pass(0);
  assert.equal(bench.node.channels.length, 2);
  assert.deepEqual(bench.node.open, [bench.node.newest]);
  assert.equal(bench.sessions.length, 3);
  assert.equal(bench.sessions[1], undefined, 'no two sessions at once');
  assert.notEqual(bench.sessions[2], bench.sessions[0]);
});

test('after an outage within the patience hello names the same session, and the streams resume', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  const { session, offered } = bench;
  session?.open(PLAIN_TARGET, { onReset: () => assert.fail('the stream was reset') });
  bench.take();
  bench.peer.friendPath('none');
  assert.deepEqual(bench.take(), ['code 302', 'offline none']);
  await bench.pass(19_000);
  await bench.join(A);
  assert.deepEqual(bench.offered, offered);
  assert.deepEqual(bench.take(), ['code 201', 'code 301', 'online udp']);
  assert.equal(bench.session, session);
  assert.equal(bench.node.channels.length, 1);
  await bench.pass(5_000);
  assert.equal(bench.session, session, 'the earlier patience has ended');
});

test('after a longer outage the streams are reset, with 204, and the next hello names another session', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  const { offered } = bench;
  const resets: string[] = [];
  bench.session?.open(PLAIN_TARGET, { onReset: (reason, remote) => resets.push(`${reason} ${remote}`) });
  bench.peer.friendPath('none');
  bench.take();
  await bench.pass(19_900);
  assert.deepEqual(bench.take(), []);
  await bench.pass(200);
  assert.deepEqual(bench.take(), ['code 204 offline for 20 s: its streams are reset']);
  assert.deepEqual(resets, ['peer-silent false']);
  assert.deepEqual(bench.node.open, []);
  assert.equal(bench.session, undefined);
  assert.equal(bench.timers.running, 0);
  await bench.join(A);
  assert.notDeepEqual(bench.offered, offered);
  assert.ok(bench.peer.isOnline);
});

test('without patience an outage ends the session at once', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  bench.take();
  bench.peer.friendPath('none');
  assert.deepEqual(bench.take(), ['code 302', 'offline none', 'code 204 offline: its streams are reset']);
  assert.equal(bench.session, undefined);
  assert.equal(bench.timers.running, 0);
});

test('another session of the listener resets the streams, and the new session survives an outage', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  const resets: string[] = [];
  bench.session?.open(PLAIN_TARGET, { onReset: (reason) => resets.push(reason) });
  bench.peer.friendPath('none');
  await bench.join(B);
  assert.deepEqual(resets, ['session-replaced']);
  assert.equal(bench.node.open.length, 1);
  assert.deepEqual(
    bench.sessions.map((session) => session !== undefined),
    [true, false, true],
  );
  const { session } = bench;
  bench.peer.friendPath('none');
  await bench.join(B);
  assert.equal(bench.session, session, 'the session is the same: hello named the existing one');
});

test('freezes a silent session, and a hello asks whether the listener still has it', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  const { session, offered } = bench;
  bench.take();
  await bench.pass(29_900);
  assert.deepEqual(bench.take(), []);
  await bench.pass(200);
  assert.deepEqual(bench.take(), ['code 302', 'offline none', 'code 201']);
  assert.deepEqual(bench.offered, offered);
  await bench.peer.handshake(welcome(offered, A));
  assert.deepEqual(bench.take(), ['code 301', 'online udp']);
  assert.equal(bench.session, session);
});

test('a frame of a silent session thaws it, and ends the hellos', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  await bench.pass(30_000);
  const said = bench.node.sent.length;
  bench.take();
  bench.node.newest.deliver(PING);
  assert.deepEqual(bench.take(), ['code 301', 'online udp']);
  await bench.pass(9_000);
  assert.equal(bench.node.sent.length, said);
  assert.ok(bench.peer.isOnline);
});

test('while a session is frozen, new streams wait until it resumes', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  const [session] = bench.sessions;
  bench.peer.friendPath('none');
  assert.equal(bench.sessions.at(-1), undefined);
  await bench.pass(5_000);
  await bench.join(A);
  assert.ok(session !== undefined);
  assert.equal(bench.sessions.at(-1), session);
  assert.equal(bench.sessions.length, 3);
});

test('frames in flight when the friend went offline do not bring it back', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  bench.peer.friendPath('none');
  bench.take();
  bench.node.newest.deliver(PING);
  assert.equal(bench.peer.isOnline, false);
  await bench.pass(20_000);
  assert.deepEqual(bench.take(), ['code 204 offline for 20 s: its streams are reset']);
});

test('silence followed by offline is one wait', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  await bench.pass(40_000);
  bench.peer.friendPath('none');
  assert.equal(bench.node.open.length, 1);
  await bench.pass(10_000);
  assert.equal(bench.node.open.length, 0);
  assert.equal(bench.timers.running, 0);
});

test('no wait remains after silence, then offline, then back online', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  await bench.pass(40_000);
  bench.peer.friendPath('none');
  await bench.pass(5_000);
  await bench.join(A);
  await bench.pass(20_000);
  assert.ok(bench.peer.isOnline && !bench.codes.includes(204));
});

test('joins again when a session stays silent although the friend is online', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  const { offered } = bench;
  bench.take();
  await bench.pass(30_000);
  assert.deepEqual(bench.take(), ['code 302', 'offline none', 'code 204 silent: its streams are reset']);
  await bench.pass(600);
  assert.notDeepEqual(bench.offered, offered);
  await bench.peer.handshake(welcome(bench.offered, B));
  assert.ok(bench.peer.isOnline && bench.session !== undefined);
});

test('after the listener’s goodbye, sends hellos to its next process at growing intervals', async () => {
  const bench = new ConnectorBench();
  const waits: number[] = [];
  await bench.join(A);
  for (let times = 0; times < 9; times++) {
    const said = bench.node.sent.length;
    const before = bench.offered;
    bench.node.newest.deliver(bye(10, 0));
    assert.equal(bench.session, undefined);
    const startMs = bench.timers.nowMs();
    while (bench.node.sent.length === said) await bench.pass(100);
    waits.push(bench.timers.nowMs() - startMs);
    assert.notDeepEqual(bench.offered, before);
    await bench.peer.handshake(welcome(before, B));
    assert.equal(bench.session, undefined, 'a late welcome of the session that has ended');
    await bench.peer.handshake(welcome(bench.offered, B));
    assert.ok(bench.peer.isOnline);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test('a long session resets the intervals', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  bench.node.newest.deliver(bye(10, 0));
  await bench.pass(600);
  await bench.peer.handshake(welcome(bench.offered, A));
  for (let seconds = 0; seconds < 60; seconds += 5) {
    await bench.pass(5_000);
    bench.node.newest.deliver(PING);
  }
  const said = bench.node.sent.length;
  bench.node.newest.deliver(bye(10, 12));
  await bench.pass(600);
  assert.equal(bench.node.sent.length, said + 1);
});

test('reports a temporary refusal and retries; a permanent one ends everything', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.pass(0);
  bench.take();
  for (const reason of ['limit', 'busy', 'peer-shutdown', 'internal', 'timeout'] as const) {
    const said = bench.node.sent.length;
    await bench.peer.handshake(refusal(reason));
    assert.match(bench.take().join(), /^waiting the peer refused the handshake: .*; trying again in \d+ s$/);
    await bench.pass(20_000);
    assert.ok(bench.node.sent.length > said, reason);
    bench.take();
  }
  await bench.peer.handshake(refusal('version', 'you speak 1, I speak 2'));
  const [failure] = bench.failures;
  assert.ok(failure?.code === 'ERR_HANDSHAKE_REFUSED');
  assert.match(failure.message, /I speak 2/);
  assert.equal(bench.timers.running, 0);
});

test('during a session, a refusal answers a superfluous hello', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  await bench.peer.handshake(refusal('not-allowed'));
  assert.equal(bench.failures.length, 0);
  assert.ok(bench.peer.isOnline);
});

test('an unreadable answer ends the handshake, but not a session', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.pass(0);
  const broken = welcome(bench.offered, A).subarray(0, 41);
  await bench.peer.handshake(welcome(bench.offered, A));
  bench.take();
  await bench.peer.handshake(broken);
  assert.equal(bench.failures.length, 0);
  assert.match(bench.take().join(), /^warn the peer sent an invalid handshake/);
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.peer.handshake(broken);
  assert.equal(bench.failures[0]?.code, 'ERR_HANDSHAKE_INVALID');
  assert.equal(bench.timers.running, 0);
});

test('reports a channel that cannot be opened, and retries as another session', async () => {
  const bench = new ConnectorBench();
  bench.node.openError = new TunnelError('ERR_LIMIT', '64 peers are connected; wait until one has left');
  await bench.join(A);
  const { offered } = bench;
  assert.match(bench.take().join(), /waiting a limit was reached: .* has left; trying again in 1 s/);
  assert.equal(bench.session, undefined);
  bench.node.openError = undefined;
  await bench.pass(600);
  assert.notDeepEqual(bench.offered, offered);
  await bench.peer.handshake(welcome(bench.offered, A));
  assert.ok(bench.peer.isOnline);
});

test('an answer in flight when the friend went offline changes nothing', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  const { session, offered } = bench;
  bench.peer.friendPath('none');
  await bench.peer.handshake(welcome(offered, A));
  await bench.peer.handshake(refusal('busy'));
  const said = bench.node.sent.length;
  await bench.pass(10_000);
  assert.equal(bench.node.sent.length, said, 'no hello to nobody');
  await bench.join(A);
  assert.deepEqual(bench.offered, offered);
  assert.equal(bench.session, session);
});

test('retries nothing and reports nothing once the Tox node is gone', async () => {
  const bench = new ConnectorBench();
  bench.node.openError = new TunnelError('ERR_WORKER_DIED', 'crashed');
  await bench.join(A);
  assert.deepEqual(bench.take(), ['code 201']);
  assert.equal(bench.timers.running, 0);
  bench.node.sendError = new TunnelError('ERR_CLOSED', 'closed');
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.pass(0);
  assert.deepEqual(bench.take(), []);
});

test('a friend that goes offline while the channel opens gets another session when it is back', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  bench.node.held = [];
  bench.peer.friendPath('udp');
  await bench.pass(0);
  const { offered } = bench;
  void bench.peer.handshake(welcome(offered, A));
  await bench.pass(0);
  bench.peer.friendPath('none');
  for (const release of bench.node.held) release();
  bench.node.held = undefined;
  await bench.pass(0);
  assert.deepEqual(bench.node.open, []);
  assert.deepEqual(bench.sessions, []);
  // The listener has a session that this end never heard of, so this end must not resume it.
  await bench.join(A);
  assert.notDeepEqual(bench.offered, offered);
  assert.equal(bench.node.open.length, 1);
  assert.ok(bench.peer.isOnline);
});

test('a short outage while the channel opens changes nothing', async () => {
  const bench = new ConnectorBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  await bench.pass(0);
  const { offered } = bench;
  void bench.peer.handshake(welcome(offered, A));
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.pass(0);
  assert.deepEqual(bench.offered, offered);
  for (const release of bench.node.held) release();
  await bench.pass(0);
  assert.ok(bench.peer.isOnline);
  await bench.peer.handshake(welcome(offered, A));
  assert.equal(bench.node.channels.length, 1);
  assert.equal(bench.sessions.length, 1);
});

test('a failing channel ends the session, and the connector joins again', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  const resets: string[] = [];
  bench.session?.open(PLAIN_TARGET, { onReset: (reason) => resets.push(reason) });
  const { offered } = bench;
  bench.take();
  bench.node.newest.fail(new TunnelError('ERR_PACKET_INVALID', 'nonsense', { remote: true }));
  assert.match(
    bench.take().join(),
    /^code 302,offline none,warn the session ended: the peer sent an invalid packet/,
  );
  assert.deepEqual(resets, ['protocol-error']);
  await bench.pass(600);
  assert.notDeepEqual(bench.offered, offered);
});

test('the owner loses the session before its streams are reset, so no new stream opens in it', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  let during: unknown = 'not reset';
  bench.session?.open(PLAIN_TARGET, {
    onReset: () => {
      during = bench.session;
    },
  });
  bench.peer.friendPath('none');
  assert.equal(during, undefined);
});

test('close sends BYE, resets the streams, reports 302, and nothing follows', async () => {
  const bench = new ConnectorBench({ patienceMs: 1_000 });
  await bench.join(A);
  const { bytesOut } = bench.peer.traffic;
  assert.ok(bytesOut > 0);
  bench.take();
  const closing = bench.peer.close('peer-shutdown');
  await bench.pass(2_000);
  await closing;
  assert.equal(bench.node.newest.frames.at(-1)?.[0], 0x12);
  assert.deepEqual(bench.take(), ['code 302', 'offline none']);
  assert.deepEqual(bench.node.open, []);
  assert.equal(bench.timers.running, 0);
  assert.equal(bench.peer.traffic.bytesOut, bytesOut, 'the counts of transferred bytes remain');
  bench.peer.friendPath('none');
  bench.peer.friendPath('udp');
  await bench.peer.handshake(welcome(bench.offered, B));
  await bench.peer.close('peer-shutdown');
  assert.equal(bench.timers.running, 0);
  assert.equal(bench.node.channels.length, 1);
});

test('close while the channel opens leaves no channel, no timer and no report', async () => {
  const bench = new ConnectorBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  await bench.pass(0);
  void bench.peer.handshake(welcome(bench.offered, A));
  await bench.pass(0);
  bench.take();
  await bench.peer.close('peer-shutdown');
  for (const release of bench.node.held) release();
  await bench.pass(0);
  assert.deepEqual(bench.node.open, []);
  assert.equal(bench.timers.running, 0);
  assert.deepEqual(bench.take(), []);
});

test('close while the channel is refused does not report the refusal', async () => {
  const bench = new ConnectorBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  await bench.pass(0);
  void bench.peer.handshake(welcome(bench.offered, A));
  bench.take();
  void bench.peer.close('peer-shutdown');
  bench.node.openError = new TunnelError('ERR_LIMIT', 'full');
  for (const release of bench.node.held) release();
  await bench.pass(0);
  assert.deepEqual(bench.take(), []);
  assert.equal(bench.timers.running, 0);
});

test('a connector that its own change handler closes stays closed', async () => {
  for (const line of ['code 301', 'code 302', 'code 204 offline: its streams are reset']) {
    const bench = new ConnectorBench();
    bench.onTold = (told) => {
      if (told === line) void bench.peer.close('peer-shutdown');
    };
    await bench.join(A);
    bench.peer.friendPath('none');
    await bench.join(A);
    await bench.pass(2_000);
    assert.deepEqual(bench.node.open, [], line);
    assert.equal(bench.session, undefined, line);
    assert.equal(bench.timers.running, 0, line);
  }
});

test("when a handler of the old session's end closes it, no other session opens", async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  bench.onTold = (told) => {
    if (told === 'offline none') void bench.peer.close('peer-shutdown');
  };
  await bench.peer.handshake(welcome(bench.offered, B));
  await bench.pass(2_000);
  assert.equal(bench.node.channels.length, 1);
  assert.deepEqual(bench.node.open, []);
});

test('counts the bytes of all sessions', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  const first = bench.peer.traffic;
  bench.node.newest.deliver(PING);
  assert.equal(bench.peer.traffic.bytesIn, first.bytesIn + PING.length);
  const before = bench.peer.traffic;
  bench.peer.friendPath('none');
  assert.deepEqual(bench.peer.traffic, before);
  await bench.join(B);
  assert.ok(bench.peer.traffic.bytesOut > before.bytesOut);
});

test('counts the datagrams of all sessions: sent, received and dropped', async () => {
  const bench = new ConnectorBench();
  const exchange = async (session: Uint8Array): Promise<void> => {
    await bench.join(session);
    const stream = bench.session?.open({ kind: 'udp', host: 'localhost', port: 53 }, {});
    const id = bench.node.newest.frames.at(-1)?.slice(1, 17);
    assert.ok(stream !== undefined && id !== undefined);
    const opened = new Uint8Array(OFFSET_FRAME_BYTES);
    writeOffsetFrame(opened, OPENED, id, 0);
    bench.node.newest.deliver(opened);
    const answer = new Uint8Array(DATAGRAM_HEADER_BYTES + 1);
    writeDatagramHeader(answer, id, { number: 0, part: 0, parts: 1 });
    for (let i = 0; i < 2; i++) bench.node.newest.deliver(answer);
    // Of nine incomplete ones the oldest is dropped.
    for (let number = 1; number <= 9; number++) {
      writeDatagramHeader(answer, id, { number, part: 0, parts: 2 });
      bench.node.newest.deliver(answer);
    }
    for (let i = 0; i < 3; i++) stream.sendDatagram(Uint8Array.of(1));
  };
  const counts = () => {
    const { datagramsOut, datagramsIn, datagramsDropped } = bench.peer.traffic;
    return [datagramsOut, datagramsIn, datagramsDropped];
  };
  await exchange(A);
  assert.deepEqual(counts(), [3, 2, 1]);
  bench.peer.friendPath('none');
  await exchange(B);
  assert.deepEqual(counts(), [6, 4, 2]);
});
