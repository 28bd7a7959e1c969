import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { DEFAULT_LIMITS } from '../../src/core/peer_limits.js';
import { PeerRates } from '../../src/peer/peer_rates.js';
import { PeerSession, type PeerSessionOptions } from '../../src/peer/peer_session.js';
import { FakeNode, turn } from '../support/fake_node.js';
import { bye, PING, PLAIN_TARGET, uuid } from '../support/peer_bench.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const [PING_TYPE, PONG_TYPE, BYE_TYPE] = [0x10, 0x11, 0x12];

function parts() {
  const node = new FakeNode();
  const timers = new VirtualTimers();
  const told: string[] = [];
  const options: PeerSessionOptions = {
    node,
    limits: DEFAULT_LIMITS,
    rates: new PeerRates(DEFAULT_LIMITS).of('KEY', timers.nowMs()),
    friend: 5,
    agreement: {
      version: 1,
      frameBytes: 1024,
      features: 0,
      ourSession: uuid(1),
      theirSession: uuid(2),
      fields: new Map(),
    },
    binding: new Uint8Array(32),
    role: 'connector',
    timers,
    randomBytes: (count) => Uint8Array.from(randomBytes(count)),
    onOpen: (request) => request.refuse('not-allowed'),
    onSilent: () => told.push('silent'),
    onHeard: () => told.push('heard'),
    onEnd: (_, { reason, text, error }) => told.push(`end ${reason} ${error?.code ?? 'politely'} ${text}`),
  };
  const pass = async (ms: number): Promise<void> => {
    for (let leftMs = ms; leftMs >= 0; leftMs -= 10) {
      for (let turns = 0; turns < 3; turns++) await turn();
      if (leftMs > 0) timers.advance(Math.min(10, leftMs));
    }
  };
  return { node, timers, told, options, pass };
}

async function opened() {
  const all = parts();
  const peer = await PeerSession.open(all.options);
  return { ...all, peer, channel: all.node.newest };
}

test('opens the channel of the agreement, and a connector sends first', async () => {
  const { channel } = await opened();
  assert.deepEqual([channel.friend, channel.frameBytes], [5, 1024]);
  assert.deepEqual(channel.takeTypes(), [PING_TYPE]);
});

test('a refused channel, or one that fails before the answer, is an error of the caller', async () => {
  const { node, options, told } = parts();
  node.openError = new TunnelError('ERR_LIMIT', 'full');
  await assert.rejects(PeerSession.open(options), node.openError);
  node.openError = undefined;
  node.held = [];
  const opening = PeerSession.open(options);
  const failure = new TunnelError('ERR_PACKET_INVALID', 'nonsense', { remote: true });
  node.newest.handlers.failed(failure);
  node.held[0]?.();
  await assert.rejects(opening, failure);
  assert.deepEqual(node.open, [], 'the channel is closed');
  assert.deepEqual(told, []);
});

test('frames before the session exists are harmless', async () => {
  const { node, options } = parts();
  node.held = [];
  const opening = PeerSession.open(options);
  node.newest.deliver(PING);
  node.newest.handlers.room();
  node.held[0]?.();
  const peer = await opening;
  assert.equal(peer.session.stats().framesReceived, 0);
});

test('asks about silence, then reports it once; the owner may freeze the session', async () => {
  const { peer, channel, timers, told, pass } = await opened();
  channel.takeTypes();
  // The first PING is unanswered, so no other is sent.
  timers.advance(29_999);
  assert.deepEqual(told, []);
  timers.advance(1);
  assert.deepEqual(told.splice(0), ['silent']);
  peer.freeze();
  assert.equal(timers.running, 0);
  await pass(100);
  channel.deliver(PING);
  channel.deliver(PING);
  assert.deepEqual(
    told.splice(0),
    ['heard', 'heard'],
    'for each frame, since the owner may ignore the first',
  );
  peer.thaw();
  channel.deliver(PING);
  assert.deepEqual(told, []);
  assert.deepEqual(channel.takeTypes(), [PONG_TYPE, PONG_TYPE, PONG_TYPE]);
});

/** An OPEN to a target. */
const openOf = (number: number): Uint8Array =>
  Uint8Array.of(1, ...uuid(number), ...[0, 0, 0, 0, 0, 4, 0, 0], 1, 0, 22, 1, 0x68);

test('OPENs that wait for the rate pass in time, without a frame from the peer, but not while frozen', async () => {
  const all = parts();
  let opened = 0;
  const limits = { ...DEFAULT_LIMITS, maxOpensPerSecond: 10 };
  const peer = await PeerSession.open({
    ...all.options,
    role: 'listener',
    limits,
    rates: new PeerRates(limits).of('KEY', all.timers.nowMs()),
    onOpen: () => opened++,
  });
  all.node.newest.deliver(...Array.from({ length: 40 }, (_, number) => openOf(number + 1)));
  assert.equal(opened, 20);
  all.timers.advance(1_000);
  assert.equal(opened, 30);
  peer.freeze();
  assert.equal(all.timers.running, 0);
  all.timers.advance(500);
  assert.equal(opened, 30);
  peer.thaw();
  all.timers.advance(2_000);
  assert.equal(opened, 40);
  peer.abandon('peer-silent');
  assert.equal(all.timers.running, 0);
});

test('after a thaw the peer has its full time again', async () => {
  const { peer, timers, told } = await opened();
  timers.advance(25_000);
  peer.freeze();
  timers.advance(1_000_000);
  peer.thaw();
  timers.advance(29_999);
  assert.deepEqual(told, []);
  timers.advance(1);
  assert.deepEqual(told, ['silent']);
});

test('a frame against the protocol ends it: BYE is sent, and then the channel closes', async () => {
  const { channel, told, timers, pass } = await opened();
  channel.takeTypes();
  channel.deliver(Uint8Array.of(1, 2, 3));
  channel.deliver(Uint8Array.of(1, 2, 3));
  assert.equal(told.length, 1);
  assert.match(told[0] ?? '', /^end protocol-error ERR_FRAME_INVALID /);
  assert.deepEqual(channel.takeTypes(), [BYE_TYPE]);
  await pass(1_000);
  assert.ok(channel.closed);
  assert.equal(timers.running, 0);
});

test('the peer’s BYE ends it; the channel stays for a moment, so that its acknowledgement arrives', async () => {
  const { peer, channel, told, timers, pass } = await opened();
  channel.deliver(bye(10, 0));
  assert.deepEqual(told, ['end peer-shutdown politely ']);
  await pass(200);
  assert.ok(!channel.closed);
  await pass(100);
  assert.ok(channel.closed);
  await peer.close('internal');
  peer.abandon('internal');
  peer.thaw();
  assert.equal(timers.running, 0);
  assert.equal(told.length, 1);
});

test('close sends BYE, and closes the channel once it has arrived', async () => {
  const { peer, channel, told, pass } = await opened();
  channel.takeTypes();
  channel.inFlightBytes = 44;
  let closed = false;
  const closing = peer.close('peer-shutdown').then(() => {
    closed = true;
  });
  assert.deepEqual(channel.takeTypes(), [BYE_TYPE]);
  await pass(500);
  assert.ok(!channel.closed && !closed);
  channel.inFlightBytes = 0;
  await pass(30);
  assert.ok(channel.closed);
  await closing;
  assert.deepEqual(told, [], 'our own close is not reported');
});

test('close waits for room for its BYE, and at most one second for a peer that does not answer', async () => {
  const { peer, channel, pass } = await opened();
  channel.room = 1; // which the PING has taken
  void peer.close('peer-shutdown');
  await pass(500);
  channel.room = 2;
  channel.handlers.room();
  assert.deepEqual(channel.takeTypes(), [PING_TYPE, BYE_TYPE]);
  channel.inFlightBytes = 44;
  await pass(490);
  assert.ok(!channel.closed);
  await pass(30);
  assert.ok(channel.closed);
});

test('a listener that closes before the first frame of its connector says BYE as soon as it arrives', async () => {
  const all = parts();
  const peer = await PeerSession.open({ ...all.options, role: 'listener' });
  const channel = all.node.newest;
  const closing = peer.close('peer-shutdown', { atMs: 5_000, signal: new AbortController().signal });
  await all.pass(10);
  assert.deepEqual(channel.takeTypes(), []);
  channel.deliver(PING);
  assert.deepEqual(channel.takeTypes(), [BYE_TYPE]);
  await all.pass(20);
  await closing;
  assert.equal(all.timers.nowMs() < 100, true);
});

test('a graceful close waits longer, until its deadline or its signal', async () => {
  for (const isCut of [false, true]) {
    const { peer, channel, timers, pass } = await opened();
    channel.inFlightBytes = 44;
    const cutting = new AbortController();
    void peer.close('peer-shutdown', { atMs: timers.nowMs() + 3_000, signal: cutting.signal });
    await pass(2_500);
    assert.ok(!channel.closed);
    if (isCut) cutting.abort();
    await pass(isCut ? 20 : 520);
    assert.ok(channel.closed);
  }
});

for (const graceful of [false, true]) {
  test(`a ${graceful ? 'graceful ' : ''}close ends within 10 s when the worker hangs`, async () => {
    const { peer, channel, pass, timers } = await opened();
    channel.hangs = true;
    let closed = false;
    const deadline = { atMs: timers.nowMs() + 5_000, signal: new AbortController().signal };
    const closing = peer.close('peer-shutdown', graceful ? deadline : undefined).then(() => {
      closed = true;
    });
    await pass(10_000);
    assert.ok(channel.closed && closed);
    await closing;
  });
}

test('close while frozen sends nothing and takes no time', async () => {
  const { peer, channel, timers } = await opened();
  channel.takeTypes();
  peer.freeze();
  await peer.close('peer-shutdown');
  assert.ok(channel.closed && peer.session.isClosed);
  assert.deepEqual(channel.takeTypes(), []);
  assert.equal(timers.running, 0);
});

test('close after the death of the worker takes no time, resets the streams and does not reject', async () => {
  const { peer, channel, timers, told } = await opened();
  channel.takeTypes();
  const resets: string[] = [];
  const stream = peer.session.open(PLAIN_TARGET, { onReset: (reason) => resets.push(reason) });
  channel.isGone = true;
  // A program may still write before it is notified of the end.
  stream.write(Buffer.from('late'));
  peer.session.open(PLAIN_TARGET, {});
  await peer.close('peer-shutdown');
  assert.ok(channel.closed && peer.session.isClosed);
  assert.deepEqual([resets, told, timers.running], [['peer-shutdown'], [], 0]);
});

test('the death of the worker while a session sends BYE shortens the wait', async () => {
  const { peer, channel, pass } = await opened();
  channel.inFlightBytes = 44;
  let closed = false;
  void peer.close('peer-shutdown').then(() => {
    closed = true;
  });
  await pass(100);
  assert.ok(!closed);
  channel.isGone = true;
  await pass(20);
  assert.ok(closed);
});

test('abandon ends it without a frame', async () => {
  const { peer, channel, timers, told } = await opened();
  channel.takeTypes();
  peer.abandon('peer-silent');
  assert.ok(channel.closed && peer.session.isClosed);
  assert.deepEqual(channel.takeTypes(), []);
  assert.equal(timers.running, 0);
  assert.deepEqual(told, []);
});

test('a failing channel ends it, and the report says whose fault it was', async () => {
  for (const [remote, reason] of [
    [true, 'protocol-error'],
    [false, 'internal'],
  ] as const) {
    const { peer, channel, timers, told } = await opened();
    const error = new TunnelError('ERR_PACKET_INVALID', 'nonsense', { remote });
    channel.fail(error);
    channel.fail(error);
    assert.deepEqual(told, [`end ${reason} ERR_PACKET_INVALID ${error.message}`]);
    assert.ok(peer.session.isClosed);
    assert.equal(timers.running, 0);
  }
});

test('a channel that fails during close shortens the wait', async () => {
  const { peer, channel, pass } = await opened();
  channel.inFlightBytes = 44;
  const closing = peer.close('peer-shutdown');
  await pass(50);
  channel.handlers.failed(new TunnelError('ERR_PACKET_INVALID', 'nonsense'));
  await pass(30);
  assert.ok(channel.closed);
  await closing;
});
