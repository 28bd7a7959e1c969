import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DescriptorBudget, DescriptorShare } from '../../src/core/descriptors.js';
import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { ACCEPT_BACKLOG } from '../../src/core/limits.js';
import type { Logger } from '../../src/core/logger.js';
import {
  LocalForward,
  type LocalForwardOptions,
  type RefusedConnection,
} from '../../src/forward/entry/local.js';
import { listenOn } from '../../src/forward/listen.js';
import type { StreamHandlers, StreamOpener } from '../../src/mux/stream/stream_api.js';
import type { Target as StreamTarget } from '../../src/mux/wire/target.js';
import { parseLocalSpec } from '../../src/rules/forward_spec.js';
import { dialLoopback, ending, hasIpv6Loopback, hostPortOf, listenOnLoopback } from '../support/loopback.js';
import { readExactly } from '../support/socket_bytes.js';
import { StreamEnd } from '../support/stream_ends.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** A session that lets the test answer each request. */
class ManualSession implements StreamOpener {
  readonly opened: { target: StreamTarget; handlers: StreamHandlers; near: StreamEnd; far: StreamEnd }[] = [];
  error: Error | undefined;

  open(target: StreamTarget, handlers: StreamHandlers): StreamEnd {
    if (this.error !== undefined) throw this.error;
    const [near, far] = StreamEnd.pair();
    near.handlers = handlers;
    this.opened.push({ target, handlers, near, far });
    return near;
  }
}

interface Bench {
  readonly forward: LocalForward;
  readonly port: number;
  readonly timers: VirtualTimers;
  readonly lines: string[];
  readonly refusals: RefusedConnection[];
  readonly session: ManualSession;
  /** Resolves when this many connections have arrived in total. */
  arrived(count: number): Promise<void>;
}

async function bench(t: TestContext, options: Partial<LocalForwardOptions> = {}): Promise<Bench> {
  const timers = new VirtualTimers();
  const { lines, logger } = lineLogger();
  const forward = new LocalForward({ spec: parseLocalSpec('0:db.lan:5432'), timers, logger, ...options });
  const refusals: RefusedConnection[] = [];
  let arrivals = 0;
  forward.on('refused', (refusal) => refusals.push(refusal));
  forward.on('connection', () => arrivals++);
  const { port } = hostPortOf(await forward.listen());
  t.after(() => forward.close());
  const arrived = async (count: number): Promise<void> => {
    while (arrivals < count) await once(forward, 'connection');
  };
  return { forward, port, timers, lines, refusals, session: new ManualSession(), arrived };
}

test('listens on the loopback, and reports its port', async (t) => {
  const { lines, logger } = lineLogger();
  const forward = new LocalForward({ spec: parseLocalSpec('0:h:80'), logger });
  const listening = once(forward, 'listening');
  const local = hostPortOf(await forward.listen());
  t.after(() => forward.close());
  assert.equal(local.host, '127.0.0.1');
  assert.ok(local.port > 0);
  assert.deepEqual(await listening, [local]);
  assert.deepEqual(lines, []);
});

test('a client without a free descriptor is reset, the others stay, and the next is served', {
  timeout: 20_000,
}, async (t) => {
  const descriptors = new DescriptorShare(new DescriptorBudget(1, 100));
  const { forward, port, session, arrived } = await bench(t, { descriptors });
  forward.setSession(session);
  const first = dialLoopback(port);
  await arrived(1);
  assert.equal(await ending(dialLoopback(port)), 'ECONNRESET');
  assert.equal(session.opened.length, 1);
  assert.equal(first.destroyed, false);
  first.resetAndDestroy();
  // Until the forward has seen that, a client finds no descriptor.
  const isServed = (): boolean => session.opened.length > 1;
  while (!isServed()) {
    const next = dialLoopback(port);
    t.after(() => next.destroy());
    await Promise.race([arrived(2), ending(next)]);
  }
});

test('the system may hold a crowd of clients until they are accepted', async (t) => {
  const asked: unknown[] = [];
  await bench(t, {
    createServer: (options) => {
      const server = createServer(options);
      const listen = server.listen.bind(server);
      server.listen = (...args: unknown[]) => {
        asked.push(args[0]);
        return Reflect.apply(listen, server, args);
      };
      return server;
    },
  });
  assert.ok(asked.length > 0);
  for (const options of asked) assert.equal(Object(options).backlog, ACCEPT_BACKLOG);
});

test('without a bind address it listens at ::1 too, with the same port; close frees both', {
  skip: !hasIpv6Loopback,
}, async (t) => {
  const { forward, port, session, arrived } = await bench(t);
  forward.setSession(session);
  const client = connect(port, '::1');
  await arrived(1);
  assert.equal(session.opened.length, 1);
  forward.close();
  client.destroy();
  for (const host of ['127.0.0.1', '::1'])
    await assert.rejects(once(connect(port, host), 'connect'), { code: 'ECONNREFUSED' });
});

test('::1 in use is a warning, and no error', { skip: !hasIpv6Loopback }, async (t) => {
  const other = createServer();
  t.after(() => other.close());
  const { port } = await listenOn(other, { bind: { host: '::1', port: 0 }, option: '-L' });
  const { lines } = await bench(t, { spec: parseLocalSpec(`${port}:db.lan:5432`) });
  assert.match(lines.join(), /warn \[::1\]:\d+ is in use by another program.*only 127\.0\.0\.1:\d+ leads/);
});

test('an address that was named is the only one', { skip: !hasIpv6Loopback }, async (t) => {
  const { port } = await bench(t, { spec: parseLocalSpec('127.0.0.1:0:db.lan:5432') });
  await assert.rejects(once(connect(port, '::1'), 'connect'), { code: 'ECONNREFUSED' });
});

test('a bind address that others can reach is used as given, with a warning', async (t) => {
  const { lines, logger } = lineLogger();
  const forward = new LocalForward({ spec: parseLocalSpec('0.0.0.0:0:h:80'), logger });
  t.after(() => forward.close());
  const local = hostPortOf(await forward.listen());
  assert.equal(local.host, '0.0.0.0');
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /^warn 0\.0\.0\.0:\d+ can be reached from other machines/);
});

test('a port in use is an error that names the address and the remedy', async (t) => {
  const other = createServer();
  const port = await listenOnLoopback(other);
  t.after(() => other.close());
  const forward = new LocalForward({ spec: parseLocalSpec(`${port}:h:80`) });
  const suggested = port === 65_535 ? port - 1 : port + 1;
  await assert.rejects(forward.listen(), (error) => {
    assert.ok(isTunnelError(error, 'ERR_LISTEN'));
    assert.ok(error.cause instanceof Error);
    assert.equal(
      error.message,
      `cannot listen: 127.0.0.1:${port} is in use by another program; ` +
        `choose another port, for example ${suggested}:h:80, or 0:h:80 for any free port`,
    );
    return true;
  });
  forward.close();
});

test('an address of another machine is reported as such', async () => {
  const forward = new LocalForward({ spec: parseLocalSpec('192.0.2.1:0:h:80') });
  await assert.rejects(forward.listen(), (error) => {
    assert.ok(isTunnelError(error, 'ERR_LISTEN'));
    assert.match(error.message, /192\.0\.2\.1:0 is not an address of this machine \(EADDRNOTAVAIL\)/);
    return true;
  });
});

test('a forward closed before it listens does not listen', async () => {
  const forward = new LocalForward({ spec: parseLocalSpec('0:h:80') });
  forward.close();
  await assert.rejects(forward.listen(), (error) => isTunnelError(error, 'ERR_CLOSED'));
  const other = new LocalForward({ spec: parseLocalSpec('localhost:0:h:80') });
  const listening = other.listen();
  other.close();
  await assert.rejects(listening, (error) => isTunnelError(error, 'ERR_CLOSED'));
});

test('each connection opens a stream to the target, and bytes wait until it is open', async (t) => {
  const { forward, port, session, arrived } = await bench(t);
  forward.setSession(session);
  const client = dialLoopback(port);
  client.write('early');
  await arrived(1);
  const [stream] = session.opened;
  assert.ok(stream !== undefined);
  assert.deepEqual(stream.target, { kind: 'tcp', host: 'db.lan', port: 5432 });
  const received: Uint8Array[] = [];
  stream.far.handlers = { onData: (chunk) => received.push(chunk) };
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.deepEqual(received, []);
  stream.handlers.onOpened?.();
  while (received.length === 0) await turn();
  assert.equal(String(Buffer.concat(received)), 'early');
  stream.far.write(Buffer.from('answer'));
  assert.equal(String(await readExactly(client, 6)), 'answer');
  client.destroy();
});

test('a refused target resets the client at once, with a one-line reason', async (t) => {
  const { forward, port, session, refusals, lines, arrived } = await bench(t);
  forward.setSession(session);
  const client = dialLoopback(port).resume();
  await arrived(1);
  session.opened[0]?.handlers.onRefused?.('refused', 'db.lan port 5432: ECONNREFUSED');
  assert.equal(await ending(client), 'ECONNRESET');
  assert.deepEqual(refusals, [
    { target: { host: 'db.lan', port: 5432 }, reason: 'refused', text: 'db.lan port 5432: ECONNREFUSED' },
  ]);
  assert.deepEqual(lines, ['warn no connection to db.lan:5432: refused (db.lan port 5432: ECONNREFUSED)']);
});

test('the end of the session resets its connections, without reporting a refusal', async (t) => {
  const { forward, port, session, refusals, arrived } = await bench(t);
  forward.setSession(session);
  const clients = [dialLoopback(port).resume(), dialLoopback(port).resume()];
  await arrived(2);
  session.opened[0]?.handlers.onOpened?.();
  for (const { handlers } of session.opened) handlers.onReset?.('peer-silent', false);
  assert.deepEqual(await Promise.all(clients.map(ending)), ['ECONNRESET', 'ECONNRESET']);
  assert.deepEqual(refusals, []);
});

test('a client that leaves before the answer cancels the stream', async (t) => {
  const { forward, port, session, arrived } = await bench(t);
  forward.setSession(session);
  const client = dialLoopback(port);
  await arrived(1);
  client.resetAndDestroy();
  const [stream] = session.opened;
  while (stream?.near.resets.length === 0) await turn();
  assert.deepEqual(stream?.near.resets, ['cancelled']);
});

test('connections wait without a session, and open when one starts', async (t) => {
  const { forward, port, session, timers, arrived } = await bench(t);
  const client = dialLoopback(port);
  client.write('patient');
  await arrived(1);
  assert.equal(forward.waiting, 1);
  timers.advance(29_999);
  forward.setSession(session);
  assert.equal(forward.waiting, 0);
  assert.equal(timers.running, 0);
  assert.equal(session.opened.length, 1);
  const [stream] = session.opened;
  const received: Uint8Array[] = [];
  if (stream !== undefined) stream.far.handlers = { onData: (chunk) => received.push(chunk) };
  stream?.handlers.onOpened?.();
  while (received.length === 0) await turn();
  assert.equal(String(Buffer.concat(received)), 'patient');
  forward.setSession(undefined);
  const late = dialLoopback(port);
  await arrived(2);
  assert.equal(forward.waiting, 1);
  client.destroy();
  late.destroy();
});

test('a connection that waited 30 seconds is reset, with one line', async (t) => {
  const { forward, port, timers, lines, refusals, arrived } = await bench(t);
  const client = dialLoopback(port).resume();
  await arrived(1);
  timers.advance(29_999);
  assert.equal(forward.waiting, 1);
  timers.advance(1);
  assert.equal(forward.waiting, 0);
  assert.equal(await ending(client), 'ECONNRESET');
  assert.equal(refusals[0]?.reason, 'unreachable');
  const text = 'there was no session with the peer for 30 s';
  assert.deepEqual(lines, [`warn no connection to db.lan:5432: unreachable (${text})`]);
});

test('a limited number of connections wait; one more is reset', async (t) => {
  const { forward, port, refusals, timers, arrived } = await bench(t, { maxWaiting: 2 });
  const clients = [dialLoopback(port), dialLoopback(port)];
  await arrived(2);
  const third = dialLoopback(port).resume();
  assert.equal(await ending(third), 'ECONNRESET');
  const { waiting } = forward;
  assert.equal(waiting, 2);
  assert.equal(refusals[0]?.reason, 'limit');
  // A client that leaves makes room, and its timer goes with it.
  clients[0]?.resetAndDestroy();
  while (forward.waiting > 1) await turn();
  assert.equal(timers.running, 1);
  clients[1]?.destroy();
});

test('with a wait of 0 a connection without a session is reset at once', async (t) => {
  const { port, refusals, forward } = await bench(t, { sessionWaitMs: 0 });
  const client = dialLoopback(port).resume();
  assert.equal(await ending(client), 'ECONNRESET');
  assert.equal(refusals[0]?.reason, 'unreachable');
  assert.equal(forward.waiting, 0);
});

test('a session at its stream limit resets the connection; after the session ends, the connection waits', async (t) => {
  const { forward, port, session, refusals, arrived } = await bench(t);
  forward.setSession(session);
  session.error = new TunnelError('ERR_LIMIT', 'too many streams');
  const client = dialLoopback(port).resume();
  assert.equal(await ending(client), 'ECONNRESET');
  assert.equal(refusals[0]?.reason, 'limit');
  session.error = new TunnelError('ERR_PEER_GONE', 'connect again');
  const patient = dialLoopback(port);
  await arrived(2);
  assert.equal(forward.waiting, 1);
  assert.equal(refusals.length, 1);
  patient.destroy();
});

test('close accepts no more, resets waiting connections, keeps open ones, and frees the port', async (t) => {
  const { forward, port, session, timers, arrived } = await bench(t);
  forward.setSession(session);
  const open = dialLoopback(port);
  await arrived(1);
  session.opened[0]?.handlers.onOpened?.();
  forward.setSession(undefined);
  const waiting = dialLoopback(port).resume();
  await arrived(2);
  let closed = 0;
  forward.on('closed', () => closed++);
  forward.close();
  forward.close();
  assert.equal(closed, 1);
  assert.equal(await ending(waiting), 'ECONNRESET');
  assert.equal(timers.running, 0);
  assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
  session.opened[0]?.far.write(Buffer.from('still here'));
  assert.equal(String(await readExactly(open, 10)), 'still here');
  open.destroy();
  const again = new LocalForward({ spec: parseLocalSpec(`${port}:h:80`) });
  assert.equal(hostPortOf(await again.listen()).port, port);
  again.close();
});

function lineLogger(): { lines: string[]; logger: Logger } {
  const lines: string[] = [];
  return { lines, logger: { log: (level, message) => lines.push(`${level} ${message}`) } };
}

function isTunnelError(error: unknown, code: TunnelErrorCode): error is TunnelError {
  return TunnelError.is(error) && error.code === code;
}
