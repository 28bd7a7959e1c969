import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TunnelError } from '../../src/core/errors.js';
import { parseAddress } from '../../src/core/ip.js';
import type { RefusedConnection } from '../../src/forward/entry/local.js';
import { UdpForward, type UdpForwardOptions } from '../../src/forward/entry/udp_forward.js';
import { UdpClient } from '../../src/forward/udp_client.js';
import { bindUdp, connectUdp } from '../../src/forward/udp_socket.js';
import type { StreamHandlers, StreamOpener } from '../../src/mux/stream/stream_api.js';
import type { Target } from '../../src/mux/wire/target.js';
import { parseUdpSpec } from '../../src/rules/forward_spec.js';
import { hasIpv6Loopback } from '../support/loopback.js';
import { StreamEnd } from '../support/stream_ends.js';
import { UdpEnd } from '../support/udp_end.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** A session whose far ends keep what they receive. */
class ManualSession implements StreamOpener {
  readonly opened: {
    target: Target;
    handlers: StreamHandlers;
    near: StreamEnd;
    far: StreamEnd;
    got: string[];
  }[] = [];

  open(target: Target, handlers: StreamHandlers): StreamEnd {
    const [near, far] = StreamEnd.pair();
    const got: string[] = [];
    near.handlers = handlers;
    far.handlers = { onDatagram: (datagram) => void got.push(Buffer.from(datagram).toString()) };
    this.opened.push({ target, handlers, near, far, got });
    return near;
  }
}

async function bench(t: TestContext, options: Partial<UdpForwardOptions> = {}) {
  const timers = new VirtualTimers();
  const lines: string[] = [];
  const logger = { log: (level: string, message: string) => void lines.push(`${level} ${message}`) };
  const forward = new UdpForward({ spec: parseUdpSpec('0:dns.lan:53'), timers, logger, ...options });
  const refusals: RefusedConnection[] = [];
  forward.on('refused', (refusal) => refusals.push(refusal));
  const { port } = await forward.listen();
  t.after(() => forward.close());
  const session = new ManualSession();
  const client = async (): Promise<UdpEnd> => {
    const end = await UdpEnd.start();
    t.after(() => end.stop());
    return end;
  };
  return { forward, port, timers, lines, refusals, session, client };
}

/** Runs turns until the condition is true. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('receives datagrams on the loopback, on a port that it reports', async (t) => {
  const forward = new UdpForward({ spec: parseUdpSpec('0:dns.lan:53') });
  const listening = once(forward, 'listening');
  const local = await forward.listen();
  t.after(() => forward.close());
  assert.equal(local.host, '127.0.0.1');
  assert.ok(local.port > 0);
  assert.deepEqual(await listening, [local]);
});

test('a port in use is an error that names the address and the remedy', async (t) => {
  const { port } = await bench(t);
  const other = new UdpForward({ spec: parseUdpSpec(`${port}:dns.lan:53`) });
  await assert.rejects(other.listen(), (error) => {
    assert.ok(TunnelError.is(error) && error.code === 'ERR_LISTEN');
    assert.match(
      error.message,
      /is in use by another program; choose another port, for example \d+:dns\.lan:53/,
    );
    return true;
  });
});

test('without a bind address it takes datagrams at ::1 too, and answers from there', {
  skip: !hasIpv6Loopback,
}, async (t) => {
  const { forward, port, session } = await bench(t);
  forward.setSession(session);
  const socket = createSocket('udp6');
  t.after(() => socket.close());
  const answered = once(socket, 'message');
  socket.send('ask', port, '::1');
  await until(() => session.opened.length > 0);
  await until(() => session.opened[0]?.got.length === 1);
  session.opened[0]?.far.sendDatagram(Buffer.from('reply'));
  const [reply, from] = await answered;
  assert.deepEqual([String(reply), from.address, from.port], ['reply', '::1', port]);
});

test('a bind address that others can reach is used as given, with a warning', async (t) => {
  const { lines } = await bench(t, { spec: parseUdpSpec('0.0.0.0:0:dns.lan:53') });
  assert.match(lines[0] ?? '', /^warn 0\.0\.0\.0:\d+ can be reached from other machines/);
});

for (const text of [
  '/tmp/a.sock:dns.lan:53',
  '53:/run/dns.sock',
  '53:dns.lan',
  '53:dns.lan:0',
  '*:53:dns.lan:53',
]) {
  test(`${text} is refused`, () => {
    assert.throws(() => parseUdpSpec(text), { code: 'ERR_SPEC_INVALID', message: /5353:localhost:53/ });
  });
}

test('each client has its own stream, and gets its own replies', async (t) => {
  const { forward, port, session, client } = await bench(t);
  forward.setSession(session);
  const [one, two] = [await client(), await client()];
  one.send('a', port);
  await until(() => session.opened.length === 1);
  two.send('b', port);
  await until(() => session.opened.length === 2);
  one.send('c', port);
  const [first, second] = session.opened;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(first.target, { kind: 'udp', host: 'dns.lan', port: 53 });
  await until(() => first.got.length === 2 && second.got.length === 1);
  assert.deepEqual(first.got, ['a', 'c']);
  assert.deepEqual(second.got, ['b']);
  second.far.sendDatagram(Buffer.from('answer'));
  await two.came(1);
  assert.deepEqual(two.texts, ['answer']);
  assert.deepEqual(one.texts, []);
  assert.equal(forward.clients, 2);
});

test('datagrams before a session wait for it, the newest 64 of each client', async (t) => {
  const { forward, port, session, client } = await bench(t);
  const one = await client();
  for (let number = 0; number < 70; number++) one.send(`${number}`, port);
  await until(() => forward.clients === 1);
  for (let turns = 0; turns < 20; turns++) await turn();
  forward.setSession(session);
  await until(() => session.opened[0]?.got.length === 64);
  assert.deepEqual(
    session.opened[0]?.got,
    Array.from({ length: 64 }, (_, at) => String(at + 6)),
  );
});

test('datagrams that wait for a session are also bounded in bytes: of large ones the newest few stay', async () => {
  const got: number[] = [];
  const [near, far] = StreamEnd.pair();
  far.handlers = { onDatagram: ([first]) => void got.push(first ?? -1) };
  const client = new UdpClient(
    { host: '127.0.0.1', port: 1 },
    { timers: new VirtualTimers(), idleMs: 1, deliver: () => {}, onRefused: () => {}, onOver: () => {} },
  );
  // Dropped ones of two bytes no longer count.
  for (let at = 0; at < 200; at++) client.send(Buffer.alloc(2, 99));
  for (let at = 0; at < 20; at++) client.send(Buffer.alloc(65_507, at));
  client.attach(near);
  await until(() => got.at(-1) === 19);
  assert.deepEqual(got, [16, 17, 18, 19]);
});

test('a client silent for two minutes is forgotten, and its stream closed; traffic in either direction keeps it', async (t) => {
  const { forward, port, session, client, timers } = await bench(t);
  forward.setSession(session);
  const one = await client();
  one.send('a', port);
  await until(() => session.opened[0]?.got.length === 1);
  timers.advance(110_000);
  one.send('b', port);
  await until(() => session.opened[0]?.got.length === 2);
  timers.advance(110_000);
  session.opened[0]?.far.sendDatagram(Buffer.from('c'));
  await one.came(1);
  timers.advance(119_999);
  assert.equal(forward.clients, 1);
  timers.advance(1);
  assert.equal(forward.clients, 0);
  assert.deepEqual(session.opened[0]?.near.resets, ['cancelled']);
  assert.equal(timers.running, 0);
  one.send('d', port);
  await until(() => session.opened.length === 2);
});

test('a refused client is reported once, and the far end is asked again only after 5 s', async (t) => {
  const { forward, port, session, client, timers, refusals, lines } = await bench(t);
  forward.setSession(session);
  const one = await client();
  one.send('a', port);
  await until(() => session.opened.length === 1);
  session.opened[0]?.handlers.onRefused?.('not-allowed', 'dns.lan port 53 is not exposed');
  timers.advance(3_000);
  for (let count = 0; count < 10; count++) one.send('b', port);
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.equal(session.opened.length, 1);
  assert.deepEqual(refusals, [
    { target: { host: 'dns.lan', port: 53 }, reason: 'not-allowed', text: 'dns.lan port 53 is not exposed' },
  ]);
  assert.deepEqual(lines, ['warn no datagrams to dns.lan:53: not-allowed (dns.lan port 53 is not exposed)']);
  // Datagrams of that client do not delay this.
  timers.advance(2_000);
  assert.equal(forward.clients, 0);
  one.send('c', port);
  await until(() => session.opened.length === 2);
});

test('when the session ends the clients are forgotten, and the next datagram asks again', async (t) => {
  const { forward, port, session, client } = await bench(t);
  forward.setSession(session);
  const one = await client();
  one.send('a', port);
  await until(() => session.opened.length === 1);
  forward.setSession(undefined);
  session.opened[0]?.handlers.onReset?.('peer-silent', false);
  assert.equal(forward.clients, 0);
  one.send('b', port);
  await until(() => forward.clients === 1);
  const next = new ManualSession();
  forward.setSession(next);
  await until(() => next.opened[0]?.got.length === 1);
  assert.deepEqual(next.opened[0]?.got, ['b']);
});

test('one client too many takes the place of the longest-idle one', async (t) => {
  const { forward, port, session, client, timers } = await bench(t, { maxClients: 2 });
  forward.setSession(session);
  const ends = [await client(), await client(), await client()];
  for (const [at, end] of ends.entries()) {
    if (at === 2) {
      ends[0]?.send('again', port);
      await until(() => session.opened[0]?.got.length === 2);
      timers.advance(1);
    }
    end.send(`${at}`, port);
    await until(() => session.opened.length === at + 1);
    timers.advance(1);
  }
  assert.equal(forward.clients, 2);
  assert.deepEqual(
    session.opened.map(({ near }) => near.resets),
    [[], ['cancelled'], []],
  );
});

test('close ends the streams, and accepts nothing any more', async (t) => {
  const { forward, port, session, client, timers } = await bench(t);
  forward.setSession(session);
  const one = await client();
  one.send('a', port);
  await until(() => session.opened.length === 1);
  forward.close();
  assert.deepEqual(session.opened[0]?.near.resets, ['cancelled']);
  assert.equal(forward.clients, 0);
  assert.equal(timers.running, 0);
  await assert.rejects(forward.listen(), { code: 'ERR_CLOSED' });
});

test('sockets get the largest buffers that the system gives, at both ends', async (t) => {
  const plain = createSocket('udp4').bind(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const largest = (bytes: number): number => {
    plain.setRecvBufferSize(bytes);
    return plain.getRecvBufferSize();
  };
  const listening = await bindUdp({ host: '127.0.0.1', port: 0 });
  t.after(() => listening.close());
  const connected = await connectUdp(parseAddress('127.0.0.1')!, 9);
  t.after(() => connected.close());
  assert.equal(listening.getRecvBufferSize(), largest(4 * 1024 * 1024));
  assert.equal(connected.getRecvBufferSize(), largest(1024 * 1024));
});
