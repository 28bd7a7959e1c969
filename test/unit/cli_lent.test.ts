import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { MAX_CONNECTIONS } from '../../src/control/server.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { isPath } from '../../src/rules/endpoint.js';
import { CliBench } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const ticket = (fill: number): string =>
  formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(fill) });

const folders = new TempFolder();
after(() => folders.remove());

describe('a second connector with the same ticket', () => {
  let first = new CliBench();
  let second = new CliBench();
  let running: Promise<number>[] = [];

  beforeEach(async () => {
    first = new CliBench(folders.file(`${Math.random()}`));
    first.pid = 4711;
    second = new CliBench(first.stateFolder);
    second.pid = 4712;
    running = [(await first.start(/Forwarding/, ticket(1), '22', '-p', '2222')).ended];
  });
  afterEach(async () => {
    first.signal();
    second.signal();
    await Promise.all(running);
  });

  async function startSecond(text: RegExp, ...args: string[]): Promise<void> {
    const { ended } = await second.start(text, ...args);
    running.push(ended);
  }

  test('opens its forwards in the first, and ends them when it stops', async () => {
    const args = [ticket(1), '80', '-p', '8080', '-D', '1080', '--udp-forward', '53:a:53', '-R', '9:b:9'];
    await startSecond(/Forwarding \S+ at the listener to b:9/, ...args);
    assert.deepEqual(second.calls, []);
    assert.match(second.stderr.text, /^Using the connection of connector 4711, which is already running/m);
    assert.match(second.stderr.text, /^Forwarding 127\.0\.0\.1:8080 to localhost:80 at the listener$/m);
    assert.equal(first.tunnel.forwards.length, 2);
    second.signal();
    assert.equal(await running[1], 0);
    assert.deepEqual([...first.tunnel.closed].sort(), [
      '-R 9',
      '127.0.0.1:1080',
      '127.0.0.1:53',
      '127.0.0.1:8080',
    ]);
    assert.equal(first.tunnel.closes, 0);
  });

  test('ends no forward of the first that waits for any port too', async () => {
    const third = new CliBench(first.stateFolder);
    assert.equal(await third.run('forward', 'add', '-R', '0:a:1'), 0);
    await startSecond(/at the listener to b:2/, ticket(1), '-R', '0:b:2');
    second.signal();
    assert.equal(await running[1], 0);
    assert.deepEqual(first.tunnel.closed, ['-R 0']);
  });

  test('takes a free port when the first has the usual one', async () => {
    await startSecond(/Forwarding/, ticket(1), '2222');
    assert.match(
      second.stderr.text,
      /127\.0\.0\.1:40001 to localhost:2222 .*\(port 2222 is not available here/,
    );
  });

  test('joins -W to a connection of the first, without a port that others can use', async () => {
    const targets: Socket[] = [];
    const servers: Server[] = [];
    first.tunnel.onForward = ({ bind, target }) => {
      assert.ok(isPath(bind));
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        targets.push(socket);
        socket.pipe(socket);
      });
      servers.push(server.listen(bind.path));
      return { local: bind.path, target: 'host' in target ? `${target.host}:${target.port}` : '' };
    };
    const stdin = new PassThrough();
    second.stdin = stdin;
    stdin.write('hello');
    const { ended } = await second.start(/^hello$/, 'connect', ticket(1), '-W', 'localhost:22');
    assert.deepEqual(second.calls, []);
    // The way in is closed once the connection is open.
    assert.equal(first.tunnel.closed.length, 1);
    stdin.end();
    assert.equal(await ended, 0);
    for (const server of servers) server.close();
  });

  test('connects by itself once the first has ended', async () => {
    await startSecond(/Forwarding/, ticket(1), '80', '-p', '8080');
    first.signal();
    await running[0];
    await second.until(() => second.calls.length === 1);
    await second.shown(/Connector 4711 has ended; connecting again/);
  });

  test('stays with the first while that is too busy to answer', async () => {
    await startSecond(/Forwarding/, ticket(1), '80', '-p', '8080');
    // Each waits for the answer of the listener, and so takes a connection of the control socket.
    first.tunnel.comeOnline(SOME_PEER);
    const waiting = Array.from({ length: MAX_CONNECTIONS }, (_, index) =>
      new CliBench(first.stateFolder).run('forward', 'add', '-R', `0:a:${index + 1}`),
    );
    await first.until(() => first.tunnel.reverses.length === MAX_CONNECTIONS);
    first.pass(5_000);
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([0]));
    assert.deepEqual(second.calls, []);
    assert.deepEqual(first.tunnel.closed, []);
  });

  for (const [why, ...args] of [
    ['another ticket', ticket(2), '80'],
    ['a program', ticket(1), '80', '--', 'true'],
    ['--metrics', ticket(1), '80', '--metrics', '0'],
    ['--no-udp', ticket(1), '80', '--no-udp'],
    ['a limit of its own', ticket(1), '80', '--rate', '1M'],
    ['--patience', ticket(1), '80', '--patience', '9'],
  ] as const)
    test(`connects by itself with ${why}, and says that it is another peer`, async () => {
      await startSecond(/Another connector uses the identity in .* this run is a new peer/, ...args);
      await second.until(() => second.calls.length === 1);
      assert.equal(second.calls[0]?.options.identity, undefined);
    });

  test('connects by itself with --ephemeral', async () => {
    await startSecond(/Forwarding/, ticket(1), '80', '--ephemeral');
    assert.equal(second.calls.length, 1);
  });

  test('that has only the Tox ID fails at once, because no listener knows a temporary identity', async () => {
    const code = await second.run(ID, '80');
    assert.equal(code, 1);
    assert.match(second.stderr.text, /process .* runs as the connector of /);
    assert.deepEqual(second.calls, []);
  });
});
