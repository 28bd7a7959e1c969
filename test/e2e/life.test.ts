/** How processes start, exit and die, and what the programs around them see. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CliProcess } from '../support/cli_process.js';
import { dialLoopback, ending } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { LOOPBACK, localsOf, PrivateNetwork } from '../support/private_network.js';
import { readDigest, readExactly, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const MIB = 1024 * 1024;

/**
 * The time limit for closing the sockets of a peer that died silently: 30 s of silence (docs/reference/protocol.md,
 * section 3.3), then the patience, and a margin for a machine that is busy with other tests.
 */
const PATIENCE_S = 2;
const DEAD_PEER_LIMIT_MS = 45_000 + PATIENCE_S * 1_000;

// These tests mostly wait for a friend to come online or for a silence to pass.
describe('the life of listeners and connectors', { concurrency: 3 }, () => {
  const folder = new TempFolder();
  const strays: CliProcess[] = [];
  let shared: PrivateNetwork;
  let echo: Target;

  before(async () => {
    shared = await PrivateNetwork.start();
    echo = await Target.echo();
  });

  after(async () => {
    await shared.stop();
    await echo.stop();
    folder.remove();
  });

  function stateFolder(name: string): string[] {
    mkdirSync(folder.file(name), { recursive: true });
    return ['--state', folder.file(name)];
  }

  /** Starts a process outside the shared network; the test that does so stops them all. */
  function start(...args: readonly string[]): CliProcess {
    const process = CliProcess.start([...args, ...LOOPBACK]);
    strays.push(process);
    return process;
  }

  async function echoes(port: number | undefined, text: string): Promise<void> {
    assert.ok(port !== undefined, 'the connector has no forward');
    const socket = dialLoopback(port);
    socket.end(text);
    assert.equal((await readToEnd(socket)).toString(), text);
  }

  test('a connector killed with SIGKILL leaves no open socket at the listener', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const held = await Target.start();
    const { ticket } = await network.listen([String(held.port)], '--patience', String(PATIENCE_S));
    const { connector, locals } = await network.connect(ticket, [`0:127.0.0.1:${held.port}`]);
    const client = dialLoopback(locals[0]?.port ?? 0);
    client.write('alive');
    const server = await held.connection();
    await readExactly(server, 5);

    await connector.stop('SIGKILL');
    const start = performance.now();
    const how = await ending(server.resume());

    const tookMs = performance.now() - start;
    t.diagnostic(`the target saw ${how} after ${(tookMs / 1000).toFixed(1)} s`);
    assert.ok(tookMs < DEAD_PEER_LIMIT_MS, `it took ${tookMs} ms`);
    await held.stop();
  });

  test('a listener killed with SIGKILL leaves no open socket at the connector', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const { listener, locals } = await network.tunnel([echo.port], '--patience', String(PATIENCE_S));
    const client = dialLoopback(locals[0]?.port ?? 0);
    client.write('alive');
    await readExactly(client, 5);

    await listener.stop('SIGKILL');
    const start = performance.now();
    const how = await ending(client.resume());

    const tookMs = performance.now() - start;
    t.diagnostic(`the client saw ${how} after ${(tookMs / 1000).toFixed(1)} s`);
    assert.ok(tookMs < DEAD_PEER_LIMIT_MS, `it took ${tookMs} ms`);
  });

  test('a connector that is killed and restarted has the sockets of its old session closed at once', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const held = await Target.start();
    const { ticket } = await network.listen([String(held.port)]);
    const args = ['connect', ticket, '-L', `0:127.0.0.1:${held.port}`, ...stateFolder('killed-connector')];
    const first = network.start(...args);
    await first.event('peer', (event) => event['status'] === 'online');
    const client = dialLoopback((await localsOf(first))[0]?.port ?? 0);
    client.on('error', () => {});
    client.write('alive');
    const server = await held.connection();
    await readExactly(server, 5);
    await first.stop('SIGKILL');
    const start = performance.now();

    const second = network.start(...args);
    const over = ending(server.resume());
    await second.event('peer', (event) => event['status'] === 'online');
    await over;

    const tookMs = performance.now() - start;
    t.diagnostic(`closed ${(tookMs / 1000).toFixed(1)} s after the kill`);
    // The hello of the new session closes them, well before 30 s of silence and 300 s of patience.
    assert.ok(tookMs < 60_000, `it took ${tookMs} ms`);
    await held.stop();
  });

  test('a listener that is killed and restarted has the sockets of its old session closed at once', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const args = ['listen', '--expose', String(echo.port), ...stateFolder('killed-listener')];
    const first = network.start(...args);
    const { ticket } = await first.event('ready');
    const { locals } = await network.connect(String(ticket), [`0:127.0.0.1:${echo.port}`]);
    const client = dialLoopback(locals[0]?.port ?? 0);
    client.write('alive');
    await readExactly(client, 5);
    await first.stop('SIGKILL');
    const start = performance.now();

    network.start(...args);
    await ending(client.resume());

    const tookMs = performance.now() - start;
    t.diagnostic(`closed ${(tookMs / 1000).toFixed(1)} s after the kill`);
    assert.ok(tookMs < 60_000, `it took ${tookMs} ms`);
  });

  test('two connectors that start in the same second from one state folder both work', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const { ticket } = await network.listen([String(echo.port)]);
    const args = ['connect', ticket, '-L', `0:127.0.0.1:${echo.port}`, ...stateFolder('shared')];
    const both = [network.start(...args), network.start(...args)];

    await Promise.all(
      both.map(async (connector, i) => {
        await connector.event('peer', (event) => event['status'] === 'online');
        await echoes((await localsOf(connector))[0]?.port, `connector ${i}`);
      }),
    );
  });

  test('a listener and a connector that start before the network report it, keep trying, and then work', {
    timeout: 180_000,
  }, async (t) => {
    t.after(() => Promise.all(strays.map((process) => process.stop('SIGKILL'))));
    // This bootstrap node has run before, so its address and key are known while it is down.
    const nodeState = stateFolder('late-node');
    const earlier = start('node', '--port', '0', '--tcp-port', '0', ...nodeState);
    const { bootstrap, udpPort, tcpPort } = await earlier.event('node');
    assert.equal(await earlier.stop(), 0);
    const join = ['--ephemeral', '--bootstrap', String(bootstrap)];

    const listener = start('listen', '--expose', String(echo.port), ...join);
    await listener.event('waiting');
    const { toxId } = JSON.parse(await id('late-listener')) as { toxId: string };
    assert.match(toxId, /^[0-9A-F]{76}$/);

    const late = start('node', '--port', String(udpPort), '--tcp-port', String(tcpPort), ...nodeState);
    assert.equal((await late.event('node'))['bootstrap'], bootstrap);
    const ready = await listener.event('ready');

    assert.equal(await late.stop(), 0);
    const connector = start('connect', String(ready['ticket']), '-L', `0:127.0.0.1:${echo.port}`, ...join);
    await connector.event('waiting');
    start('node', '--port', String(udpPort), '--tcp-port', String(tcpPort), ...nodeState);
    await connector.event('peer', (event) => event['status'] === 'online');
    await echoes((await localsOf(connector))[0]?.port, 'late but there');
  });

  /** Returns what `id --json` prints for the state folder with this name. */
  async function id(name: string): Promise<string> {
    const process = CliProcess.start(['id', '--json', ...stateFolder(name)]);
    strays.push(process);
    assert.equal(await process.exited(), 0);
    return JSON.stringify(process.events[0]);
  }

  test('on SIGTERM a connector delivers pending data, closes its streams and exits with 0, and the listener keeps running', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const held = await Target.start();
    const { listener, connector, locals, ticket } = await network.tunnel([held.port]);
    const client = dialLoopback(locals[0]?.port ?? 0);
    const finished = readDigest(await firstConnection(held, client));
    await writePattern(client, 'last words', 2 * MIB);
    client.end();
    const open = dialLoopback(locals[0]?.port ?? 0);
    const server = await firstConnection(held, open);
    assert.deepEqual(await finished, { bytes: 2 * MIB, sha256: patternDigest('last words', 2 * MIB) });

    const start = performance.now();
    assert.equal(await connector.stop('SIGTERM'), 0);
    await ending(server.resume());

    assert.ok(
      performance.now() - start < 15_000,
      'the target should have seen the end at once, not after a timeout',
    );
    const again = await network.connect(ticket, [`0:127.0.0.1:${held.port}`]);
    const newcomer = dialLoopback(again.locals[0]?.port ?? 0);
    await firstConnection(held, newcomer);
    newcomer.destroy();
    assert.equal(await listener.stop('SIGTERM'), 0);
    await held.stop();
  });

  /** Returns the target's end of a connection just dialled, after one byte has crossed it. */
  async function firstConnection(target: Target, client: ReturnType<typeof dialLoopback>) {
    client.on('error', () => {});
    return await target.connection();
  }

  test('a second SIGINT ends a connector at once', { timeout: 120_000 }, async (t) => {
    const network = shared.during(t);
    const { listener, connector, locals } = await network.tunnel([echo.port]);
    const client = dialLoopback(locals[0]?.port ?? 0);
    client.write('alive');
    await readExactly(client, 5);
    listener.child.kill('SIGSTOP'); // nobody answers the goodbye

    connector.child.kill('SIGINT');
    await ending(client.resume()); // the first signal was handled
    const start = performance.now();
    const exitCode = await connector.stop('SIGINT');

    listener.child.kill('SIGCONT');
    assert.ok(performance.now() - start < 5_000);
    // The goodbye may have finished before the second signal arrived.
    assert.ok(exitCode === 130 || exitCode === 0, `exit code ${exitCode}`);
  });

  test('a listener that restarts keeps its Tox ID, and a running connector reaches it again', {
    timeout: 180_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = stateFolder('restarted');
    const args = ['listen', '--expose', String(echo.port), ...state];
    const first = network.start(...args);
    const { ticket } = await first.event('ready');
    const { connector, locals } = await network.connect(String(ticket), [`0:127.0.0.1:${echo.port}`]);
    await echoes(locals[0]?.port, 'before');
    const offline = connector.nextEvent('peer', (event) => event['status'] === 'offline');
    assert.equal(await first.stop(), 0);
    await offline;
    const online = connector.nextEvent('peer', (event) => event['status'] === 'online');

    const second = network.start(...args);

    assert.equal((await second.event('ready'))['ticket'], ticket);
    await online;
    await echoes(locals[0]?.port, 'after');
  });

  test('a second listener on the same state folder reports which process holds it', {
    timeout: 60_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = stateFolder('taken');
    const first = network.start('listen', ...state);
    await first.event('ready');
    const files = readdirSync(folder.file('taken'));

    const second = network.start('listen', ...state);
    const { message } = await second.event('error');

    assert.match(String(message), new RegExp(`\\b${first.child.pid}\\b`));
    assert.equal(await second.exited(), 1);
    assert.deepEqual(readdirSync(folder.file('taken')), files);
    await first.stop();
  });
});
