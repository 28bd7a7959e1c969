import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { LocalForward, type RefusedConnection } from '../../src/forward/entry/local.js';
import { TargetServer, type TargetServerOptions } from '../../src/forward/exit/target_server.js';
import type { Session } from '../../src/mux/session/session.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { parseLocalSpec } from '../../src/rules/forward_spec.js';
import { RuleBook } from '../../src/rules/rule_book.js';
import { dialLoopback, ending, freePort, hostPortOf } from '../support/loopback.js';
import { pattern, patternDigest } from '../support/pattern.js';
import { sessionPair } from '../support/session_pair.js';
import { SilentTarget } from '../support/silent_target.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { VirtualTimers } from '../support/virtual_timers.js';

// client == LocalForward == Session == frames in memory == Session == TargetServer == target

const MIB = 1024 * 1024;
interface Tunnel {
  readonly port: number;
  readonly forward: LocalForward;
  readonly server: TargetServer;
  readonly near: Session;
  readonly far: Session;
  readonly refusals: RefusedConnection[];
  readonly lines: string[];
}

async function tunnel(
  t: TestContext,
  target: string,
  options: Partial<TargetServerOptions> = {},
): Promise<Tunnel> {
  const lines: string[] = [];
  const refusals: RefusedConnection[] = [];
  const server = new TargetServer({
    peer: 'connector',
    rules: new AllowRules([LOOPBACK_ONLY]),
    logger: { log: (level, message) => level === 'debug' || lines.push(`${level} ${message}`) },
    ...options,
  });
  const { near, far } = sessionPair((request) => server.handle(request));
  const forward = new LocalForward({ spec: parseLocalSpec(`0:${target}`) });
  forward.on('refused', (refusal) => refusals.push(refusal));
  forward.setSession(near);
  const { port } = hostPortOf(await forward.listen());
  t.after(() => {
    forward.close();
    server.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  return { port, forward, server, near, far, refusals, lines };
}

test('200 concurrent connections each carry their own bytes, in both directions, to the end', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { port, near, far, server, refusals } = await tunnel(t, `localhost:${target.port}`);
  const bytes = 64 * 1024 + 7;
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const client = dialLoopback(port);
      client.end(pattern(`client ${index}`, bytes));
      const { sha256 } = await readDigest(client);
      return sha256 === patternDigest(`client ${index}`, bytes);
    }),
  );
  assert.ok(answers.every((isRight) => isRight));
  assert.deepEqual(refusals, []);
  assert.deepEqual(server.counts, { opened: 200, denied: 0, limited: 0, failed: 0 });
  while (near.stats().streams + far.stats().streams > 0) await turn();
});

test('a hundred consecutive connections work', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { port, near, far } = await tunnel(t, `127.0.0.1:${target.port}`);
  for (let index = 0; index < 100; index++) {
    const client = dialLoopback(port);
    client.end(`round ${index}`);
    assert.equal(String(await readToEnd(client)), `round ${index}`);
  }
  while (near.stats().streams + far.stats().streams > 0) await turn();
});

test('a large transfer arrives intact in both directions at once', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { port } = await tunnel(t, `localhost:${target.port}`);
  const client = dialLoopback(port);
  const server = await target.connection();
  const bytes = 24 * MIB;
  const [up, down] = await Promise.all([
    readDigest(server),
    readDigest(client),
    writePattern(client, 'up', bytes).then(() => client.end()),
    writePattern(server, 'down', bytes).then(() => server.end()),
  ]);
  assert.deepEqual(up, { bytes, sha256: patternDigest('up', bytes) });
  assert.deepEqual(down, { bytes, sha256: patternDigest('down', bytes) });
});

test('a client that has ended its side still gets the response', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { port } = await tunnel(t, `localhost:${target.port}`);
  const client = dialLoopback(port);
  client.end('question');
  const server = await target.connection();
  assert.equal(String(await readToEnd(server)), 'question');
  await writePattern(server, 'answer', 2 * MIB);
  server.end();
  assert.equal((await readDigest(client)).sha256, patternDigest('answer', 2 * MIB));
});

test('resets travel as resets in both directions', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { port, near, far } = await tunnel(t, `localhost:${target.port}`);
  for (const side of ['client', 'server'] as const) {
    const client = dialLoopback(port);
    const server = await target.connection();
    client.write('x');
    await readExactly(server, 1);
    const [cut, other] = side === 'client' ? [client, server] : [server, client];
    other.resume();
    cut.resetAndDestroy();
    assert.equal(await ending(other), 'ECONNRESET');
  }
  while (near.stats().streams + far.stats().streams > 0) await turn();
});

test('a reader that stops blocks only its own writer', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { port, near, far } = await tunnel(t, `localhost:${target.port}`);
  const stuck = dialLoopback(port);
  const stuckServer = await target.connection();
  const flood = writePattern(stuck, 'flood', 64 * MIB).then(() => stuck.end());
  for (let still = 0, seen = -1; still < 200; still++, await turn()) {
    if (far.stats().bytesReceived !== seen) still = 0;
    seen = far.stats().bytesReceived;
  }
  assert.ok(far.stats().bytesReceived < 48 * MIB);
  assert.ok(near.stats().backlogBytes < MIB);

  const client = dialLoopback(port);
  const server = await target.connection();
  client.end('lively');
  assert.equal(String(await readToEnd(server)), 'lively');
  server.end();

  assert.equal((await readDigest(stuckServer)).sha256, patternDigest('flood', 64 * MIB));
  await flood;
  stuckServer.end();
});

test('a target that refuses resets the client, and the client learns why', async (t) => {
  const closed = await freePort();
  const { port, refusals, server } = await tunnel(t, `127.0.0.1:${closed}`);
  assert.equal(await ending(dialLoopback(port).resume()), 'ECONNRESET');
  const text = `127.0.0.1 port ${closed}: ECONNREFUSED`;
  assert.deepEqual(refusals, [{ target: { host: '127.0.0.1', port: closed }, reason: 'refused', text }]);
  assert.deepEqual(server.counts, { opened: 0, denied: 0, limited: 0, failed: 1 });
});

test('a target that is not exposed is denied, logged and counted', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const rules = new AllowRules([parseExposeSpec(`localhost:${target.port === 1 ? 2 : target.port - 1}`)]);
  const { port, refusals, server, lines } = await tunnel(t, `localhost:${target.port}`, { rules });
  assert.equal(await ending(dialLoopback(port).resume()), 'ECONNRESET');
  const [refusal, ...others] = refusals;
  assert.deepEqual(others, []);
  assert.ok(refusal !== undefined);
  assert.equal(refusal.reason, 'not-allowed');
  assert.match(
    refusal.text,
    /is not exposed; the listener's owner can allow it with --expose localhost:\d+$/,
  );
  assert.deepEqual(server.counts, { opened: 0, denied: 1, limited: 0, failed: 0 });
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /^warn denied: localhost port \d+ is not exposed/);
  assert.equal(target.sockets.size, 0);
});

test('removing a rule cuts the connections that it allowed, and no others', async (t) => {
  const targets = [await Target.echo(), await Target.echo()] as const;
  t.after(() => Promise.all(targets.map((target) => target.stop())));
  const specs = targets.map(({ port }) => parseExposeSpec(String(port)));
  const book = new RuleBook(specs);
  const { port, server, near, lines } = await tunnel(t, `localhost:${targets[0].port}`, {
    rules: book.rulesFor(() => undefined),
  });
  const forget = book.onChange(() => server.recheck());
  t.after(forget);
  const other = new LocalForward({ spec: parseLocalSpec(`0:localhost:${targets[1].port}`) });
  other.setSession(near);
  const otherPort = hostPortOf(await other.listen()).port;
  t.after(() => other.close());
  const [cut, kept] = [dialLoopback(port), dialLoopback(otherPort)];
  for (const client of [cut, kept]) {
    client.write('x');
    await once(client, 'data');
  }
  for (const spec of specs.slice(0, 1)) book.remove(spec);
  assert.equal(await ending(cut.resume()), 'ECONNRESET');
  kept.write('y');
  assert.equal(String(await once(kept, 'data')), 'y');
  assert.equal(await ending(dialLoopback(port).resume()), 'ECONNRESET');
  assert.equal(server.counts.denied, 1);
  assert.ok(lines.includes('warn cut a connection that the rules no longer allow'));
  kept.destroy();
});

test("a rule for every host opens no address of this machine, by any name, and a connection to one ends with that address's own rule", async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const every = parseExposeSpec(`*:${target.port}`);
  const own = parseExposeSpec(`10.0.0.5:${target.port}`);
  const book = new RuleBook([every]);
  const options = {
    rules: book.rulesFor(() => undefined),
    resolve: async () => ['10.0.0.5'],
    isOwn: ({ text }: { readonly text: string }) => text === '10.0.0.5',
    // The loopback stands for this machine's address.
    connect: (address: { readonly text: string }, port: number) =>
      Object.defineProperty(dialLoopback(port), 'remoteAddress', { value: address.text }),
  };
  const denied = async (host: string): Promise<void> => {
    const { port, refusals } = await tunnel(t, `${host}:${target.port}`, options);
    assert.equal(await ending(dialLoopback(port).resume().end()), 'ECONNRESET');
    assert.equal(refusals[0]?.reason, 'not-allowed');
  };
  await denied('10.0.0.5');
  await denied('app.example');
  assert.equal(target.sockets.size, 0);
  book.add(own);
  const { port, server } = await tunnel(t, `10.0.0.5:${target.port}`, options);
  const client = dialLoopback(port);
  client.write('x');
  await once(client, 'data');
  book.remove(own);
  server.recheck();
  assert.equal(await ending(client.resume()), 'ECONNRESET');
});

test('a peer that is denied again and again does not fill the log', async (t) => {
  const { port, server, lines } = await tunnel(t, '10.0.0.1:80');
  for (let index = 0; index < 70; index++) {
    assert.equal(await ending(dialLoopback(port).resume()), 'ECONNRESET');
  }
  assert.equal(server.counts.denied, 70);
  assert.equal(lines.length, 18);
});

test('a target that does not answer times out without delaying other dials', async (t) => {
  const silent = await SilentTarget.start();
  const lively = await Target.echo();
  t.after(() => Promise.all([silent.stop(), lively.stop()]));
  const timers = new VirtualTimers();
  const { port, near, server, refusals } = await tunnel(t, `127.0.0.1:${silent.port}`, { timers });
  const client = dialLoopback(port).resume();
  while (timers.running === 0) await turn();

  const answer = await new Promise<string>((resolve) => {
    const stream = near.open(
      { kind: 'tcp', host: '127.0.0.1', port: lively.port },
      {
        onOpened: () => stream.write(Buffer.from('lively')),
        onData: (chunk) => resolve(Buffer.from(chunk).toString()),
      },
    );
  });
  assert.equal(answer, 'lively');
  assert.equal(refusals.length, 0);

  timers.advance(10_000);
  assert.equal(await ending(client), 'ECONNRESET');
  assert.equal(refusals[0]?.reason, 'timeout');
  assert.deepEqual(server.counts, { opened: 1, denied: 0, limited: 0, failed: 1 });
});

test('a client that leaves during the dial stops the dial', async (t) => {
  const silent = await SilentTarget.start();
  t.after(() => silent.stop());
  const timers = new VirtualTimers();
  const { port, near, far } = await tunnel(t, `127.0.0.1:${silent.port}`, { timers });
  const client = dialLoopback(port);
  while (timers.running === 0) await turn();
  client.resetAndDestroy();
  while (timers.running > 0 || near.stats().streams + far.stats().streams > 0) await turn();
});

test('a session that closes resets both sides of every connection, and stops dials', async (t) => {
  const silent = await SilentTarget.start();
  const target = await Target.start();
  t.after(() => Promise.all([silent.stop(), target.stop()]));
  const timers = new VirtualTimers();
  const { port, near, far, server } = await tunnel(t, `localhost:${target.port}`, { timers });
  const client = dialLoopback(port);
  client.write('x');
  const served = await target.connection();
  await readExactly(served, 1);
  served.resume();
  client.resume();
  near.open({ kind: 'tcp', host: '127.0.0.1', port: silent.port }, {});
  while (timers.running === 0) await turn();
  far.close('peer-shutdown');
  server.close();
  assert.equal(await ending(served), 'ECONNRESET');
  assert.equal(await ending(client), 'ECONNRESET');
  while (timers.running > 0) await turn();
});
