/** Streams that end in the listener's process, over a session in memory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { Duplex } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TunnelAgent } from '../../src/forward/stream/agent.js';
import { DialError } from '../../src/forward/stream/dial_error.js';
import { DialedStream } from '../../src/forward/stream/dialed_stream.js';
import { type Offer, Offers } from '../../src/forward/stream/offers.js';
import { type ServedStream, StreamServer } from '../../src/forward/stream/stream_server.js';
import { StreamGate } from '../../src/forward/stream_gate.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { hostPortOf } from '../support/loopback.js';
import { pattern, patternDigest } from '../support/pattern.js';
import { sessionPair } from '../support/session_pair.js';
import { readDigest, readToEnd } from '../support/socket_bytes.js';
import { STREAM_PEER } from '../support/some_peer.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const MIB = 1024 * 1024;
const PEER_ADDRESS = '2001:2f::1';
const WEB: Offer = { host: 'web', port: 80 };

interface World {
  readonly near: ReturnType<typeof sessionPair>['near'];
  readonly far: ReturnType<typeof sessionPair>['far'];
  readonly server: StreamServer;
  readonly logged: string[];
  /** Called for each stream; a test may replace it. */
  rules: AllowRules;
  handler: ((stream: ServedStream) => void) | undefined;
  dial(): DialedStream;
  /** Both ends of a new stream. */
  pair(): Promise<{ readonly client: DialedStream; readonly served: ServedStream }>;
}

function world(t: TestContext, offer: Offer = WEB): World {
  const offers = new Offers([offer]);
  const logged: string[] = [];
  const timers = new VirtualTimers();
  const server = new StreamServer({
    nameOf: () => 'default',
    peer: 'connector',
    peerAddress: PEER_ADDRESS,
    rules: { permitsName: (name, port) => made.rules.permitsName(name, port) },
    timers,
    logger: { level: 'debug', log: (_level, message) => logged.push(message) },
    hasHandler: () => made.handler !== undefined,
    onStream: (stream) => made.handler?.(stream),
  });
  const { near, far } = sessionPair((request) => server.handle(request, offer));
  const gate = new StreamGate({ timers });
  gate.setSession(near);
  const made: World = {
    near,
    far,
    server,
    logged,
    rules: new AllowRules(offers.rules),
    handler: undefined,
    dial: () =>
      new DialedStream({
        peer: STREAM_PEER,
        gate,
        timers,
        target: { kind: 'tcp', host: offer.host, port: offer.port },
      }),
    pair: async () => {
      const served = new Promise<ServedStream>((resolve) => {
        made.handler = resolve;
      });
      const client = made.dial();
      await once(client, 'connect');
      // They end with their session; a test that cares waits for it.
      for (const each of [client, await served]) each.on('error', () => {});
      return { client, served: await served };
    },
  };
  t.after(() => {
    gate.close();
    server.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  return made;
}

async function failure(stream: Duplex): Promise<DialError> {
  const [error] = (await once(stream, 'error')) as [unknown];
  assert.ok(error instanceof DialError);
  return error;
}

test('a served stream carries bytes both ways, knows its address, and ends when the other end does', async (t) => {
  const { client, served } = await world(t).pair();
  const { connecting, pending, readyState, localAddress, localPort, remoteAddress } = served;
  assert.deepEqual(
    [connecting, pending, readyState, localAddress, localPort, remoteAddress],
    [false, false, 'open', 'web', 80, PEER_ADDRESS],
  );
  client.end('question');
  const closed = Promise.all([once(client, 'close'), once(served, 'close')]);
  served.write('answer');
  assert.equal(String(await readToEnd(served)), 'question');
  assert.equal(String(await readToEnd(client)), 'answer');
  await closed;
  assert.deepEqual([served.bytesRead, served.bytesWritten], [8, 6]);
});

test('when offered half-open, it continues after the other end has ended', async (t) => {
  const { client, served } = await world(t, { ...WEB, allowHalfOpen: true }).pair();
  client.end('question');
  assert.equal(String(await readToEnd(served)), 'question');
  assert.equal(served.writable, true);
  served.end('late answer');
  assert.equal(String(await readToEnd(client)), 'late answer');
});

test('megabytes arrive intact, and a reader that stops holds back the writer', async (t) => {
  const { client, served } = await world(t).pair();
  client.end(pattern('up', 8 * MIB));
  for (let still = 0, seen = -1; still < 200; still++, await turn()) {
    if (served.bytesRead !== seen) still = 0;
    seen = served.bytesRead;
  }
  assert.ok(served.readableLength <= MIB, `${served.readableLength} bytes wait`);
  assert.deepEqual(await readDigest(served), { bytes: 8 * MIB, sha256: patternDigest('up', 8 * MIB) });
});

test('without a handler the connection is refused, and leaves nothing behind', async (t) => {
  const { dial, server, near, far } = world(t);
  const { code, message } = await failure(dial());
  assert.equal(code, 'ECONNREFUSED');
  assert.match(message, /web port 80: no program takes connections there now/);
  assert.deepEqual(server.counts, { opened: 0, denied: 0, limited: 0, failed: 1 });
  assert.deepEqual([near.stats().streams, far.stats().streams], [0, 0]);
});

test('a connection against the rules is denied, and the owner learns how to allow it', async (t) => {
  const made = world(t);
  made.handler = () => assert.fail('no handler may get it');
  made.rules = new AllowRules([LOOPBACK_ONLY]);
  const { code, message } = await failure(made.dial());
  assert.equal(code, 'EACCES');
  assert.match(message, /--expose web\.:80/);
  assert.deepEqual(made.server.counts, { opened: 0, denied: 1, limited: 0, failed: 0 });
  assert.match(made.logged.join(), /^denied: web port 80 is not exposed/);
});

test('datagrams are refused whatever the rules say, and a peer without access to the name does not learn why', async (t) => {
  const made = world(t);
  made.handler = () => assert.fail('a datagram stream must not reach the handler');
  const refusal = (): Promise<string> =>
    new Promise((resolve) => {
      made.near.open(
        { kind: 'udp', ...WEB },
        { onRefused: (reason, text) => resolve(`${reason}: ${text}`), onOpened: () => resolve('opened') },
      );
    });
  assert.equal(await refusal(), 'refused: web port 80 takes connections, not datagrams');
  assert.deepEqual(made.server.counts, { opened: 0, denied: 0, limited: 0, failed: 1 });
  made.rules = new AllowRules([LOOPBACK_ONLY]);
  assert.match(await refusal(), /^not-allowed: web port 80 is not exposed/);
  assert.deepEqual(made.server.counts, { opened: 0, denied: 1, limited: 0, failed: 1 });
});

test('after a change of the rules, forbidden open streams are reset at both ends, and others continue', async (t) => {
  const made = world(t);
  const { client, served } = await made.pair();
  made.server.recheck();
  client.write('still here');
  await once(served, 'readable');
  made.rules = new AllowRules([LOOPBACK_ONLY]);
  const reset = failure(client);
  const closed = once(served, 'close');
  made.server.recheck();
  const { code, reason } = await reset;
  assert.deepEqual([code, reason], ['ECONNRESET', 'not-allowed']);
  await closed;
  assert.equal(made.near.stats().streams, 0);
});

test('a connection given up before it is answered reaches no handler', async (t) => {
  const made = world(t);
  made.handler = () => assert.fail('the client has gone');
  const client = made.dial();
  // The stream was requested, and nothing has arrived there yet.
  await turn();
  assert.equal(made.near.stats().streams, 1);
  client.destroy();
  while (made.near.stats().streams > 0) await turn();
  await turn();
  assert.equal(made.server.counts.opened, 0);
});

test('a request cancelled before its turn is not answered', async (t) => {
  const made = world(t);
  made.handler = () => assert.fail('the client has gone');
  const request = {
    target: { kind: 'tcp', ...WEB } as const,
    idBytes: new Uint8Array(16),
    opener: made.far,
    isCancelled: false,
    onCancelled: undefined,
    accept: () => assert.fail('accepted'),
    refuse: () => assert.fail('refused'),
  };
  made.server.handle(request, WEB);
  request.isCancelled = true;
  await turn();
  assert.deepEqual(made.server.counts, { opened: 0, denied: 0, limited: 0, failed: 0 });
});

test('after close nothing more is served, and open streams end with their session as a reset', async (t) => {
  const made = world(t);
  const { client, served } = await made.pair();
  made.server.close();
  assert.equal((await failure(made.dial())).code, 'ECONNRESET');
  const codes = Promise.all([failure(client), failure(served)]);
  made.far.close('peer-shutdown');
  assert.deepEqual(
    (await codes).map(({ code }) => code),
    ['ECONNRESET', 'ECONNRESET'],
  );
});

test('bytes and an end from before the other side closed arrive, and only a later write fails', async (t) => {
  const { near, far, pair } = world(t, { ...WEB, allowHalfOpen: true });
  const { client, served } = await pair();
  client.end(pattern('last', MIB));
  const read = readDigest(served);
  await once(client, 'finish');
  while (near.stats().backlogBytes > 0) await turn();
  near.close('peer-shutdown');
  assert.deepEqual(await read, { bytes: MIB, sha256: patternDigest('last', MIB) });
  while (!far.isClosed) {
    far.tick();
    await turn();
  }
  assert.equal(served.destroyed, false);
  const failed = failure(served);
  const told = new Promise((resolve) => served.write('late', resolve));
  const error = await failed;
  assert.equal(error.reason, 'peer-shutdown');
  assert.equal(await told, error);
});

test('an exception of a handler is uncaught, and other streams continue', async (t) => {
  const made = world(t);
  const [one, other] = [await made.pair(), await made.pair()];
  const uncaught: unknown[] = [];
  const keep = (error: unknown): void => {
    uncaught.push(error);
  };
  const runners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException').on('uncaughtException', keep);
  t.after(() => {
    process.off('uncaughtException', keep);
    for (const runner of runners) process.on('uncaughtException', runner);
  });
  const thrown = new Error('thrown by a listener');
  one.served.on('data', () => {
    throw thrown;
  });
  one.client.write('x');
  other.client.end('y');
  assert.equal(String(await readToEnd(other.served)), 'y');
  while (uncaught.length === 0) await turn();
  assert.deepEqual(uncaught, [thrown]);
});

test('a stream serves as the socket of a node:http server, request after request', async (t) => {
  const http = createServer((request, response) => response.end(`you asked for ${request.url}`));
  const made = world(t, { ...WEB, allowHalfOpen: true });
  let streams = 0;
  made.handler = (stream) => {
    streams++;
    http.emit('connection', stream);
  };
  const agent = new TunnelAgent(
    (wanted) => {
      assert.deepEqual(hostPortOf(wanted), WEB);
      return made.dial();
    },
    { keepAlive: true, maxSockets: 1 },
  );
  t.after(() => agent.destroy());
  for (const path of ['/a', '/b']) {
    const [response] = await once(get({ host: 'web', path, agent }), 'response');
    assert.equal(String(await readToEnd(response)), `you asked for ${path}`);
  }
  assert.equal(streams, 1);
});
