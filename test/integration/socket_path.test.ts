/** UNIX sockets at either end of a forward. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, get, type IncomingMessage } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { systemTimers } from '../../src/core/clock.js';
import { TunnelError } from '../../src/core/errors.js';
import { LocalForward, type RefusedConnection } from '../../src/forward/entry/local.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { TunnelAgent } from '../../src/forward/stream/agent.js';
import { DialedStream } from '../../src/forward/stream/dialed_stream.js';
import { StreamGate } from '../../src/forward/stream_gate.js';
import { AllowRules } from '../../src/rules/allow.js';
import { targetOf } from '../../src/rules/endpoint.js';
import { type ExposeSpec, parseExposeSpec } from '../../src/rules/expose.js';
import { parseLocalSpec } from '../../src/rules/forward_spec.js';
import { ending } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { sessionPair } from '../support/session_pair.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { STREAM_PEER } from '../support/some_peer.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const MIB = 1024 * 1024;
/** Clients at one moment: more than Node's default of 511 that may wait to be accepted. */
const CROWD = 600;

describe('UNIX sockets', { skip: process.platform === 'win32' }, () => {
  const folder = new TempFolder();
  const echoPath = folder.file('echo.sock');
  let echo: Server;
  const echoed = new Set<Socket>();

  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      echoed.add(socket);
      socket.on('error', () => {}).on('close', () => echoed.delete(socket));
      socket.pipe(socket);
    });
    await once(echo.listen(echoPath), 'listening');
  });

  after(() => {
    for (const socket of echoed) socket.destroy();
    echo.close();
    folder.remove();
  });

  async function bench(t: TestContext, spec: string, rules: readonly ExposeSpec[] = [{ path: echoPath }]) {
    const server = new TargetServer({ peer: 'connector', rules: new AllowRules(rules) });
    const { near, far } = sessionPair((request) => server.handle(request));
    const forward = new LocalForward({ spec: parseLocalSpec(spec) });
    const refusals: RefusedConnection[] = [];
    forward.on('refused', (refusal) => refusals.push(refusal));
    const local = await forward.listen();
    forward.setSession(near);
    t.after(() => {
      forward.close();
      near.close('peer-shutdown');
      far.close('peer-shutdown');
    });
    const dial = (): Socket => {
      const address = 'path' in local ? local : { port: local.port, host: local.host };
      return connect({ ...address, allowHalfOpen: true }).on('error', () => {});
    };
    return { server, near, forward, refusals, dial, local };
  }

  test('bytes go from socket to socket and back, half-closed, and the socket is private to its owner', async (t) => {
    const path = folder.file('in.sock');
    const { forward, dial, local } = await bench(t, `${path}:${echoPath}`);
    assert.deepEqual(local, { path });
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    const client = dial();
    const answer = readDigest(client);
    await writePattern(client, 'unix', 4 * MIB);
    client.end();
    assert.deepEqual(await answer, { bytes: 4 * MIB, sha256: patternDigest('unix', 4 * MIB) });
    forward.close();
    assert.ok(!existsSync(path));
    assert.deepEqual(readdirSync(folder.path).sort(), ['echo.sock']);
  });

  test('all bytes of a program that writes and closes at once arrive', async (t) => {
    const target = await Target.start();
    t.after(() => target.stop());
    const { dial } = await bench(t, `${folder.file('once.sock')}:localhost:${target.port}`, [
      parseExposeSpec(String(target.port)),
    ]);
    const client = dial();
    client.write('all of it');
    client.destroySoon();
    const got = await target.connection();
    assert.equal(String(await readToEnd(got)), 'all of it');
    got.end();
  });

  test('a port leads to an exposed socket', async (t) => {
    const { dial } = await bench(t, `0:${echoPath}`);
    const client = dial();
    client.end('hello');
    assert.equal(String(await readToEnd(client)), 'hello');
  });

  test('without a rule no socket is reachable, and the client learns why', async (t) => {
    const { dial, refusals, server } = await bench(t, `0:${echoPath}`, [parseExposeSpec('*:*')]);
    assert.equal(await ending(dial().resume()), 'ECONNRESET');
    assert.deepEqual(
      refusals.map(({ reason, target }) => ({ reason, target })),
      [{ reason: 'not-allowed', target: { path: echoPath } }],
    );
    assert.equal(server.counts.denied, 1);
  });

  test('a socket without a listener is refused, and so is a missing one', async (t) => {
    const dead = await deadSocket(folder.file('dead.sock'));
    for (const [path, reason] of [
      [dead, 'refused'],
      [folder.file('none.sock'), 'unreachable'],
    ] as const) {
      const { dial, refusals } = await bench(t, `0:${path}`, [{ path }]);
      assert.equal(await ending(dial().resume()), 'ECONNRESET');
      assert.equal(refusals[0]?.reason, reason);
    }
  });

  test('removing a rule cuts the connections to its socket', async (t) => {
    let allowed = true;
    const rules = {
      mayPermit: () => false,
      mayTell: () => false,
      permits: () => false,
      permitsPath: () => allowed,
      permitsName: () => false,
    };
    const server = new TargetServer({ peer: 'connector', rules });
    const { near } = sessionPair((request) => server.handle(request));
    t.after(() => near.close('peer-shutdown'));
    const gate = new StreamGate();
    gate.setSession(near);
    const target = { kind: 'path', path: echoPath } as const;
    const stream = new DialedStream({ peer: STREAM_PEER, gate, timers: systemTimers, target });
    stream.on('error', () => {});
    await once(stream, 'connect');
    assert.equal(stream.remoteAddress, undefined);
    stream.write('x');
    assert.equal(String((await once(stream, 'data'))[0]), 'x');
    allowed = false;
    server.recheck();
    await new Promise((resolve) => stream.once('close', resolve));
    assert.match(String(stream.errored), new RegExp(`read ECONNRESET ${echoPath}`));
  });

  test('an agent accepts a socketPath of the far end, as that of node:http does', async (t) => {
    const path = folder.file('http.sock');
    const http = createHttpServer((request, response) => response.end(`you asked for ${request.url}`));
    await once(http.listen(path), 'listening');
    const server = new TargetServer({ peer: 'connector', rules: new AllowRules([{ path }]) });
    const { near } = sessionPair((request) => server.handle(request));
    const gate = new StreamGate();
    gate.setSession(near);
    const agent = new TunnelAgent(
      (wanted) =>
        new DialedStream({ peer: STREAM_PEER, gate, timers: systemTimers, target: targetOf(wanted) }),
    );
    t.after(() => {
      agent.destroy();
      near.close('peer-shutdown');
      http.close();
    });
    const [response]: [IncomingMessage] = await new Promise((resolve) => {
      get({ socketPath: path, path: '/a', agent }, (...got) => resolve(got));
    });
    assert.equal(String(await readToEnd(response)), 'you asked for /a');
  });

  test('a stale socket is replaced; a live one, and a file that is not a socket, are refused and kept', async (t) => {
    const stale = await deadSocket(folder.file('stale.sock'));
    const { dial, forward } = await bench(t, `${stale}:${echoPath}`);
    const client = dial();
    client.write('new');
    assert.equal(String(await readExactly(client, 3)), 'new');
    client.destroy();
    const file = folder.file('file');
    writeFileSync(file, 'mine');
    for (const [path, says] of [
      [stale, /is in use by another program/],
      [echoPath, /is in use by another program/],
      [file, /exists and is not a socket/],
      [folder.file('no/such.sock'), /its folder does not exist/],
    ] as const) {
      await assert.rejects(
        new LocalForward({ spec: parseLocalSpec(`${path}:h:80`) }).listen(),
        (error) => TunnelError.is(error) && error.code === 'ERR_LISTEN' && says.test(error.message),
      );
    }
    assert.ok(existsSync(echoPath) && existsSync(file));
    forward.close();
    assert.ok(!existsSync(stale));
  });

  test('a socket that another process has put in its place is not removed', async (t) => {
    const path = folder.file('moved.sock');
    const { forward } = await bench(t, `${path}:${echoPath}`);

    rmSync(path);
    writeFileSync(path, 'another');
    forward.close();
    assert.ok(existsSync(path));
  });

  test('a crowd that dials at one moment gets in', { skip: tooSmallQueue() }, async (t) => {
    const path = folder.file('crowd.sock');
    const forward = new LocalForward({ spec: parseLocalSpec(`${path}:h:80`) });
    await forward.listen();
    t.after(() => forward.close());
    // The system answers each dial at once, long before the forward can accept any.
    const clients = Array.from({ length: CROWD }, () => connect(path));
    t.after(() => {
      for (const client of clients) client.destroy();
    });
    await Promise.all(clients.map((client) => once(client, 'connect')));
  });

  test('when closed while it starts to listen, it leaves no socket', async () => {
    const path = folder.file('early.sock');
    const forward = new LocalForward({ spec: parseLocalSpec(`${path}:h:80`) });
    const listening = forward.listen();
    forward.close();
    await assert.rejects(listening, /closed before it could listen/);
    assert.ok(!existsSync(path));
  });
});

function tooSmallQueue(): string | false {
  if (process.platform !== 'linux') return 'only Linux answers at once, and tells its limit';
  const most = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
  return most < CROWD && `the system lets only ${most} clients wait (net.core.somaxconn)`;
}

/** Creates what a killed process leaves behind. */
async function deadSocket(path: string): Promise<string> {
  const server = createServer();
  await once(server.listen(`${path}.x`), 'listening');
  renameSync(`${path}.x`, path);
  server.close();
  await once(server, 'close');
  return path;
}
