/** One Tox node that carries a listener and connectors, on the real wasm. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import {
  type BootstrapNode,
  type CommonOptions,
  connect,
  createBootstrapNode,
  createIdentity,
  createNode,
  type Listener,
  listen,
  type TunnelNode,
} from '../../src/index.js';
import { toxIdOf } from '../../src/state/identity.js';
import { programWords } from '../support/build.js';
import { failsWith } from '../support/fails_with.js';
import { LOOPBACK_HOST, listenOnLoopback } from '../support/loopback.js';
import { runProgram } from '../support/run_program.js';
import { readToEnd } from '../support/socket_bytes.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
const ANY = { from: 0, to: 0 } as const;

const isClosed = failsWith('ERR_CLOSED', /is closed; start a new one/);

/** Serves `host:7`: sends back what arrives, after its name. */
function echo(listener: Listener, name: string): void {
  listener.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.write(`${name}: `);
    stream.pipe(stream);
  });
}

/** The Tox ID of nobody. */
const STRANGER = toxIdOf(createIdentity());

const offer = (host: string) => [{ host, port: 7, allowHalfOpen: true }] as const;

describe('a node with several roles', () => {
  let first: BootstrapNode;
  let options: CommonOptions & { readonly udpPorts: typeof ANY };

  before(async () => {
    first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
    const bootstrap = [`${LOOPBACK_HOST}:${first.udpPort}:${first.publicKey}`];
    options = { ...LOCAL, bootstrap, udpPorts: ANY };
  });
  after(() => first.close());

  const node = (): Promise<TunnelNode> => createNode(options);

  async function ask(tunnel: ReturnType<TunnelNode['connect']>, host: string, text: string): Promise<string> {
    const stream = tunnel.dial({ host, port: 7 });
    stream.end(text);
    return String(await readToEnd(stream));
  }

  test('two nodes serve each other over one friendship, and either direction outlives the other', async (t) => {
    const [ann, bob] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([ann.close(), bob.close()]));
    const atAnn = ann.listen({ offer: offer('ann') });
    const atBob = bob.listen({ offer: offer('bob') });
    echo(atAnn, 'ann');
    echo(atBob, 'bob');
    const toBob = ann.connect(atBob.ticket);
    await toBob.online();
    assert.equal(await ask(toBob, 'bob', 'one'), 'bob: one');
    // They are friends already: no friend request arrives any more.
    const toAnn = bob.connect({ remote: atAnn.ticket });
    await toAnn.online();
    assert.equal(await ask(toAnn, 'ann', 'two'), 'ann: two');
    assert.equal(atAnn.peers()[0]?.name, 'default');

    const held = toAnn.dial({ host: 'ann', port: 7 });
    await once(held, 'data');
    await toBob.close();
    assert.equal(toBob.state, 'closed');
    held.end('still here');
    assert.equal(String(await readToEnd(held)), 'still here');
    await toAnn.close();

    // And again, the other way round.
    const back = bob.connect(atAnn.ticket);
    assert.equal(await ask(back, 'ann', 'three'), 'ann: three');
    const forth = ann.connect(atBob.ticket);
    assert.equal(await ask(forth, 'bob', 'four'), 'bob: four');
    await atAnn.close();
    assert.equal(await ask(forth, 'bob', 'five'), 'bob: five');
  });

  test('one node connects to several listeners, and a listener may follow another', async (t) => {
    const [one, two, three] = await Promise.all([node(), node(), node()]);
    t.after(() => Promise.all([one.close(), two.close(), three.close()]));
    const served = [two, three].map((each, at) => {
      const listener = each.listen({ offer: offer(`n${at}`) });
      echo(listener, `n${at}`);
      return listener;
    });
    const tunnels = served.map(({ ticket }) => one.connect(ticket));
    assert.deepEqual(await Promise.all(tunnels.map((tunnel, at) => ask(tunnel, `n${at}`, 'hello'))), [
      'n0: hello',
      'n1: hello',
    ]);
    await served[0]?.close();
    const again = two.listen({ offer: offer('again') });
    echo(again, 'again');
    await tunnels[0]?.close();
    assert.equal(await ask(one.connect(again.ticket), 'again', 'there'), 'again: there');
  });

  test('refuses a second listener, a second connector to the same listener, and itself', async (t) => {
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const listener = one.listen();
    assert.throws(() => one.listen(), failsWith('ERR_USAGE', /has an open listener: change its rules/));
    const tunnel = two.connect(listener.ticket);
    assert.throws(
      () => two.connect(listener.toxId),
      failsWith('ERR_USAGE', /open connector to this listener/),
    );
    assert.throws(() => one.connect(listener.ticket), failsWith('ERR_ADDRESS_INVALID', /this node itself/));
    const identity = createIdentity();
    const own = (await listen({ ...options, identity })) as Listener;
    await own.close();
    await assert.rejects(
      connect({ ...options, identity, remote: own.ticket }),
      failsWith('ERR_ADDRESS_INVALID', /connect\(\): remote is this node itself/),
    );
    for (const wrong of [{}, { remote: 7 }, { remote: listener.ticket, exposed: [] }])
      assert.throws(() => two.connect(wrong as never), failsWith('ERR_ARGUMENT_INVALID', /connect\(\): /));
    assert.throws(
      () => two.listen({ bootstrap: [] } as never),
      failsWith('ERR_ARGUMENT_INVALID', /bootstrap/),
    );
    await tunnel.close();
    await two.close();
    assert.throws(() => two.connect(listener.ticket), isClosed);
    assert.throws(() => two.listen(), isClosed);
  });

  test('tells its state, waits for it, and reports each change once', async (t) => {
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const listener = one.listen({ offer: offer('x') });
    const tunnel = two.connect(listener.ticket);
    assert.equal(tunnel.state, 'connecting');
    const events: string[] = [];
    for (const [name, emitter] of Object.entries({ node: two, tunnel, listener }))
      for (const event of ['online', 'offline', 'close'] as const)
        emitter.on(event, () => events.push(`${name} ${event}`));
    const reason = new Error('too slow');
    await assert.rejects(tunnel.online({ signal: AbortSignal.abort(reason) }), {
      code: 'ERR_ABORTED',
      cause: reason,
    });
    await Promise.all([tunnel.online(), two.online(), listener.online()]);
    await tunnel.online();
    assert.deepEqual([tunnel.state, two.state, listener.state], ['online', 'online', 'online']);
    assert.notEqual(tunnel.path, 'none');
    const offline = once(tunnel, 'offline');
    await listener.close();
    await offline;
    assert.equal(tunnel.state, 'offline');
    const waiting = assert.rejects(tunnel.online(), isClosed);
    await tunnel.close();
    await waiting;
    assert.equal(await tunnel.closed, undefined);
    assert.deepEqual([tunnel.state, tunnel.path], ['closed', 'none']);
    await two.close();
    for (const [name, expected] of [
      ['tunnel', ['online', 'offline', 'close']],
      ['node', ['online', 'offline', 'close']],
      ['listener', ['online', 'offline', 'close']],
    ] as const)
      assert.deepEqual(
        events.filter((event) => event.startsWith(`${name} `)),
        expected.map((event) => `${name} ${event}`),
      );
  });

  test('closes everything that it carries', async () => {
    const [one, two] = await Promise.all([node(), node()]);
    const listener = one.listen({ offer: offer('x') });
    echo(listener, 'x');
    const tunnel = two.connect(listener.ticket);
    await tunnel.online();
    const stream = tunnel.dial({ host: 'x', port: 7 });
    const cut = once(stream, 'error');
    stream.write('x');
    await once(stream, 'data');
    await two.close();
    assert.deepEqual([two.state, tunnel.state], ['closed', 'closed']);
    assert.equal(await tunnel.closed, undefined);
    assert.equal((await cut)[0].code, 'ECONNRESET');
    await one.close();
    assert.equal(listener.state, 'closed');
  });

  test('an unset ticket or a signal that has aborted gives no connector and no listener', async (t) => {
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const reason = new Error('changed our mind');
    const signal = AbortSignal.abort(reason);
    // As process.env.TICKET is when it is not set.
    const unset = undefined as unknown as string;
    const isUnset = failsWith('ERR_ARGUMENT_INVALID', /connect\(\): remote must be a ticket or a Tox ID/);
    assert.throws(() => two.connect(unset), isUnset);
    await assert.rejects(connect(unset), isUnset);
    const isAborted = { code: 'ERR_ABORTED', cause: reason };
    const remote = one.toxId;
    assert.throws(() => two.connect({ remote, signal }), isAborted);
    assert.throws(() => two.listen({ signal }), isAborted);
    await two.connect({ remote }).close();
    await two.listen().close();
  });

  test('connects again as soon as the last connector is closed, however far that one came', async (t) => {
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const listener = one.listen({ offer: offer('x') });
    echo(listener, 'x');
    for (let turns = 0; turns < 20; turns++) {
      const tunnel = two.connect(listener.ticket);
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      const closing = tunnel.close();
      assert.throws(
        () => two.connect(listener.ticket),
        failsWith('ERR_USAGE', /connector to this listener of this node is still closing; await its close/),
      );
      await closing;
      assert.equal(await tunnel.closed, undefined);
    }
    const tunnel = two.connect(listener.ticket);
    assert.equal(await ask(tunnel, 'x', 'there'), 'x: there');
  });

  test('what is closing does not come online, and takes no new role', async (t) => {
    const one = await node();
    t.after(() => one.close());
    await one.online();
    const events: string[] = [];
    const listener = one.listen();
    for (const event of ['online', 'offline', 'close'] as const)
      listener.on(event, () => events.push(`${event} ${listener.path}`));
    await listener.close();
    await new Promise(setImmediate);
    assert.deepEqual(events, ['close none']);
    assert.deepEqual([listener.state, listener.path], ['closed', 'none']);

    const tunnel = one.connect(STRANGER);
    const forward = await tunnel.forward('0:x:7');
    const refused = new Promise((resolve) => {
      forward.once('close', () => resolve(assert.throws(() => one.connect(STRANGER), isClosed)));
    });
    await one.close();
    await refused;
  });

  test('a handler that throws stops neither the closing nor those who wait', async (t) => {
    const uncaught: unknown[] = [];
    const keep = (error: unknown): void => {
      uncaught.push(error);
    };
    // The test runner would count an uncaught exception as a failure.
    const runners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', keep);
    t.after(() => {
      process.off('uncaughtException', keep);
      for (const runner of runners) process.on('uncaughtException', runner);
    });
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const listener = one.listen({ offer: offer('x') });
    const tunnel = two.connect(listener.ticket);
    const thrown = new Error('a bug of the program');
    for (const tunnelOrNode of [listener, tunnel, one, two])
      for (const event of ['online', 'offline', 'close'] as const)
        tunnelOrNode.on(event, () => {
          throw thrown;
        });
    await Promise.all([tunnel.online(), listener.online(), one.online(), two.online()]);
    const forwards = await Promise.all(['0:x:7', '0:x:7'].map((spec) => tunnel.forward(spec)));
    for (const forward of forwards)
      forward.on('close', () => {
        throw thrown;
      });
    await Promise.all([one.close(), two.close()]);
    assert.deepEqual(
      [listener, tunnel, one, two].map(({ state }) => state),
      ['closed', 'closed', 'closed', 'closed'],
    );
    assert.deepEqual(
      forwards.map(({ listening }) => listening),
      [false, false],
    );
    await new Promise(setImmediate);
    assert.equal(uncaught.length, 4 * 3 + 2);
    assert.ok(uncaught.every((error) => error === thrown));
  });

  test('can be pinged from a handler of online', async (t) => {
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const tunnel = two.connect(one.listen({ offer: offer('x') }).ticket);
    const pinged = new Promise<{ roundTripMs: number }>((resolve, reject) => {
      tunnel.once('online', () => void tunnel.ping().then(resolve, reject));
    });
    assert.ok((await pinged).roundTripMs >= 0);
  });

  test('a forward is like a net.Server', async (t) => {
    const target = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    const port = await listenOnLoopback(target);
    t.after(() => target.close());
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const tunnel = two.connect(one.listen({ expose: [`127.0.0.1:${port}`] }).ticket);
    const forward = await tunnel.forward(`0:127.0.0.1:${port}`);
    const address = forward.address();
    assert.ok(address !== null && typeof address === 'object');
    assert.equal(forward.local, `${address.address}:${address.port}`);
    const connection = once(forward, 'connection');
    const client = connectTcp(address.port, '127.0.0.1');
    client.end('there and back');
    assert.equal(String(await readToEnd(client)), 'there and back');
    assert.equal((await connection)[0].port > 0, true);

    const closed = await tunnel.forward('0:127.0.0.1:9');
    const refused = once(closed, 'refused');
    const other = connectTcp((closed.address() as { readonly port: number }).port, '127.0.0.1').on(
      'error',
      () => {},
    );
    const [refusal] = await refused;
    assert.deepEqual(
      [refusal.kind, refusal.target, refusal.reason],
      ['connection', '127.0.0.1:9', 'not-allowed'],
    );
    other.destroy();

    const close = once(forward, 'close');
    await forward.close();
    await close;
    assert.deepEqual([forward.listening, forward.address()], [false, null]);
    const atEnd = once(closed, 'close');
    await tunnel.close();
    await atEnd;
    await forward.close();
  });

  test('a reverse forward can be waited for, and says why it is refused', async (t) => {
    const target = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    const port = await listenOnLoopback(target);
    t.after(() => target.close());
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const tunnel = two.connect(one.listen({ allowReverse: ['0'] }).ticket);
    const reverse = tunnel.reverse(`0:127.0.0.1:${port}`);
    const atFirst = reverse.remote;
    assert.equal(atFirst, undefined);
    const remote = await reverse.listening();
    assert.equal(remote, reverse.remote);
    assert.equal(await reverse.listening(), remote);
    const connection = once(reverse, 'connection');
    const client = connectTcp(Number(remote.split(':').at(-1)), '127.0.0.1');
    client.end('from there');
    assert.equal(String(await readToEnd(client)), 'from there');
    await connection;

    const denied = tunnel.reverse('8080:127.0.0.1:9');
    await assert.rejects(
      denied.listening(),
      failsWith('ERR_OPEN_REFUSED', /does not allow|may not|not allowed/),
    );
    const waiting = tunnel.reverse('8081:127.0.0.1:9');
    const isAborted = assert.rejects(waiting.listening({ signal: AbortSignal.abort() }), {
      code: 'ERR_ABORTED',
    });
    await isAborted;
    await reverse.close();
    await assert.rejects(reverse.listening(), failsWith('ERR_CLOSED', /add another/));
  });

  test('dialUdp sends and receives datagrams, reports a refusal, and opens again', async (t) => {
    const target = createSocket('udp4');
    target.on('message', (datagram, from) => target.send(`got ${datagram.length}`, from.port, from.address));
    await new Promise<void>((resolve) => target.bind(0, '127.0.0.1', resolve));
    t.after(() => target.close());
    const { port } = target.address();
    const [one, two] = await Promise.all([node(), node()]);
    t.after(() => Promise.all([one.close(), two.close()]));
    const tunnel = two.connect(one.listen({ expose: [`127.0.0.1:${port}/udp`] }).ticket);
    const flow = tunnel.dialUdp({ host: '127.0.0.1', port });
    const bytes = Buffer.alloc(65_507, 'x');
    flow.send('abc');
    bytes.fill('y');
    assert.equal(String((await once(flow, 'message'))[0]), 'got 3');
    for (const wrong of ['', Buffer.alloc(65_508), 7])
      assert.throws(() => flow.send(wrong as string), failsWith('ERR_ARGUMENT_INVALID', /1 to 65507 bytes/));
    const denied = tunnel.dialUdp({ host: '127.0.0.1', port: 9 });
    const error = once(denied, 'error');
    denied.send('x');
    assert.equal((await error)[0].code, 'EACCES');
    const ended = once(denied, 'close');
    denied.close();
    await ended;
    assert.throws(() => denied.send('x'), failsWith('ERR_CLOSED', /dial again/));
    const atEnd = once(flow, 'close');
    await tunnel.close();
    await atEnd;
    assert.throws(() => tunnel.dialUdp({ port: 1 }), failsWith('ERR_CLOSED', /is closed/));
  });

  test('a process ends although its unreferenced nodes and their forwards are open', async () => {
    const [command, ...words] = programWords(new URL('../support/unref_program.ts', import.meta.url));
    const { exitCode, stdout, stderr } = await runProgram(command, words);
    assert.deepEqual([exitCode, stdout, stderr], [0, 'ends with 0, the tunnel online\n', '']);
  });
});
