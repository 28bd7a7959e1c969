import assert from 'node:assert/strict';
import { type EventEmitter, once } from 'node:events';
import { createServer, get, request } from 'node:http';
import { get as getSecurely } from 'node:https';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import test, { describe, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { TunnelAgent, TunnelHttpsAgent } from '../../src/forward/stream/agent.js';
import { DialedStream } from '../../src/forward/stream/dialed_stream.js';
import { StreamGate } from '../../src/forward/stream_gate.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { ending, freePort, hostPortOf, listenOnLoopback } from '../support/loopback.js';
import { pattern, patternDigest } from '../support/pattern.js';
import { sessionPair } from '../support/session_pair.js';
import { readDigest, readToEnd } from '../support/socket_bytes.js';
import { STREAM_PEER } from '../support/some_peer.js';
import { Target } from '../support/target.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const MIB = 1024 * 1024;

/** The operations that a dialled stream and a `net.Socket` share here. */
type SocketLike = Duplex & {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly connecting: boolean;
  readonly readyState: string;
  setTimeout(ms: number, callback?: () => void): unknown;
  setNoDelay(): unknown;
  setKeepAlive(): unknown;
  ref(): unknown;
  unref(): unknown;
  resetAndDestroy(): unknown;
  destroySoon(): void;
};
type Dial = (t: TestContext, port: number, allowHalfOpen?: boolean) => SocketLike;

function tunnel(t: TestContext) {
  const server = new TargetServer({ peer: 'connector', rules: new AllowRules([LOOPBACK_ONLY]) });
  const { near, far } = sessionPair((request) => server.handle(request));
  const timers = new VirtualTimers();
  const gate = new StreamGate({ timers });
  t.after(() => {
    gate.close();
    server.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  const dial = (port: number, options: { allowHalfOpen?: boolean; signal?: AbortSignal } = {}) =>
    new DialedStream({
      peer: STREAM_PEER,
      gate,
      timers,
      target: { kind: 'tcp', host: '127.0.0.1', port },
      ...options,
    });
  return { near, far, gate, timers, dial };
}

const ways: readonly (readonly [name: string, dial: Dial])[] = [
  ['a net.Socket', (_t, port, allowHalfOpen = false) => connect({ host: '127.0.0.1', port, allowHalfOpen })],
  [
    'a dialled stream',
    (t, port, allowHalfOpen = false) => {
      const { gate, near, dial } = tunnel(t);
      gate.setSession(near);
      return dial(port, { allowHalfOpen });
    },
  ],
];

async function target(t: TestContext): Promise<Target> {
  const made = await Target.start();
  t.after(() => made.stop());
  return made;
}

async function codeOf(stream: EventEmitter): Promise<unknown> {
  const [error] = (await once(stream, 'error')) as [Error & { code?: unknown }];
  return error.code;
}

async function closing(stream: Duplex): Promise<void> {
  await new Promise((resolve) => stream.once('close', resolve));
}

for (const [name, dial] of ways) {
  describe(name, () => {
    test('connects, carries bytes both ways, and counts them', async (t) => {
      const far = await target(t);
      const near = dial(t, far.port);
      assert.equal(near.readyState, 'opening');
      near.write('before it is connected');
      near.setNoDelay();
      near.setKeepAlive();
      near.unref();
      near.ref();
      await once(near, 'connect');
      const { connecting, readyState } = near;
      assert.deepEqual([connecting, readyState], [false, 'open']);
      const server = await far.connection();
      near.end();
      assert.equal(String(await readToEnd(server)), 'before it is connected');
      const answer = readToEnd(near);
      const closed = once(near, 'close');
      server.end('answer');
      assert.equal(String(await answer), 'answer');
      await closed;
      assert.deepEqual([near.bytesWritten, near.bytesRead, near.readyState], [22, 6, 'closed']);
    });

    test('delivers many bytes intact, at the pace of the reader', async (t) => {
      const far = await target(t);
      const near = dial(t, far.port, true);
      const server = await far.connection();
      const bytes = 8 * MIB;
      server.end(pattern('down', bytes));
      const up = readDigest(server);
      near.end(pattern('up', bytes));
      assert.deepEqual(await up, { bytes, sha256: patternDigest('up', bytes) });
      assert.ok(near.readableLength < bytes);
      assert.deepEqual(await readDigest(near), { bytes, sha256: patternDigest('down', bytes) });
    });

    test('without allowHalfOpen it ends when the other end does; with allowHalfOpen it may continue', async (t) => {
      for (const allowHalfOpen of [false, true]) {
        const far = await target(t);
        const near = dial(t, far.port, allowHalfOpen);
        const server = await far.connection();
        server.end();
        near.resume();
        await once(near, 'end');
        assert.equal(near.writable, allowHalfOpen);
        if (allowHalfOpen) near.end('still here');
        assert.equal(String(await readToEnd(server)), allowHalfOpen ? 'still here' : '');
      }
    });

    test('destroy without an error is a clean end for the other side; resetAndDestroy is a reset', async (t) => {
      const far = await target(t);
      const polite = dial(t, far.port);
      await once(polite, 'connect');
      const first = await far.connection();
      polite.write('all');
      while (polite.writableLength > 0) await turn();
      polite.destroy();
      assert.equal(String(await readToEnd(first)), 'all');
      const rude = dial(t, far.port);
      await once(rude, 'connect');
      const second = (await far.connection()).resume();
      rude.resetAndDestroy();
      assert.equal(await ending(second), 'ECONNRESET');
      const soon = dial(t, far.port);
      soon.write('soon');
      soon.destroySoon();
      assert.equal(String(await readToEnd(await far.connection())), 'soon');
    });

    test('a reset by the other side is ECONNRESET, and a closed port ECONNREFUSED', async (t) => {
      const far = await target(t);
      const near = dial(t, far.port);
      await once(near, 'connect');
      const server = await far.connection();
      const code = codeOf(near);
      near.resume();
      server.resetAndDestroy();
      assert.equal(await code, 'ECONNRESET');
      assert.equal(await codeOf(dial(t, await freePort())), 'ECONNREFUSED');
    });
  });
}

test('destroy with an error, or with unread bytes, resets the target', async (t) => {
  const far = await target(t);
  const { gate, near, dial } = tunnel(t);
  gate.setSession(near);
  const failed = dial(far.port);
  await once(failed, 'connect');
  const first = (await far.connection()).resume();
  const code = codeOf(failed);
  failed.destroy(Object.assign(new Error('mine'), { code: 'MINE' }));
  assert.equal(await code, 'MINE');
  assert.equal(await ending(first), 'ECONNRESET');
  const unread = dial(far.port);
  const second = await far.connection();
  second.write('unread');
  while (unread.readableLength === 0) await turn();
  unread.destroy();
  assert.equal(await ending(second.resume()), 'ECONNRESET');
  while (near.stats().streams > 0) await turn();
});

test('a target that keeps its end open after our destroy is reset after a minute, or when it sends', async (t) => {
  const far = await target(t);
  const { gate, near, timers, dial } = tunnel(t);
  gate.setSession(near);
  for (const sends of [false, true]) {
    const stream = dial(far.port);
    await once(stream, 'connect');
    const server = await far.connection();
    stream.destroy();
    await readToEnd(server);
    if (sends) server.write('late');
    else timers.advance(60_000);
    // A socket that has read an end learns of the reset only when it writes, so check the stream.
    while (near.stats().streams > 0) await turn();
    assert.equal(timers.running, 0);
    server.destroy();
  }
});

test('a reader that stops keeps the far end from sending more than a window', async (t) => {
  const far = await target(t);
  const { gate, near, dial } = tunnel(t);
  gate.setSession(near);
  const stream = dial(far.port, { allowHalfOpen: true });
  const server = await far.connection();
  server.end(pattern('flood', 32 * MIB));
  for (let still = 0, seen = -1; still < 200; still++, await turn()) {
    if (stream.bytesRead !== seen) still = 0;
    seen = stream.bytesRead;
  }
  assert.ok(stream.readableLength <= MIB, `${stream.readableLength} bytes wait`);
  assert.deepEqual(await readDigest(stream), { bytes: 32 * MIB, sha256: patternDigest('flood', 32 * MIB) });
  stream.end();
});

test('timeout fires after this long without a byte, and is only an event', async (t) => {
  const far = await target(t);
  const { gate, near, timers, dial } = tunnel(t);
  gate.setSession(near);
  const stream = dial(far.port);
  await once(stream, 'connect');
  let timeouts = 0;
  stream.setTimeout(1000, () => timeouts++);
  timers.advance(999);
  stream.write('x');
  timers.advance(999);
  assert.equal(timeouts, 0);
  timers.advance(1);
  const { destroyed } = stream;
  assert.deepEqual([timeouts, destroyed, stream.timeout], [1, false, 1000]);
  stream.setTimeout(0);
  assert.equal(timers.running, 0);
  stream.destroy();
});

test('a stream waits for a session, and gives up after 30 seconds or when aborted', async (t) => {
  const far = await target(t);
  const { gate, near, timers, dial } = tunnel(t);
  const late = dial(far.port);
  const lateCode = codeOf(late);
  const aborter = new AbortController();
  const aborted = dial(far.port, { signal: aborter.signal });
  const abortedCode = codeOf(aborted);
  while (gate.waiting < 2) await turn();
  aborter.abort();
  assert.equal(await abortedCode, 'ABORT_ERR');
  const { waiting } = gate;
  assert.equal(waiting, 1);
  timers.advance(30_000);
  assert.equal(await lateCode, 'EHOSTUNREACH');
  const patient = dial(far.port);
  while (gate.waiting < 1) await turn();
  gate.setSession(near);
  await once(patient, 'connect');
  const reset = codeOf(patient);
  near.close('peer-shutdown');
  assert.equal(await reset, 'ECONNRESET');
});

test('every write and end is called back with the error when the tunnel closes', async (t) => {
  const far = await target(t);
  const { gate, near, dial } = tunnel(t);
  const waiting = dial(far.port);
  while (gate.waiting < 1) await turn();
  gate.setSession(near);
  await once(waiting, 'connect');
  gate.setSession(undefined);
  const late = dial(far.port);
  const codes: unknown[] = [];
  const noted = (error?: (Error & { code?: unknown }) | null): void => {
    codes.push(error?.code);
  };
  late.write('x', noted);
  late.write('y', noted);
  late.end(noted);
  const failed = Promise.all([codeOf(late), closing(late)]);
  while (gate.waiting < 1) await turn();
  gate.close();
  assert.equal((await failed)[0], 'ECONNABORTED');
  assert.deepEqual(codes.splice(0), ['ECONNABORTED', 'ECONNABORTED', 'ECONNABORTED']);
  while (waiting.write(Buffer.alloc(MIB)));
  waiting.write('x', noted);
  waiting.end(noted);
  const cut = Promise.all([codeOf(waiting), closing(waiting)]);
  near.close('peer-shutdown');
  assert.equal((await cut)[0], 'ECONNRESET');
  assert.deepEqual(codes, ['ECONNRESET', 'ECONNRESET']);
});

test('a stream that cannot be opened fails in a later turn, so handlers may be added after an await', async (t) => {
  const { gate, dial } = tunnel(t);
  gate.close();
  // In a callback of the event loop, `nextTick` comes before promises.
  const code = await new Promise((resolve) => {
    setImmediate(() => {
      const connect = async (): Promise<DialedStream> => dial(1);
      void connect().then((stream) => resolve(codeOf(stream)));
    });
  });
  assert.equal(code, 'ECONNABORTED');
});

test('streams that this end cuts when it closes say so, and do not blame the other end', async (t) => {
  const far = await target(t);
  const { gate, near, dial } = tunnel(t);
  gate.setSession(near);
  const open = dial(far.port);
  await once(open, 'connect');
  const opening = dial(far.port);
  await turn();
  const errors = Promise.all([open, opening].map(async (stream) => await once(stream, 'error')));
  near.close('peer-shutdown');
  assert.deepEqual(
    (await errors).flat().map(({ message }: Error) => message),
    [
      `read ECONNRESET 127.0.0.1 port ${far.port}: this end has closed the tunnel`,
      `connect ECONNABORTED 127.0.0.1 port ${far.port}: this end has closed the tunnel`,
    ],
  );
});

test('a write to a request of node:http is called back with the error', async (t) => {
  const port = await freePort();
  const { gate, near, dial } = tunnel(t);
  gate.setSession(near);
  const agent = new TunnelAgent((wanted) => dial(hostPortOf(wanted).port));
  const sent = request({ host: 'localhost', port, method: 'POST', agent });
  const failed = codeOf(sent);
  const told = new Promise<(Error & { code?: unknown }) | null | undefined>((resolve) => {
    sent.write('body', resolve);
  });
  assert.equal(await failed, 'ECONNREFUSED');
  assert.equal((await told)?.code, 'ECONNREFUSED');
});

test("an agent's timeout reaches the request, with and without TLS", async (t) => {
  const far = await target(t);
  const { gate, near, timers, dial } = tunnel(t);
  gate.setSession(near);
  for (const [agent, begin] of [
    [new TunnelAgent((wanted) => dial(hostPortOf(wanted).port), { timeout: 5_000 }), get],
    [new TunnelHttpsAgent((wanted) => dial(hostPortOf(wanted).port), { timeout: 20 }), getSecurely],
  ] as const) {
    const sent = begin({ host: 'localhost', port: far.port, agent } as object);
    sent.on('error', () => {});
    const timeout = once(sent, 'timeout');
    await far.connection();
    while (agent instanceof TunnelAgent && timers.running === 0) await turn();
    timers.advance(5_000);
    await timeout;
    sent.destroy();
    agent.destroy();
  }
});

test('its agent serves node:http, connection after connection', async (t) => {
  const server = createServer((request, response) => response.end(`you asked for ${request.url}`));
  const port = await listenOnLoopback(server);
  const { gate, near, dial } = tunnel(t);
  gate.setSession(near);
  const agent = new TunnelAgent((wanted) => dial(hostPortOf(wanted).port), {
    keepAlive: true,
    maxSockets: 1,
  });
  t.after(() => {
    agent.destroy();
    server.close();
    server.closeAllConnections();
  });
  for (const path of ['/a', '/b']) {
    const [response] = await once(get({ host: 'localhost', port, path, agent }), 'response');
    assert.equal(String(await readToEnd(response)), `you asked for ${path}`);
  }
});
