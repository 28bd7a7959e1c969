/** Datagrams from a forward to a target and back, over two joined sessions. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { RefusedConnection } from '../../src/forward/entry/local.js';
import { UdpForward } from '../../src/forward/entry/udp_forward.js';
import { TargetServer, type TargetServerOptions } from '../../src/forward/exit/target_server.js';
import { AllowRules, LOOPBACK_ONLY, type TargetRules } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { parseUdpSpec } from '../../src/rules/forward_spec.js';
import { RuleBook } from '../../src/rules/rule_book.js';
import { sessionPair } from '../support/session_pair.js';
import { UdpEnd } from '../support/udp_end.js';
import { VirtualTimers } from '../support/virtual_timers.js';

interface Bench {
  readonly target: UdpEnd;
  readonly client: UdpEnd;
  /** The options of the forward. */
  readonly port: number;
  readonly server: TargetServer;
  readonly forward: UdpForward;
  readonly refusals: RefusedConnection[];
  readonly lines: string[];
  readonly near: ReturnType<typeof sessionPair>['near'];
}

async function bench(
  t: TestContext,
  options: Partial<TargetServerOptions> = {},
  host = '127.0.0.1',
): Promise<Bench> {
  const [target, client] = [await UdpEnd.start(), await UdpEnd.start()];
  const lines: string[] = [];
  const server = new TargetServer({
    peer: 'p',
    rules: new AllowRules([LOOPBACK_ONLY]),
    logger: { log: (level, message) => lines.push(`${level} ${message}`) },
    ...options,
  });
  const { near, far } = sessionPair((request) => server.handle(request));
  const forward = new UdpForward({ spec: parseUdpSpec(`0:${host}:${target.port}`) });
  const refusals: RefusedConnection[] = [];
  forward.on('refused', (refusal) => refusals.push(refusal));
  forward.setSession(near);
  const { port } = await forward.listen();
  t.after(() => {
    forward.close();
    server.close();
    near.abandon('cancelled');
    far.abandon('cancelled');
    target.stop();
    client.stop();
  });
  return { target, client, port, server, forward, refusals, lines, near };
}

test('datagrams reach the target and the replies come back, whatever their length', async (t) => {
  const { target, client, port } = await bench(t);
  target.answer = (datagram) => datagram;
  const lengths = [0, 1, 512, 1_200, 1_321, 1_322, 4_096, 9_000, 65_507];
  for (const [at, length] of lengths.entries()) {
    client.send(Buffer.alloc(length, at), port);
    await client.came(at + 1);
    assert.deepEqual(client.received[at]?.datagram, Buffer.alloc(length, at));
  }
  // One socket for one client: the target sees one peer.
  assert.equal(new Set(target.received.map(({ from }) => from.port)).size, 1);
  assert.ok(client.received.every(({ from }) => from.port === port));
});

test('10,000 datagrams cross there and back, 32 at a time', async (t) => {
  const { target, client, port, near } = await bench(t);
  target.answer = (datagram) => datagram;
  const count = 10_000;
  const seen = new Set<number>();
  let sent = 0;
  while (sent < count) {
    for (let burst = 0; burst < 32 && sent < count; burst++) {
      const datagram = Buffer.alloc(1_200);
      datagram.writeUInt32BE(sent++);
      client.send(datagram, port);
    }
    // Lost datagrams are not waited for: a few turns are enough for the rest.
    for (let turns = 0; turns < 100 && client.received.length < sent; turns++) await turn();
  }
  for (const { datagram } of client.received) seen.add(datagram.readUInt32BE());
  assert.equal(seen.size, client.received.length, 'no datagram comes twice');
  t.diagnostic(`${client.received.length} of ${count} came back`);
  assert.ok(client.received.length >= 0.98 * count, `${client.received.length} came back`);
  assert.equal(near.stats().datagramBytes, 0);
});

test('a target that is not exposed gets nothing, and the client side learns why', async (t) => {
  const rules = new AllowRules([parseExposeSpec('1')]);
  const { target, client, port, refusals, lines, server } = await bench(t, { rules });
  client.send('a', port);
  while (refusals.length === 0) await turn();
  assert.equal(refusals[0]?.reason, 'not-allowed');
  assert.match(
    refusals[0].text,
    /is not exposed; the listener's owner can allow it with --expose 127\.0\.0\.1:\d+$/,
  );
  assert.deepEqual(target.received, []);
  assert.equal(server.counts.denied, 1);
  assert.match(lines.join(), /warn denied: 127\.0\.0\.1 port/);
});

test('a TCP-only rule admits no datagrams, and a UDP-only rule admits no connections', async (t) => {
  const rules = new AllowRules([parseExposeSpec('1-65535/tcp')]);
  const { client, port, refusals, target } = await bench(t, { rules });
  client.send('a', port);
  while (refusals.length === 0) await turn();
  assert.equal(refusals[0]?.reason, 'not-allowed');
  const book = new RuleBook([parseExposeSpec('1-65535/udp')]);
  const byBook = await bench(t, { rules: book.rulesFor(() => undefined) });
  byBook.client.send('a', byBook.port);
  await byBook.target.came(1);
  const refused = await new Promise((resolve) => {
    const { near } = byBook;
    near.open({ kind: 'tcp', host: '127.0.0.1', port: target.port }, { onRefused: resolve });
  });
  assert.equal(refused, 'not-allowed');
});

test('the address behind a name is both checked and sent to', async (t) => {
  // Without the second rule, no name would be looked up.
  const rules = new AllowRules(['127.0.0.1:*', '192.0.2.1:*'].map(parseExposeSpec));
  const inside = await bench(t, { rules, resolve: async () => ['10.1.2.3', '127.0.0.1'] }, 'a.example');
  inside.client.send('a', inside.port);
  await inside.target.came(1);
  const outside = await bench(t, { rules, resolve: async () => ['10.1.2.3', '169.254.1.1'] }, 'a.example');
  outside.client.send('a', outside.port);
  while (outside.refusals.length === 0) await turn();
  assert.equal(outside.refusals[0]?.reason, 'not-allowed');
});

test('a target that is no longer exposed is cut off at once', async (t) => {
  let rules: TargetRules = new AllowRules([LOOPBACK_ONLY]);
  const changing: TargetRules = {
    mayPermit: (...asked) => rules.mayPermit(...asked),
    mayTell: (...asked) => rules.mayTell(...asked),
    permits: (...asked) => rules.permits(...asked),
    permitsPath: (...asked) => rules.permitsPath(...asked),
    permitsName: (...asked) => rules.permitsName(...asked),
  };
  const { target, client, port, server, forward, refusals, lines } = await bench(t, { rules: changing });
  client.send('a', port);
  await target.came(1);
  rules = new AllowRules([parseExposeSpec('1')]);
  server.recheck();
  while (forward.clients > 0) await turn();
  assert.ok(lines.includes('warn cut a connection that the rules no longer allow'));
  client.send('b', port);
  while (refusals.length === 0) await turn();
  assert.equal(target.received.length, 1);
});

test('a target without a listener loses datagrams, and gets them once one appears', async (t) => {
  const { target, client, port, forward } = await bench(t);
  target.stop();
  client.send('a', port);
  while (forward.clients === 0) await turn();
  for (let turns = 0; turns < 50; turns++) await turn();
  assert.equal(forward.clients, 1);
  const later = await UdpEnd.start(target.port);
  t.after(() => later.stop());
  target.stop = () => {};
  client.send('b', port);
  await later.came(1);
  assert.deepEqual(later.texts, ['b']);
});

test('the far end closes a stream after four minutes of silence when its opener does not', async (t) => {
  const timers = new VirtualTimers();
  const { target, client, port, near, server } = await bench(t, { timers });
  target.answer = (datagram) => datagram;
  client.send('a', port);
  await client.came(1);
  assert.equal(near.streamCount, 1);
  timers.advance(239_999);
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.equal(near.streamCount, 1);
  timers.advance(1);
  const streams = (): number => near.streamCount;
  while (streams() > 0) await turn();
  assert.equal(timers.running, 0);
  assert.equal(server.counts.opened, 1);
});

test('the socket of a long-silent client is closed at the far end', async (t) => {
  const { target, client, port, forward, near, lines } = await bench(t);
  client.send('a', port);
  await target.came(1);
  forward.close();
  while (near.streamCount > 0) await turn();
  while (!lines.includes('debug the datagrams to a target have ended: reset')) await turn();
});
