/** The behaviour that both sides of a peer share; their handshakes have their own tests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bye, ConnectorBench, hello, ListenerBench, uuid, welcome } from '../support/peer_bench.js';

const [A, B] = [uuid(0xa0), uuid(0xb0)];

test('a repeated path is not reported, and neither is a path change without a session', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('relay');
  bench.peer.friendPath('udp');
  await bench.pass(0);
  assert.deepEqual(bench.take(), ['code 201']);
  await bench.join(A);
  bench.take();
  bench.peer.friendPath('udp');
  assert.deepEqual(bench.take(), []);
  assert.equal(bench.peer.currentPath, 'udp');
});

/** Answers the newest PING sent, if there is one. */
function pong(bench: ConnectorBench): void {
  const ping = bench.node.newest.frames.findLast((frame) => frame[0] === 0x10);
  assert.ok(ping !== undefined);
  bench.node.newest.frames.length = 0;
  const answer = ping.slice();
  answer[0] = 0x11;
  bench.node.newest.deliver(answer);
}

test('the round trip is reported once per time online and per path change', async () => {
  const bench = new ConnectorBench({ roundTrips: true });
  await bench.join(A);
  bench.take();
  await bench.pass(70, 10);
  assert.deepEqual(bench.take(), []);
  pong(bench);
  assert.deepEqual(bench.take(), ['round trip udp 70']);
  bench.peer.friendPath('relay');
  await bench.pass(150, 10);
  assert.deepEqual(bench.take(), ['code 301', 'online relay']);
  pong(bench);
  assert.deepEqual(bench.take(), ['round trip relay 150']);
  await bench.pass(5_000);
  assert.deepEqual(bench.take(), []);
});

test('the answer to a ping over another path, or from before an outage, is not reported as a round trip', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000, roundTrips: true });
  await bench.join(A);
  bench.take();
  bench.peer.friendPath('none');
  await bench.pass(5_000);
  await bench.join(A);
  bench.take();
  pong(bench);
  assert.deepEqual(bench.take(), [], 'it took as long as the outage');
  await bench.pass(30, 10);
  pong(bench);
  assert.deepEqual(bench.take(), ['round trip udp 30']);
});

test('closing discards work that waits', async () => {
  const bench = new ListenerBench();
  bench.node.held = [];
  bench.peer.friendPath('udp');
  const acting = bench.peer.handshake(hello(A));
  void bench.peer.handshake(hello(B).subarray(0, 20));
  await bench.peer.close('peer-shutdown');
  await bench.pass(0);
  bench.node.held[0]?.();
  await acting;
  await bench.pass(0);
  assert.deepEqual(bench.node.sent, []);
});

test('the result of a packet is not reported after closing', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.peer.close('peer-shutdown');
  await bench.pass(0);
  assert.deepEqual(bench.take(), []);
  assert.equal(bench.timers.running, 0, 'nor is it retried');
});

test('when the handler of an offline event closes it, it waits for nothing and reports nothing', async () => {
  for (const ends of ['offline', 'bye'] as const) {
    const bench = new ConnectorBench({ patienceMs: 5_000 });
    await bench.join(A);
    bench.onTold = (line) => {
      if (line === 'offline none') void bench.peer.close('peer-shutdown');
    };
    const said = bench.node.sent.length;
    if (ends === 'bye') bench.node.newest.deliver(bye(10, 0));
    else bench.peer.friendPath('none');
    await bench.pass(400);
    assert.equal(bench.timers.running, 0, ends);
    await bench.pass(10_000);
    assert.equal(bench.node.sent.length, said, ends);
    assert.ok(!bench.codes.includes(204), ends);
  }
});

test("when the handler of a peer's expired patience closes it, no hello is repeated", async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  bench.onTold = (line) => {
    if (line.startsWith('code 204')) void bench.peer.close('peer-shutdown');
  };
  await bench.pass(30_000);
  assert.ok(bench.codes.includes(204));
  assert.equal(bench.timers.running, 0);
});

test('a session resumed after an outage receives frames as before', async () => {
  const bench = new ConnectorBench({ patienceMs: 60_000 });
  await bench.join(A);
  bench.peer.friendPath('none');
  await bench.pass(5_000);
  await bench.join(A);
  bench.take();
  await bench.pass(30_000);
  assert.deepEqual(bench.take().slice(0, 2), ['code 302', 'offline none']);
});

test('the patience with a replaced session ends with it', async () => {
  const bench = new ConnectorBench({ patienceMs: 20_000 });
  await bench.join(A);
  bench.peer.friendPath('none');
  await bench.pass(5_000);
  await bench.join(B);
  bench.take();
  await bench.pass(25_000);
  assert.deepEqual(bench.take(), []);
  assert.ok(bench.peer.isOnline);
});

test('the handler of an offline event finds no session', async () => {
  const bench = new ConnectorBench();
  await bench.join(A);
  const found: unknown[] = [];
  bench.onTold = (line) => {
    if (line === 'offline none') found.push(bench.session);
  };
  bench.node.newest.deliver(bye(10, 0));
  assert.deepEqual(found, [undefined]);
});

test('a bug of ours is not mistaken for a refusal', async () => {
  const bench = new ConnectorBench();
  bench.peer.friendPath('udp');
  await bench.pass(0);
  bench.node.openError = new Error('a fault');
  await assert.rejects(bench.peer.handshake(welcome(bench.offered, A)), bench.node.openError);
});
