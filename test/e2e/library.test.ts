/**
 * The library embedded in a program: a bootstrap node, a listener and connectors in one process, on the real
 * wasm.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { createServer as createHttpsServer, get as getSecurely } from 'node:https';
import { connect as connectTcp, createServer as createTcpServer, isIP } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { Agent, fetch as undiciFetch } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import {
  type BootstrapNode,
  type CommonOptions,
  type Connector,
  connect,
  createBootstrapNode,
  createIdentity,
  type DialOptions,
  type Listener,
  type LocalSpec,
  listen,
  parseBootstrapLine,
  parseExposeSpec,
  parseLocalSpec,
  parseReverseRule,
  parseReverseSpec,
  parseTicket,
  type ReverseSpec,
  type StreamOrigin,
  type TunnelStream,
  type UdpSpec,
} from '../../src/index.js';
import { printExposeSpec } from '../../src/rules/expose.js';
import { toxIdOf } from '../../src/state/identity.js';
import { programWords } from '../support/build.js';
import { failsWith } from '../support/fails_with.js';
import { LOOPBACK_HOST, listenOnLoopback } from '../support/loopback.js';
import { pattern, patternDigest } from '../support/pattern.js';
import { runProgram } from '../support/run_program.js';
import { assertSilent, secretInTicket, spellings } from '../support/secrets.js';
import { readDigest, readToEnd } from '../support/socket_bytes.js';
import { TEST_CERTIFICATE } from '../support/test_certificate.js';

const MIB = 1024 * 1024;
const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
const WEB = { host: 'web', port: 80, allowHalfOpen: true } as const;
const SECURE = { host: 'secure.lan', port: 443 } as const;
const SECOND = { host: 'second', port: 80 } as const;
const ECHO = { host: 'echo', port: 7, allowHalfOpen: true } as const;

const aborted = (): AbortSignal => AbortSignal.abort(new Error('by the test'));
const isAborted = failsWith('ERR_ABORTED', /its signal was aborted/);

describe('a program with the library', () => {
  let first: BootstrapNode;
  let options: CommonOptions;
  let listener: Listener;
  let tunnel: Connector;
  /** The info that the handler received for each stream. */
  const origins: StreamOrigin[] = [];
  const http = createServer((request, response) =>
    response.end(request.url === '/address' ? request.socket.remoteAddress : `plain ${request.url}`),
  );
  const https = createHttpsServer(TEST_CERTIFICATE, (request, response) =>
    response.end(`secret ${request.url}`),
  );
  const http2 = createHttp2Server((request, response) => response.end(`second ${request.url}`));
  const target = createServer((request, response) => response.end(`a target's ${request.url}`));
  let targetPort: number;

  before(async () => {
    targetPort = await listenOnLoopback(target);
    first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
    options = {
      ...LOCAL,
      bootstrap: [parseBootstrapLine(`${LOOPBACK_HOST}:${first.udpPort}:${first.publicKey}`)],
    };
    listener = await listen({
      ...options,
      expose: [parseExposeSpec(String(targetPort))],
      offer: [WEB, SECURE, SECOND, ECHO],
      allowReverse: [parseReverseRule('0')],
    });
    listener.on('stream', (stream, from) => {
      origins.push(from);
      stream.on('error', () => {});
      if (from.host === WEB.host) http.emit('connection', stream);
      else if (from.host === SECURE.host) https.emit('connection', stream);
      else if (from.host === SECOND.host) http2.emit('connection', stream);
      else stream.pipe(stream);
    });
    tunnel = await connect({ ...options, remote: listener.ticket });
    await once(tunnel, 'peer');
  });

  after(async () => {
    await tunnel.close();
    await listener.close();
    await first.close();
    target.close();
    target.closeAllConnections();
  });

  test('accepts a ticket as text or parsed, and reports a mistyped one before anything starts', async () => {
    for (const [remote, code, why] of [
      [listener.ticket.slice(0, -1), 'ERR_TICKET_INVALID', /1 of 123/],
      [listener.toxId.slice(1), 'ERR_ADDRESS_INVALID', /75 digits/],
      ['', 'ERR_ADDRESS_INVALID', /digits/],
    ] as const)
      await assert.rejects(connect({ ...options, remote }), failsWith(code, why));
  });

  test('accepts specs as the command line does, and dials localhost when no host is given', async () => {
    const forward = await tunnel.forward(`0:localhost:${targetPort}`);
    assert.equal(await (await fetch(`http://${forward.local}/t`)).text(), "a target's /t");
    void forward.close();
    const stream = tunnel.dial({ port: targetPort });
    await once(stream, 'connect');
    assert.deepEqual([stream.remoteAddress, stream.remotePort], ['localhost', targetPort]);
    stream.destroy();
  });

  test('reports a wrong argument at the call that passes it, and other streams stay open', async () => {
    const innocent = tunnel.dial(ECHO);
    await once(innocent, 'connect');
    for (const [wrong, code] of [
      [{}, 'ERR_ADDRESS_INVALID'],
      [{ host: null, port: 80 }, 'ERR_ADDRESS_INVALID'],
      [{ host: 'a\0b', port: 80 }, 'ERR_ADDRESS_INVALID'],
      [{ path: '' }, 'ERR_ADDRESS_INVALID'],
      [{ hots: 'a', port: 80 }, 'ERR_ARGUMENT_INVALID'],
    ] as const) {
      const target: object = wrong;
      assert.throws(() => tunnel.dial(target as DialOptions), failsWith(code, /dial\(\): /));
    }
    const bind = { host: LOOPBACK_HOST, port: 0 };
    for (const target of [{ port: 80 }, { host: '', port: 80 }, { host: 'a', port: 0 }, { path: 'rel' }]) {
      const spec = { bind, target } as LocalSpec;
      const isInvalid = failsWith('ERR_ADDRESS_INVALID', /spec\.target/);
      await assert.rejects(tunnel.forward(spec), isInvalid);
      await assert.rejects(tunnel.udpForward(spec as UdpSpec), isInvalid);
      assert.throws(() => tunnel.reverse(spec as ReverseSpec), isInvalid);
    }
    // Without a host, Node would listen on every address of the machine.
    const everywhere = { bind: { port: 0 }, target: ECHO } as unknown as LocalSpec;
    await assert.rejects(tunnel.forward(everywhere), failsWith('ERR_ADDRESS_INVALID', /bind\.host must be/));
    // A bad host name in a URL fails the way an unknown host does.
    const long = get(`http://${'a.'.repeat(200)}lan/`, { agent: tunnel.agent() });
    assert.equal(
      ((await once(long, 'error')) as [Error & { code?: unknown }])[0].code,
      'ERR_ADDRESS_INVALID',
    );
    innocent.end('still here');
    assert.equal(String(await readToEnd(innocent)), 'still here');
  });

  test('reads the keys of peers before it acts on them', async () => {
    for (const wrong of ['', 'zz', 'AB'.repeat(31)]) {
      const isInvalid = failsWith('ERR_ADDRESS_INVALID', /64 hexadecimal digits/);
      assert.throws(() => listener.denyPeer(wrong), isInvalid);
      assert.throws(() => listener.allowPeer(wrong), isInvalid);
      await assert.rejects(listener.removePeer(wrong), isInvalid);
    }
    // A program in JavaScript may pass anything.
    const missing = undefined as unknown as string;
    const isMissing = failsWith('ERR_ARGUMENT_INVALID', /\(\): publicKey must be a string/);
    assert.throws(() => listener.denyPeer(missing), isMissing);
    assert.throws(() => listener.allowPeer(missing), isMissing);
    await assert.rejects(listener.removePeer(missing), isMissing);
    assert.equal(await listener.removePeer('AB'.repeat(32)), false);
  });

  test('reveals no secret, however it is logged', async (t) => {
    const credentials = { user: 'somebody', password: 'correct horse battery' };
    const proxy = await tunnel.dynamic({ bind: '0', credentials });
    const reverse = tunnel.reverse('0:web:80');
    const stream = tunnel.dial(ECHO);
    await once(stream, 'connect');
    t.after(() => {
      void proxy.close();
      void reverse.close();
      stream.destroy();
    });
    const ticket = parseTicket(listener.ticket);
    const identity = createIdentity();
    const objects = {
      ...{ first, listener, tunnel, ticket, identity, proxy, reverse, stream },
      identities: [first.identity, listener.identity, tunnel.identity],
      options: { identity, remote: ticket },
      books: [listener.access, listener.rules, listener.reverseRules],
      agents: [tunnel.agent(), tunnel.httpsAgent()],
    };
    const keys = [...objects.identities, identity].map(({ secretKey }) => secretKey);
    const secrets = [
      ...[...keys, ticket.secret].flatMap(spellings),
      secretInTicket(listener.ticket),
      credentials.password,
    ];
    for (const [name, object] of Object.entries(objects)) {
      for (const options of [
        {},
        { depth: 10, showHidden: true },
        { depth: 10, showHidden: true, customInspect: false },
      ]) {
        const whole = { maxArrayLength: null, maxStringLength: null, ...options };
        assertSilent(`inspect of ${name}`, inspect(object, whole).replaceAll(/\s/g, ''), secrets);
      }
      if (name !== 'agents') assertSilent(`JSON of ${name}`, JSON.stringify(object), secrets);
    }
    assert.match(
      inspect(tunnel),
      /^Connector \{\s+toxId: '[0-9A-F]{76}',\s+state: 'online',\s+path: '\w+',\s+peers: 1/,
    );
    assert.match(inspect({ listener }), /listener: Listener \{/);
    assert.match(inspect(first), /^BootstrapNode \{\s+publicKey: '/);
    assert.equal(inspect(identity), `Identity { publicKey: '${toxIdOf(identity).slice(0, 64)}' }`);
    assert.equal(inspect(ticket), `Ticket { toxId: '${listener.toxId}' }`);
    assert.match(inspect(stream), /^TunnelStream \{\s+target: 'echo port 7',\s+readyState: 'open',/);
    assert.match(inspect(reverse), /^Reverse \{ remote: /);
    assert.deepEqual(JSON.parse(JSON.stringify({ ticket })), { ticket: { toxId: listener.toxId } });
  });

  test('serves streams without a port, and learns which peer opens them', async () => {
    const stream = tunnel.dial(ECHO);
    const answer = readDigest(stream);
    stream.end(pattern('echo', 4 * MIB));
    assert.deepEqual(await answer, { bytes: 4 * MIB, sha256: patternDigest('echo', 4 * MIB) });
    const [peer] = listener.peers();
    assert.deepEqual(origins.at(-1), { host: 'echo', port: 7, peer: peer?.publicKey, name: 'default' });
    assert.ok(peer !== undefined && peer.opened > 0 && peer.bytesIn > 4 * MIB);
    assert.ok(tunnel.stats().bytesOut > 4 * MIB && listener.stats().bytesIn > 4 * MIB);
  });

  test('gives each peer one IP address, by which servers tell clients apart', async () => {
    await using guest = await connect({ ...options, remote: listener.ticket });
    const addresses: string[] = [];
    for (const each of [tunnel, tunnel, guest]) {
      const [response] = await once(get('http://web/address', { agent: each.agent() }), 'response');
      addresses.push(String(await readToEnd(response)));
    }
    const [first = '', again, other = ''] = addresses;
    assert.deepEqual([isIP(first), isIP(other), again], [6, 6, first]);
    assert.notEqual(first, other);
  });

  test('opens only what it offers and exposes', async () => {
    const codeOf = async (stream: TunnelStream): Promise<unknown> =>
      ((await once(stream, 'error')) as [Error & { code?: unknown }])[0].code;
    assert.equal(await codeOf(tunnel.dial({ host: 'web', port: 81 })), 'EACCES');
    assert.equal(await codeOf(tunnel.dial({ host: 'localhost', port: first.udpPort })), 'EACCES');
    listener.access.newTicket({ name: 'narrow', rules: ['web:80'] });
    const ticket = parseTicket(listener.ticketOf('narrow') ?? '');
    await using guest = await connect({ ...options, remote: ticket });
    assert.equal(await codeOf(guest.dial(ECHO)), 'EACCES');
    const [response] = await once(get('http://web/guest', { agent: guest.agent() }), 'response');
    assert.equal(String(await readToEnd(response)), 'plain /guest');
    assert.equal(origins.at(-1)?.name, 'narrow');
  });

  test('closes the streams of an offer when its rule is removed, and serves the offer again when the rule returns', async () => {
    const stream = tunnel.dial(ECHO);
    await once(stream, 'connect');
    const failed = once(stream, 'error') as Promise<[Error & { code?: unknown }]>;
    assert.ok(listener.rules.remove(parseExposeSpec('echo:7')));
    assert.equal((await failed)[0].code, 'ECONNRESET');
    listener.rules.add(parseExposeSpec('echo:7'));
    const again = tunnel.dial(ECHO);
    again.end('again');
    assert.equal(String(await readToEnd(again)), 'again');
  });

  test('never resolves an offered name, and refuses datagrams to it', async () => {
    const forward = await tunnel.udpForward({
      bind: { host: LOOPBACK_HOST, port: 0 },
      target: ECHO,
    });
    const refused = once(tunnel, 'refused');
    const socket = createSocket('udp4');
    try {
      socket.send('a', Number(forward.local.split(':')[1]), LOOPBACK_HOST);
      const [{ reason, text }] = await refused;
      assert.deepEqual([reason, text], ['refused', 'echo port 7 takes connections, not datagrams']);
    } finally {
      socket.close();
      await forward.close();
    }
  });

  test('serves node:http and node:https, with TLS inside the tunnel', async () => {
    const [plain] = await once(get('http://web/a', { agent: tunnel.agent() }), 'response');
    assert.equal(String(await readToEnd(plain)), 'plain /a');
    const agent = tunnel.httpsAgent({ ca: TEST_CERTIFICATE.cert, keepAlive: true, maxSockets: 1 });
    for (const path of ['/b', '/c']) {
      const [secret] = await once(getSecurely(`https://secure.lan${path}`, { agent }), 'response');
      assert.equal(String(await readToEnd(secret)), `secret ${path}`);
    }
    agent.destroy();
    const distrustful = getSecurely('https://secure.lan/', { agent: tunnel.httpsAgent() });
    const [error] = (await once(distrustful, 'error')) as [Error & { code?: unknown }];
    assert.equal(error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
    const [exposed] = await once(
      get(`http://localhost:${targetPort}/d`, { agent: tunnel.agent() }),
      'response',
    );
    assert.equal(String(await readToEnd(exposed)), "a target's /d");
  });

  test('serves fetch from undici and from Node over HTTP and HTTPS', async () => {
    const dispatcher = new Agent({ connect: tunnel.undiciConnect({ ca: TEST_CERTIFICATE.cert }) });
    try {
      for (const [url, text] of [
        ['http://web/a', 'plain /a'],
        ['https://secure.lan/b', 'secret /b'],
        [`http://localhost:${targetPort}/c`, "a target's /c"],
      ] as const) {
        assert.equal(await (await undiciFetch(url, { dispatcher })).text(), text);
        // The fetch types of Node come from another version of undici.
        const init: object = { dispatcher };
        assert.equal(await (await fetch(url, init)).text(), text);
      }
      await assert.rejects(undiciFetch('http://web:81/', { dispatcher }), (error: Error) => {
        assert.match(String(error.cause), /EACCES web port 81/);
        return true;
      });
    } finally {
      await dispatcher.destroy();
    }
  });

  test('carries WebSockets and HTTP/2 over dialled streams', async () => {
    const sockets = new WebSocketServer({ server: target });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`${data}!`)));
    const socket = new WebSocket(`ws://localhost:${targetPort}/`, { agent: tunnel.agent() });
    await once(socket, 'open');
    socket.send('hello');
    assert.equal(String((await once(socket, 'message'))[0]), 'hello!');
    socket.close();
    await once(socket, 'close');
    sockets.close();

    const session = connectHttp2('http://second', { createConnection: () => tunnel.dial(SECOND) });
    const answers = ['/a', '/b'].map((path) => readToEnd(session.request({ ':path': path })));
    assert.deepEqual((await Promise.all(answers)).map(String), ['second /a', 'second /b']);
    session.close();
    await once(session, 'close');
  });

  test('forwards local ports, a proxy, and ports of the other machine', async (t) => {
    const server = createTcpServer((socket) => socket.end('from our side'));
    t.after(() => server.close());
    const port = await listenOnLoopback(server);
    const forward = await tunnel.forward(parseLocalSpec('0:web:80'));
    const page = await (await fetch(`http://${forward.local}/f`)).text();
    assert.equal(page, 'plain /f');
    void forward.close();
    const proxy = await tunnel.dynamic({ bind: { host: LOOPBACK_HOST, port: 0 } });
    const client = connectTcp(Number(proxy.local.split(':')[1]), LOOPBACK_HOST);
    client.end('CONNECT web:80 HTTP/1.1\r\n\r\nGET /p HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
    assert.match(String(await readToEnd(client)), /^HTTP\/1\.1 200 .*\r\n\r\nHTTP\/1\.1 200 OK.*plain \/p/s);
    void proxy.close();
    const reverse = tunnel.reverse(parseReverseSpec(`0:${LOOPBACK_HOST}:${port}`));
    const [{ status, listen: remote }] = await once(tunnel, 'reverse');
    assert.deepEqual([status, remote], ['open', reverse.remote]);
    const far = connectTcp(Number(String(remote).split(':')[1]), LOOPBACK_HOST);
    assert.equal(String(await readToEnd(far)), 'from our side');
    void reverse.close();
  });

  test('opens only what a rule names; the loopback default holds on request, until the first change', async () => {
    const reverse = parseReverseRule('8080');
    for (const [given, open] of [
      [{}, []],
      [{ expose: [] }, []],
      [{ allowReverse: [reverse] }, []],
      [{ offer: [WEB] }, ['web:80']],
      [{ expose: [], offer: [WEB] }, ['web:80']],
      [{ expose: 'loopback', offer: [WEB] }, ['web:80', 'localhost:*']],
      [{ expose: 'loopback' }, ['localhost:*']],
    ] as const) {
      const other = await listen({ ...options, ...given });
      try {
        const listed = () => other.rules.list().map(printExposeSpec);
        assert.deepEqual(listed(), open);
        assert.equal(other.rules.isDefault, 'expose' in given && given.expose === 'loopback');
        other.reverseRules.add(parseReverseRule('9090'));
        assert.deepEqual(
          listed(),
          open.filter((text) => text !== 'localhost:*'),
        );
        assert.equal(other.rules.isDefault, false);
      } finally {
        await other.close();
      }
    }
  });

  test('a listener without rules refuses an open port on its loopback to every kind of ticket', async () => {
    const closed = await listen({ ...options, allowReverse: [parseReverseRule('0')] });
    const narrow = await listen({ ...options, expose: 'loopback' });
    try {
      narrow.access.newTicket({ name: 'back', allowReverse: ['0'] });
      narrow.access.newTicket({ name: 'idle', rules: [] });
      const tickets = [closed.ticket, narrow.ticketOf('back'), narrow.ticketOf('idle')];
      const answers = [...tickets, narrow.ticket].map(async (remote) => {
        const own = await connect({ ...options, remote: remote ?? '' });
        try {
          const answer = readToEnd(
            own.dial({ host: 'localhost', port: targetPort }).end('GET / HTTP/1.0\r\n\r\n'),
          );
          return await answer.then(String, (error: Error) => error.message);
        } finally {
          await own.close();
        }
      });
      const texts = await Promise.all(answers);
      for (const text of texts.slice(0, -1)) assert.match(text, /EACCES .* is not exposed/);
      assert.match(texts.at(-1) ?? '', /^HTTP\/1\.1 200/, 'the default ticket of a bare listener reaches it');
    } finally {
      await closed.close();
      await narrow.close();
    }
  });

  test('after close, streams fail with an event and calls with a rejection', async () => {
    const other = await connect({ ...options, remote: listener.ticket });
    const agents = [other.agent(), other.httpsAgent()] as const;
    const waiting = other.dial(WEB);
    const waited = once(waiting, 'error') as Promise<[Error & { code?: unknown }]>;
    await other.close();
    assert.equal((await waited)[0].code, 'ECONNABORTED');
    const told: string[] = [];
    const late = other.dial(WEB);
    late.on('error', (error: Error & { code?: unknown }) => told.push(`${error.code} ${error.message}`));
    late.on('close', () => told.push('close'));
    assert.deepEqual(told, [], 'nobody can listen before the call returns');
    await new Promise((resolve) => late.once('close', resolve));
    const why = 'connect ECONNABORTED web port 80: this tunnel is closed; connect again';
    assert.deepEqual(told, [`ECONNABORTED ${why}`, 'close']);
    for (const begin of [
      () => get('http://web/', { agent: agents[0] }),
      () => getSecurely('https://web/', { agent: agents[1] }),
    ]) {
      const [error] = (await once(begin(), 'error')) as [Error & { code?: unknown }];
      assert.equal(error.code, 'ECONNABORTED');
    }
    const isClosed = failsWith('ERR_CLOSED', /connect again/);
    for (const call of [
      () => other.forward('0:web:80'),
      () => other.udpForward('0:web:80'),
      () => other.dynamic({ bind: '0' }),
    ])
      await assert.rejects(call, isClosed);
    assert.throws(() => other.reverse('0:web:80'), isClosed);
    await assert.rejects(other.ping(), failsWith('ERR_PEER_GONE', /not online/));
    await assert.rejects(other.node.datagrams(), failsWith('ERR_CLOSED', /closed/));
    await other.close();
  });

  test('delivers what was written before close', async (t) => {
    const arrived: Promise<unknown>[] = [];
    const target = createTcpServer((socket) => arrived.push(readDigest(socket)));
    t.after(() => target.close());
    const port = await listenOnLoopback(target);
    listener.rules.add(parseExposeSpec(String(port)));
    const bytes = 2 * MIB;
    const whole = { bytes, sha256: patternDigest('last', bytes) };
    const other = await connect({ ...options, remote: listener.ticket });
    await once(other, 'peer');
    const accepted = once(target, 'connection');
    other.dial({ port }).end(pattern('last', bytes));
    await other.close();
    await accepted;
    assert.deepEqual(await Promise.all(arrived), [whole]);

    const own = await listen({ ...options, offer: [WEB] });
    await using client = await connect({ ...options, remote: own.ticket });
    own.on('stream', (stream) => stream.on('error', () => {}).end(pattern('last', bytes)));
    const served = once(own, 'stream');
    const read = readDigest(client.dial({ host: WEB.host, port: WEB.port }));
    await served;
    await own.close();
    assert.deepEqual(await read, whole);
  });

  test('close cuts at once when told to, also a close that waits for a target which reads nothing', async (t) => {
    const target = createTcpServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => {});
      t.after(() => socket.destroy());
    });
    t.after(() => target.close());
    const port = await listenOnLoopback(target);
    listener.rules.add(parseExposeSpec(String(port)));
    const other = await connect({ ...options, remote: listener.ticket });
    const stream = other.dial({ port });
    await once(stream, 'connect');
    stream.write(Buffer.alloc(64 * MIB));
    const failed = once(stream, 'error') as Promise<[Error & { code?: unknown }]>;
    const isWrong = failsWith('ERR_ARGUMENT_INVALID', /close\(\): drain must be/);
    await assert.rejects(other.close({ drain: 1 } as object), isWrong);
    const patient = other.close({ timeoutMs: Number.POSITIVE_INFINITY });
    assert.equal(stream.destroyed, false);
    await other.close({ drain: false });
    assert.equal((await failed)[0].code, 'ECONNRESET');
    await patient;
  });

  test('rejects calls that are aborted before they start', async () => {
    const signal = aborted();
    const remote = parseTicket(listener.ticket);
    await assert.rejects(createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0, signal }), isAborted);
    await assert.rejects(listen({ ...options, signal }), isAborted);
    await assert.rejects(connect({ ...options, remote, signal }), isAborted);
    await assert.rejects(tunnel.forward(parseLocalSpec('0:web:80'), { signal }), isAborted);
    await assert.rejects(tunnel.dynamic({ bind: { host: LOOPBACK_HOST, port: 0 }, signal }), isAborted);
    assert.throws(() => tunnel.reverse(parseReverseSpec('0:web:80'), { signal }), isAborted);
    await assert.rejects(tunnel.ping({ signal }), isAborted);
    await assert.rejects(tunnel.node.datagrams({ signal }), isAborted);
    const [error] = (await once(tunnel.dial({ ...WEB, signal }), 'error')) as [Error & { code?: unknown }];
    assert.equal(error.code, 'ABORT_ERR');
  });

  test('rejects calls that are aborted while they run', async () => {
    const remote = parseTicket(listener.ticket);
    const begin: readonly ((signal: AbortSignal) => Promise<unknown>)[] = [
      (signal) => createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0, signal }),
      (signal) => listen({ ...options, signal }),
      (signal) => connect({ ...options, remote, signal }),
      (signal) => tunnel.forward(parseLocalSpec('0:web:80'), { signal }),
      (signal) => tunnel.dynamic({ bind: { host: LOOPBACK_HOST, port: 0 }, signal }),
      (signal) => tunnel.ping({ signal }),
      (signal) => tunnel.node.datagrams({ signal }),
    ];
    for (const each of begin) {
      const aborter = new AbortController();
      const begun = each(aborter.signal);
      aborter.abort();
      await assert.rejects(begun, isAborted, String(each));
    }
  });

  test('closes forwards and streams that are aborted later', async () => {
    const aborter = new AbortController();
    const { signal } = aborter;
    const other = await connect({ ...options, remote: parseTicket(listener.ticket), signal });
    const forward = await tunnel.forward(parseLocalSpec('0:web:80'), { signal });
    const reverse = tunnel.reverse(parseReverseSpec('0:web:80'), { signal });
    await once(listener, 'reverse');
    const stream = tunnel.dial({ ...ECHO, signal });
    await once(stream, 'connect');
    assert.equal((await tunnel.ping({ signal })).path, 'udp');
    const [closed, failed] = [once(listener, 'reverse'), once(stream, 'error')];
    aborter.abort();
    assert.equal(((await failed) as [Error])[0].name, 'AbortError');
    const [{ status }] = await closed;
    assert.deepEqual([status, reverse.remote], ['closed', undefined]);
    const client = connectTcp(Number(forward.local.split(':')[1]), LOOPBACK_HOST);
    const [error] = (await once(client, 'error')) as [Error & { code?: unknown }];
    assert.equal(error.code, 'ECONNREFUSED');
    await other.close();
    await assert.rejects(other.forward(parseLocalSpec('0:web:80')), failsWith('ERR_CLOSED', /connect again/));
  });
});

/** Runs one of the programs in test/support. */
function runSupport(name: string): ReturnType<typeof runProgram> {
  const [command, ...words] = programWords(new URL(`../support/${name}.ts`, import.meta.url));
  return runProgram(command, words);
}

test('a program that has closed everything exits by itself', async () => {
  const finished = await runSupport('library_program');
  assert.deepEqual(finished, { exitCode: 0, stdout: 'one other\n', stderr: '' });
});

test('a program whose starts fail exits by itself, and wrong arguments start no worker', async () => {
  const finished = await runSupport('failed_starts_program');
  const codes = [
    'ERR_LISTEN 1',
    'ERR_LISTEN 1',
    'ERR_ABORTED 1',
    'ERR_WORKER_DIED 1',
    'ERR_ARGUMENT_INVALID 0',
    'ERR_ARGUMENT_INVALID 0',
    'ERR_USAGE 0',
  ];
  assert.deepEqual(finished, { exitCode: 0, stdout: `${codes.join('\n')}\n`, stderr: '' });
});

test('a program survives when its pools have queued work while the tunnel closes', async () => {
  const finished = await runSupport('closed_pools_program');
  const failed = { http: 3, https: 3, pg: 3, undici: 3, late: 6 };
  assert.deepEqual(finished, { exitCode: 0, stdout: `${JSON.stringify(failed)}\n`, stderr: '' });
});

test('a program that handles error events survives its workers, and gets one event per death', async () => {
  const finished = await runSupport('worker_death_program');
  const told = ['ECONNABORTED', ...['listener', 'node', 'tunnel'].map((name) => `${name} ERR_WORKER_DIED 1`)];
  const streams = ['dialled ECONNRESET', 'served ECONNRESET'];
  const stdout = `${JSON.stringify({ told, streams })}\n`;
  assert.deepEqual(finished, { exitCode: 0, stdout, stderr: '' });
});
