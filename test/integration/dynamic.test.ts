import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DescriptorBudget, DescriptorShare } from '../../src/core/descriptors.js';
import { DynamicForward, type DynamicForwardOptions } from '../../src/forward/entry/dynamic.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { dialLoopback, ending, freePort, hasIpv6Loopback } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { sessionPair } from '../support/session_pair.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const MIB = 1024 * 1024;
const GREETING = Uint8Array.of(5, 1, 0);
const OPENED = '05000001000000000000';

async function bench(t: TestContext, options: Partial<DynamicForwardOptions> & { exposed?: number } = {}) {
  const rules = new AllowRules(
    options.exposed === undefined ? [LOOPBACK_ONLY] : [parseExposeSpec(`${options.exposed}`)],
  );
  const server = new TargetServer({ peer: 'connector', rules });
  const { near, far } = sessionPair((request) => server.handle(request));
  const timers = new VirtualTimers();
  const lines: string[] = [];
  const refusals: string[] = [];
  const forward = new DynamicForward({
    bind: { host: '127.0.0.1', port: 0 },
    timers,
    logger: { log: (level, message) => lines.push(`${level} ${message}`) },
    ...options,
  });
  forward.on('refused', ({ reason }) => refusals.push(reason));
  const { port } = await forward.listen();
  t.after(() => {
    forward.close();
    server.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  return { forward, port, timers, lines, refusals, near, far };
}

function socksRequest(host: string, port: number, command = 1): Buffer {
  return Buffer.from([5, command, 0, 3, host.length, ...Buffer.from(host), port >> 8, port & 0xff]);
}

async function socksReply(client: Socket): Promise<string> {
  assert.equal((await readExactly(client, 2)).toString('hex'), '0500');
  return (await readExactly(client, 10)).toString('hex');
}

test('a client of the proxy without a free descriptor is reset, and one that has its own is served', {
  timeout: 20_000,
}, async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const descriptors = new DescriptorShare(new DescriptorBudget(1, 100));
  const { forward, port, near } = await bench(t, { descriptors });
  forward.setSession(near);
  const client = dialLoopback(port);
  client.write(Buffer.concat([GREETING, socksRequest('127.0.0.1', target.port)]));
  assert.equal(await socksReply(client), OPENED);
  assert.equal(await ending(dialLoopback(port)), 'ECONNRESET');
  client.write('x');
  assert.equal(String(await readExactly(client, 1)), 'x');
  client.destroy();
});

test('a SOCKS4 client gets an answer, and the log says what it needs', async (t) => {
  const { port, lines } = await bench(t);
  const client = dialLoopback(port);
  client.write(Buffer.from('0401005007000001' + '00', 'hex'));
  assert.equal((await readExactly(client, 8)).toString('hex'), '005b000000000000');
  client.destroy();
  assert.match(lines.join(), /SOCKS4 is not supported; set the client to SOCKS5/);
});

test('the default loopback includes ::1, with the same port', { skip: !hasIpv6Loopback }, async (t) => {
  const { port } = await bench(t, { bind: { host: '127.0.0.1', port: 0, isDefault: true } });
  const client = connect(port, '::1');
  client.write(GREETING);
  assert.equal((await readExactly(client, 2)).toString('hex'), '0500');
  client.destroy();
});

test('a SOCKS5 client that sends everything at once gets its bytes there and back, half-closed', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t);
  forward.setSession(near);
  const client = dialLoopback(port);
  client.write(Buffer.concat([GREETING, socksRequest('localhost', target.port), Buffer.from('early')]));
  assert.equal(await socksReply(client), OPENED);
  assert.equal(String(await readExactly(client, 5)), 'early');
  const answer = readDigest(client);
  await writePattern(client, 'bulk', 4 * MIB);
  client.end();
  assert.deepEqual(await answer, { bytes: 4 * MIB, sha256: patternDigest('bulk', 4 * MIB) });
  assert.equal(forward.halfOpen, 0);
});

test('an HTTP client on the same port gets its bytes there and back', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t);
  forward.setSession(near);
  const client = dialLoopback(port);
  client.end(`CONNECT 127.0.0.1:${target.port} HTTP/1.1\r\n\r\nearly`);
  assert.equal(String(await readToEnd(client)), 'HTTP/1.1 200 Connection Established\r\n\r\nearly');
});

test('refusals of the other end are reported in both protocols, and the connection ends cleanly', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const closed = await freePort();
  const open = await bench(t);
  open.forward.setSession(open.near);
  const strict = await bench(t, { exposed: target.port });
  strict.forward.setSession(strict.near);
  for (const [{ port }, targetPort, code, status] of [
    [open, closed, '5', 502],
    [strict, closed, '2', 403],
  ] as const) {
    const socks = dialLoopback(port);
    socks.write(Buffer.concat([GREETING, socksRequest('localhost', targetPort)]));
    assert.equal((await readToEnd(socks)).toString('hex'), `0500050${code}0001000000000000`);
    const http = dialLoopback(port);
    http.write(`CONNECT localhost:${targetPort} HTTP/1.1\r\n\r\n`);
    assert.match(String(await readToEnd(http)), new RegExp(`^HTTP/1.1 ${status} `));
    socks.end();
    http.end();
  }
  assert.deepEqual(open.refusals, ['refused', 'refused']);
  assert.deepEqual(strict.refusals, ['not-allowed', 'not-allowed']);
});

test('BIND and UDP ASSOCIATE are answered with 7, other protocols with a reset', async (t) => {
  const { port, lines, timers } = await bench(t);
  for (const command of [2, 3]) {
    const client = dialLoopback(port);
    client.write(Buffer.concat([GREETING, socksRequest('localhost', 80, command)]));
    assert.equal((await readToEnd(client)).toString('hex'), '050005070001000000000000');
    // The proxy does not wait for a client that keeps its end open after that.
    timers.advance(2_000);
    assert.equal(timers.running, 0);
    client.destroy();
  }
  const client = dialLoopback(port).resume();
  client.write('\x16\x03\x01 a TLS client');
  assert.equal(await ending(client), 'ECONNRESET');
  assert.match(lines.at(-1) ?? '', /^info proxy: 127\.0\.0\.1: speaks neither SOCKS5 nor HTTP$/);
});

test('a client that does not name a target is reset after 10 seconds', async (t) => {
  const { forward, port, timers } = await bench(t);
  const silent = dialLoopback(port).resume();
  const slow = dialLoopback(port).resume();
  slow.write('CONNECT a');
  while (forward.halfOpen < 2) await turn();
  timers.advance(9_999);
  const { halfOpen } = forward;
  assert.equal(halfOpen, 2);
  timers.advance(1);
  assert.deepEqual(await Promise.all([ending(silent), ending(slow)]), ['ECONNRESET', 'ECONNRESET']);
  while (forward.halfOpen > 0) await turn();
  assert.equal(timers.running, 0);
});

test('beyond the limit of silent clients a new one waits until another leaves', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t, { maxHalfOpen: 2, maxWaiting: 2 });
  forward.setSession(near);
  const silent = [dialLoopback(port), dialLoopback(port)];
  while (forward.halfOpen < 2) await turn();
  const honest = dialLoopback(port);
  honest.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
  const gone = dialLoopback(port);
  while (forward.unread < 2) await turn();
  assert.equal(await ending(dialLoopback(port).resume()), 'ECONNRESET', 'this many may wait');
  gone.resetAndDestroy();
  while (forward.unread > 1) await turn();
  silent[0]?.end();
  assert.equal(await socksReply(honest), OPENED);
  assert.equal(forward.halfOpen, 1);
  honest.destroy();
  silent[1]?.destroy();
});

test('a client that is silent for a second is dropped when others wait', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, timers, near } = await bench(t, { maxHalfOpen: 2 });
  forward.setSession(near);
  const silent = dialLoopback(port).resume();
  while (forward.halfOpen < 1) await turn();
  timers.advance(500);
  const later = dialLoopback(port).resume();
  while (forward.halfOpen < 2) await turn();
  timers.advance(499);
  const honest = dialLoopback(port);
  honest.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
  while (forward.unread < 1) await turn();
  timers.advance(1);
  assert.equal(await ending(silent), 'ECONNRESET');
  assert.equal(await socksReply(honest), OPENED);
  assert.equal(later.destroyed, false, 'nobody waits any more');
  honest.destroy();
  later.destroy();
});

test('a client that is exchanging its password does not count as silent, however long ago it connected', {
  timeout: 20_000,
}, async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, timers, near } = await bench(t, {
    maxHalfOpen: 2,
    credentials: { user: 'joe', password: 'hi' },
  });
  forward.setSession(near);
  const talking = dialLoopback(port);
  while (forward.halfOpen < 1) await turn();
  timers.advance(600);
  const silent = dialLoopback(port).resume();
  while (forward.halfOpen < 2) await turn();
  timers.advance(300);
  talking.write(Uint8Array.of(5, 1, 2));
  assert.equal((await readExactly(talking, 2)).toString('hex'), '0502');
  const honest = dialLoopback(port);
  honest.write(Buffer.from('05010201036a6f65026869', 'hex'));
  honest.write(socksRequest('localhost', target.port));
  while (forward.unread < 1) await turn();
  // The active client connected 1.6 s ago and sent 0.7 s ago; the other has been silent for 1 s.
  timers.advance(700);
  assert.equal(await ending(silent), 'ECONNRESET');
  assert.equal((await readExactly(honest, 14)).toString('hex'), `05020100${OPENED}`);
  talking.write(Buffer.from('01036a6f65026869', 'hex'));
  talking.write(socksRequest('localhost', target.port));
  assert.equal((await readExactly(talking, 12)).toString('hex'), `0100${OPENED}`);
  honest.destroy();
  talking.destroy();
});

test('a client that falls silent during its exchange makes room a second later', {
  timeout: 20_000,
}, async (t) => {
  const { forward, port, timers } = await bench(t, {
    maxHalfOpen: 1,
    credentials: { user: 'joe', password: 'hi' },
  });
  const half = dialLoopback(port);
  while (forward.halfOpen < 1) await turn();
  timers.advance(700);
  half.write(Uint8Array.of(5, 1, 2));
  await readExactly(half, 2);
  const next = dialLoopback(port);
  while (forward.unread < 1) await turn();
  timers.advance(999);
  assert.equal(forward.unread, 1);
  timers.advance(1);
  assert.equal(await ending(half.resume()), 'ECONNRESET');
  assert.deepEqual([forward.unread, forward.halfOpen], [0, 1]);
  next.destroy();
});

test('200 concurrent clients are all served', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t);
  forward.setSession(near);
  const clients = Array.from({ length: 200 }, () => {
    const client = dialLoopback(port);
    client.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
    return client;
  });
  for (const client of clients) assert.equal(await socksReply(client), OPENED);
  assert.equal(forward.halfOpen + forward.unread, 0);
  for (const client of clients) client.destroy();
});

test('a closing proxy also resets clients that it has not read from', async (t) => {
  const { forward, port, timers } = await bench(t, { maxHalfOpen: 1 });
  const clients = [dialLoopback(port).resume(), dialLoopback(port).resume()];
  while (forward.unread < 1) await turn();
  forward.close();
  assert.deepEqual(await Promise.all(clients.map(ending)), ['ECONNRESET', 'ECONNRESET']);
  while (forward.halfOpen + forward.unread > 0) await turn();
  assert.equal(timers.running, 0);
});

test('a proxy that is closed before or while it starts to listen rejects, and leaves its port free', async () => {
  const bind = { host: '127.0.0.1', port: await freePort() };
  const early = new DynamicForward({ bind });
  early.close();
  await turn();
  await assert.rejects(early.listen(), { code: 'ERR_CLOSED' });
  const late = new DynamicForward({ bind });
  const listening = late.listen();
  late.close();
  await assert.rejects(listening, { code: 'ERR_CLOSED' });
  const next = new DynamicForward({ bind });
  assert.deepEqual(await next.listen(), bind);
  next.close();
});

test('a client waits without a session, and is connected once a session starts', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, timers, near } = await bench(t);
  const patient = dialLoopback(port);
  patient.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
  while (forward.waiting < 1) await turn();
  assert.equal(forward.halfOpen, 0, 'it has named its target');
  timers.advance(20_000);
  const unlucky = dialLoopback(port);
  unlucky.write(`CONNECT localhost:${target.port} HTTP/1.1\r\n\r\n`);
  const gone = dialLoopback(port);
  gone.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
  while (forward.waiting < 3) await turn();
  gone.resetAndDestroy();
  while (forward.waiting > 2) await turn();
  forward.setSession(near);
  assert.equal(await socksReply(patient), OPENED);
  assert.match(String(await readExactly(unlucky, 12)), /^HTTP\/1\.1 200$/);
  patient.destroy();
  unlucky.destroy();
});

test('a client that waited 30 seconds for a session gets a 502', async (t) => {
  const { forward, port, timers, refusals } = await bench(t);
  const client = dialLoopback(port);
  client.write('CONNECT localhost:80 HTTP/1.1\r\n\r\n');
  while (forward.waiting < 1) await turn();
  timers.advance(30_000);
  assert.match(String(await readToEnd(client)), /^HTTP\/1\.1 502 .*no session with the peer for 30 s\n$/s);
  assert.deepEqual(refusals, ['unreachable']);
  client.end();
  while (timers.running > 0) await turn();
});

test('a session that ends resets its clients', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t);
  forward.setSession(near);
  const client = dialLoopback(port);
  client.write(Buffer.concat([GREETING, socksRequest('localhost', target.port)]));
  assert.equal(await socksReply(client), OPENED);
  near.close('peer-shutdown');
  assert.equal(await ending(client.resume()), 'ECONNRESET');
});

test('with a password, the right one is accepted over both protocols', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { forward, port, near } = await bench(t, { credentials: { user: 'joe', password: 'hi' } });
  forward.setSession(near);
  const socks = dialLoopback(port);
  socks.write(Buffer.from('05010201036a6f65026869', 'hex'));
  socks.write(socksRequest('localhost', target.port));
  assert.equal((await readExactly(socks, 14)).toString('hex'), `05020100${OPENED}`);
  socks.destroy();
  for (const [pair, status] of [
    ['joe:hi', 200],
    ['joe:ho', 407],
  ] as const) {
    const http = dialLoopback(port);
    const basic = Buffer.from(pair).toString('base64');
    http.end(`CONNECT localhost:${target.port} HTTP/1.1\r\nProxy-Authorization: Basic ${basic}\r\n\r\n`);
    assert.match(String(await readToEnd(http)), new RegExp(`^HTTP/1.1 ${status} `));
  }
});

test('outside the loopback it listens with a warning; close frees the port and resets waiting clients', async (t) => {
  const { lines, forward, port } = await bench(t, { bind: { host: '0.0.0.0', port: 0 } });
  assert.match(lines[0] ?? '', /^warn 0\.0\.0\.0:\d+ can be reached from other machines.*--socks-user$/);
  const halfOpen = dialLoopback(port).resume();
  const waiting = dialLoopback(port).resume();
  waiting.write('CONNECT localhost:80 HTTP/1.1\r\n\r\n');
  while (forward.waiting < 1 || forward.halfOpen < 1) await turn();
  forward.close();
  assert.deepEqual(await Promise.all([ending(halfOpen), ending(waiting)]), ['ECONNRESET', 'ECONNRESET']);
  assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
});
