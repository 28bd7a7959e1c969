/** Reverse forwards: the far end listens and this end dials. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DescriptorBudget, DescriptorShare, unboundedShare } from '../../src/core/descriptors.js';
import { limitsOf } from '../../src/core/peer_limits.js';
import { PortHolders } from '../../src/forward/reverse/port_holders.js';
import { ReverseServer } from '../../src/forward/reverse/reverse_server.js';
import type { Session } from '../../src/mux/session/session.js';
import type { MuxStream, OpenRequest } from '../../src/mux/stream/stream_api.js';
import type { Reason } from '../../src/mux/wire/reasons.js';
import { parseReverseSpec } from '../../src/rules/forward_spec.js';
import type { ReverseChange } from '../../src/tunnel/events.js';
import { ReverseForwards } from '../../src/tunnel/reverse_forwards.js';
import { dialLoopback, ending, freePort } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { FakeOwner } from '../support/port_owner.js';
import { bench } from '../support/reverse_bench.js';
import { sessionPair } from '../support/session_pair.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const MIB = 1024 * 1024;

test('a port and its connections take descriptors: without a free one the port is refused, and a connection reset', {
  timeout: 20_000,
}, async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const descriptors = new DescriptorShare(new DescriptorBudget(2, 100));
  const b = bench(t, ['*'], undefined, descriptors);
  const port = await b.listening(b.forwards.add(parseReverseSpec(`0:127.0.0.1:${target.port}`)));
  const first = dialLoopback(port);
  first.write('a');
  assert.equal(String(await readExactly(first, 1)), 'a');
  assert.equal(await ending(dialLoopback(port)), 'ECONNRESET');
  b.forwards.add(parseReverseSpec('0:127.0.0.1:1'));
  const refusal = await b.refused(1);
  assert.equal(refusal.reason, 'limit');
  assert.match(refusal.text, /the far end has no free file descriptor \(EMFILE\); try again/);
  first.write('b');
  assert.equal(String(await readExactly(first, 1)), 'b');
  first.destroy();
});

test('connections to the far port come out here, in both directions, half-closed', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec(`0:localhost:${target.port}`));
  const port = await b.listening(reverse);
  const clients = [dialLoopback(port), dialLoopback(port)];
  const answers = clients.map((client) => readDigest(client));
  for (const client of clients) {
    await writePattern(client, 'reverse', 2 * MIB);
    client.end();
  }
  for (const answer of answers) {
    assert.deepEqual(await answer, { bytes: 2 * MIB, sha256: patternDigest('reverse', 2 * MIB) });
  }
  assert.deepEqual(b.changes, [
    { status: 'open', listen: `127.0.0.1:${port}`, target: `localhost:${target.port}`, peer: 'listener' },
  ]);
  assert.deepEqual(b.told, [`open 127.0.0.1:${port}`]);
});

test('an open connection is not cut when the time for an answer passes', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const b = bench(t, ['0']);
  const port = await b.listening(b.forwards.add(parseReverseSpec(`0:localhost:${target.port}`)));
  const client = dialLoopback(port);
  for (const text of ['before', 'after']) {
    client.write(text);
    assert.equal(String(await readExactly(client, text.length)), text);
    b.timers.advance(30_000);
  }
  client.destroy();
});

test('a port that is not allowed stays closed, and the user learns what to do', async (t) => {
  const port = await freePort();
  const b = bench(t, [String(port === 1 ? 2 : port - 1), '0.0.0.0:1']);
  b.forwards.add(parseReverseSpec(`${port}:localhost:80`));
  const { reason, text, target } = await b.refused(1);
  assert.equal(reason, 'not-allowed');
  assert.equal(target, `${port}`);
  assert.match(
    text,
    new RegExp(`the listener's owner can allow it with --allow-reverse 127\\.0\\.0\\.1:${port}$`),
  );
  assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
  assert.equal(b.ports.count, 0);
  assert.match(b.lines.at(-1) ?? '', /^warn denied: /);
  assert.equal(b.timers.running, 0, 'it is not requested again in this session');
});

test('a bind address that is a name is refused before anything looks it up', async (t) => {
  const b = bench(t, ['*:*']);
  for (const host of ['evil.example', '127.1', '0x7f.1', '::1%lo', 'localhost.']) {
    const refusal = await new Promise<string>((resolve) => {
      b.near?.open(
        { kind: 'listen', host, port: 0 },
        { onRefused: (reason, text) => resolve(reason + text) },
      );
    });
    assert.match(refusal, /^not-allowed.*must be numeric/, host);
  }
});

test('a port in use is reported, and requested again until it is free', async (t) => {
  const holder = await Target.start();
  const b = bench(t, ['*']);
  const reverse = b.forwards.add(parseReverseSpec(`${holder.port}:localhost:80`));
  const { reason, text } = await b.refused(1);
  assert.equal(reason, 'busy');
  assert.match(text, /is in use at the far end; ask for another port; asking again$/);
  const waits = async (): Promise<void> => {
    while (b.timers.running === 0) await turn();
  };
  for (let tries = 0; tries < 3; tries++) {
    await waits();
    b.timers.advance(60_000);
  }
  await waits();
  assert.equal(b.refusals.length, 1, 'the same failure is reported once');
  await holder.stop();
  b.timers.advance(60_000);
  assert.equal(await b.listening(reverse), holder.port);
});

test('a forward that closes while it waits to request a port again leaves no timer', async (t) => {
  const holder = await Target.start();
  t.after(() => holder.stop());
  const b = bench(t, ['*']);
  b.forwards.add(parseReverseSpec(`${holder.port}:localhost:80`));
  await b.refused(1);
  assert.equal(b.timers.running, 1);
  b.forwards.close();
  assert.equal(b.timers.running, 0);
});

test('the number of open ports is limited, and closing one makes room', async (t) => {
  const b = bench(t, ['0'], 2);
  const reverses = [1, 2].map((port) => b.forwards.add(parseReverseSpec(`0:localhost:${port}`)));
  for (const reverse of reverses) await b.listening(reverse);
  const third = b.forwards.add(parseReverseSpec('0:localhost:3'));
  assert.equal((await b.refused(1)).reason, 'limit');
  void reverses[0]?.close();
  while (b.ports.count > 1) await turn();
  b.timers.advance(1_000);
  await b.listening(third);
});

test('close frees the port, and open connections continue', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec(`0:localhost:${target.port}`));
  const port = await b.listening(reverse);
  const client = dialLoopback(port);
  client.write('before');
  await new Promise((resolve) => client.once('data', resolve));
  void reverse.close();
  while (b.ports.count > 0) await turn();
  assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
  client.end(' and after');
  assert.equal(String(await readToEnd(client)), ' and after');
  assert.deepEqual(
    b.changes.map(({ status }) => status),
    ['open', 'closed'],
  );
});

test('the end of the session closes the port; the next session opens it again, and reports the new port', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec(`0:localhost:${target.port}`));
  const first = await b.listening(reverse);
  const open = dialLoopback(first).resume();
  open.write('x');
  await new Promise((resolve) => open.once('data', resolve));
  b.disconnect();
  assert.equal(reverse.remote, undefined);
  assert.equal(await ending(open), 'ECONNRESET');
  assert.equal(await ending(dialLoopback(first)), 'ECONNREFUSED');
  b.connect();
  const second = await b.listening(reverse);
  const client = dialLoopback(second);
  client.end('again');
  assert.equal(String(await readToEnd(client)), 'again');
  assert.equal(b.changes.at(-1)?.listen, `127.0.0.1:${second}`);
});

test('an outage that the session survives leaves the port unchanged', async (t) => {
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec('0:localhost:80'));
  const port = await b.listening(reverse);
  b.forwards.setSession(undefined);
  await turn();
  b.forwards.setSession(b.near);
  await turn();
  assert.equal(await b.listening(reverse), port);
  assert.equal(b.ports.count, 1);
  assert.equal(b.changes.length, 1);
});

test('a rule change closes the port and cuts its connections', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec(`0:localhost:${target.port}`));
  const port = await b.listening(reverse);
  const client = dialLoopback(port).resume();
  await target.connection();
  b.ports.recheck();
  assert.equal(b.ports.count, 1);
  b.allowed = [];
  b.ports.recheck();
  assert.equal(await ending(client), 'ECONNRESET');
  assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
  while (reverse.remote !== undefined) await turn();
});

test('a target that refuses resets the client at the far end', async (t) => {
  const b = bench(t, ['0']);
  const reverse = b.forwards.add(parseReverseSpec(`0:localhost:${await freePort()}`));
  const client = dialLoopback(await b.listening(reverse)).resume();
  assert.equal(await ending(client), 'ECONNRESET');
  assert.ok(b.lines.some((line) => /^info the peer refused a connection: .*ECONNREFUSED/.test(line)));
});

test('a client that connects while the peer does not answer is reset after 30 seconds', async (t) => {
  const timers = new VirtualTimers();
  const ports = new ReverseServer({
    owner: new FakeOwner('p'),
    holders: new PortHolders(timers),
    rules: { permitsListen: () => true },
    maxPorts: 1,
    timers,
  });
  const { near } = sessionPair(
    (request) => {
      if (request.target.kind === 'listen') ports.handle(request, request.target);
    },
    () => {},
  );
  t.after(() => ports.close());
  const bytes: number[] = [];
  near.open({ kind: 'listen', host: 'localhost', port: 0 }, { onData: (chunk) => bytes.push(...chunk) });
  while (bytes.length < 2) await turn();
  const client = dialLoopback((bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)).resume();
  while (timers.running === 0) await turn();
  timers.advance(30_000);
  assert.equal(await ending(client), 'ECONNRESET');
});

test('a peer that writes to or half-closes the stream of its port loses the port', async (t) => {
  for (const fault of ['data', 'end'] as const) {
    const b = bench(t, ['0']);
    let reset: Reason | undefined;
    const stream = await new Promise<MuxStream | undefined>((resolve) => {
      const opened = b.near?.open(
        { kind: 'listen', host: '127.0.0.1', port: 0 },
        {
          onData: () => resolve(opened),
          onReset: (reason) => {
            reset = reason;
          },
        },
      );
    });
    assert.equal(b.ports.count, 1);
    if (fault === 'data') stream?.write(Uint8Array.of(1));
    else stream?.end();
    while (reset === undefined) await turn();
    const { count } = b.ports;
    assert.equal(count, 0);
    assert.equal(reset, fault === 'data' ? 'protocol-error' : 'cancelled');
  }
});

/** A hostile listener: it answers requests for ports itself, and opens any stream. */
async function hostile(t: TestContext): Promise<{
  forwards: ReverseForwards;
  session: Session;
  request: OpenRequest;
  far: MuxStream;
  target: Target;
  refusal(listener: Uint8Array, session?: Session): Promise<string>;
  changes: ReverseChange[];
  logged: string[];
}> {
  const target = await Target.start();
  t.after(() => target.stop());
  const changes: ReverseChange[] = [];
  const logged: string[] = [];
  const forwards = new ReverseForwards({
    peer: 'listener',
    timers: new VirtualTimers(),
    logger: { log: (_level, message) => void logged.push(message) },
    descriptors: unboundedShare(),
    limits: limitsOf(),
    onChange: (change) => changes.push(change),
    onRefused: () => {},
  });
  const requests: OpenRequest[] = [];
  const { near, far: session } = sessionPair(
    (request) => requests.push(request),
    (request) => forwards.handle(request),
  );
  t.after(() => {
    forwards.close();
    near.close('peer-shutdown');
  });
  forwards.setSession(near);
  forwards.add(parseReverseSpec(`0:localhost:${target.port}`));
  while (requests.length === 0) await turn();
  const [request] = requests;
  assert.ok(request !== undefined);
  const refusal = (listener: Uint8Array, through = session): Promise<string> =>
    new Promise((resolve) => {
      through.open(
        { kind: 'accepted', listener, host: '10.0.0.1', port: 1 },
        { onRefused: (reason) => resolve(reason), onOpened: () => resolve('opened') },
      );
    });
  return { forwards, session, request, far: request.accept({}), target, refusal, changes, logged };
}

const bytesOf = (id: string): Uint8Array => Uint8Array.from(Buffer.from(id.replaceAll('-', ''), 'hex'));

test('a listener reaches nothing with unrequested streams, whatever their kind', async (t) => {
  const { session, far, target, refusal } = await hostile(t);
  assert.equal(await refusal(new Uint8Array(16).fill(7)), 'not-allowed');
  for (const asked of [
    { kind: 'tcp', host: 'localhost', port: target.port },
    { kind: 'udp', host: 'localhost', port: target.port },
    { kind: 'path', path: '/run/app.sock' },
    { kind: 'listen', host: '127.0.0.1', port: 0 },
  ] as const) {
    const reason = await new Promise((resolve) => {
      session.open(asked, { onRefused: resolve, onOpened: () => resolve('opened') });
    });
    assert.equal(reason, 'not-allowed', asked.kind);
  }
  assert.equal(target.sockets.size, 0);
  assert.equal(await refusal(bytesOf(far.id)), 'opened');
});

test('a closed port, or a port of another session, gives a listener no access', async (t) => {
  const { forwards, far, refusal, target } = await hostile(t);
  const other = sessionPair(
    () => {},
    (request) => forwards.handle(request),
  );
  t.after(() => other.near.close('peer-shutdown'));
  assert.equal(await refusal(bytesOf(far.id), other.far), 'not-allowed');
  far.reset('cancelled');
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.equal(await refusal(bytesOf(far.id)), 'not-allowed');
  assert.equal(target.sockets.size, 0);
});

test('a listener that repeatedly offers unrequested streams does not fill the log', async (t) => {
  const { refusal, logged } = await hostile(t);
  for (let count = 0; count < 200; count++) assert.equal(await refusal(new Uint8Array(16)), 'not-allowed');
  // The first 16, then 32, 64 and 128.
  assert.equal(logged.filter((line) => /a port that was not requested/.test(line)).length, 19);
});

test('a listener that reports no port, or several, has its stream reset', async (t) => {
  for (const bytes of [
    [0, 0],
    [1, 2, 3],
  ]) {
    const { far, request, changes } = await hostile(t);
    assert.equal(request.target.kind, 'listen');
    far.write(Uint8Array.from(bytes));
    while (!far.isClosed) await turn();
    assert.deepEqual(changes, []);
  }
});

test('a port reported byte by byte is one port', async (t) => {
  const { far, changes } = await hostile(t);
  far.write(Uint8Array.of(0x1f));
  await turn();
  far.write(Uint8Array.of(0x90));
  while (changes.length === 0) await turn();
  assert.equal(changes[0]?.listen, '127.0.0.1:8080');
});

test('after close nothing is requested, and no timer is left', async (t) => {
  const b = bench(t, []);
  b.forwards.add(parseReverseSpec('8080:localhost:80'));
  await b.refused(1);
  b.forwards.close();
  b.connect();
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.equal(b.refusals.length, 1);
  assert.equal(b.timers.running, 0);
});
