/** -R and UNIX sockets through the real command: three processes and a private Tox network. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, lstatSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type CliEvent, runCli } from '../support/cli_process.js';
import { dialLoopback, ending, freePort } from '../support/loopback.js';
import { patternDigest } from '../support/pattern.js';
import { PrivateNetwork } from '../support/private_network.js';
import { readDigest, readToEnd, writePattern } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const BYTES = 2 * 1024 * 1024;

describe('-R and UNIX sockets', { skip: process.platform === 'win32' }, () => {
  const folder = new TempFolder();
  const far = folder.file('far.sock');
  const near = folder.file('near.sock');
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  let echo: Target;
  let shared: PrivateNetwork;

  before(async () => {
    echo = await Target.echo();
    await once(server.listen(far), 'listening');
    shared = await PrivateNetwork.start();
  });

  after(async () => {
    await shared.stop();
    await echo.stop();
    server.close();
    folder.remove();
  });

  async function echoes(client: Socket): Promise<void> {
    const answer = readDigest(client);
    await writePattern(client, 'there and back', BYTES);
    client.end();
    assert.deepEqual(await answer, { bytes: BYTES, sha256: patternDigest('there and back', BYTES) });
  }

  test('connections beyond the limits of opens and dials wait, and all are served', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const limits = ['--max-opens-per-second', '20', '--max-dials', '2', '--max-streams', '60'];
    const { ticket } = await network.listen([String(echo.port)], '--allow-reverse', '0', ...limits);
    const { connector, locals } = await network.connect(
      ticket,
      [`0:127.0.0.1:${echo.port}`],
      ...['-R', `0:127.0.0.1:${echo.port}`, ...limits],
    );
    const open = await connector.event('reverse', (event) => event['status'] === 'open');
    const remote = Number(String(open['listen']).split(':').at(-1));
    for (const port of [locals[0]?.port ?? 0, remote]) {
      const answers = Array.from({ length: 100 }, async (_, index) => {
        const client = dialLoopback(port);
        client.end(`${index}`);
        return String(await readToEnd(client));
      });
      assert.deepEqual(
        await Promise.all(answers),
        Array.from({ length: 100 }, (_, index) => `${index}`),
      );
    }
    assert.deepEqual(
      connector.events.filter(({ event }) => event === 'refused'),
      [],
    );
    await connector.stop();
  });

  test('bytes cross a port of the listener and UNIX sockets, and refusals are reported', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const { ticket, listener } = await network.listen([far], '--allow-reverse', '0');
    const { connector } = await network.connect(
      ticket,
      [`${near}:${far}`, `0:127.0.0.1:${echo.port}`],
      ...['-R', `0:127.0.0.1:${echo.port}`, '-R', '1:localhost:1'],
    );
    const open = await connector.event('reverse', (event) => event['status'] === 'open');
    assert.equal(open['target'], `127.0.0.1:${echo.port}`);
    assert.equal((await listener.event('reverse'))['listen'], open['listen']);
    const port = Number(String(open['listen']).split(':').at(-1));
    const refused = await connector.event('refused');
    assert.equal(refused['target'], '-R 1');
    assert.match(String(refused['message']), /--allow-reverse 127\.0\.0\.1:1$/);

    await echoes(dialLoopback(port));
    assert.equal(lstatSync(near).mode & 0o777, 0o600);
    await echoes(connect({ path: near, allowHalfOpen: true }));

    await connector.stop();
    assert.ok(!existsSync(near));
    await listener.event('reverse', (event) => event['status'] === 'closed');
    assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
  });

  test('an --ephemeral connector that was killed gets its port back when it runs again', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const port = await freePort();
    const { ticket } = await network.listen([far], '--allow-reverse', String(port));
    const reverse = ['-R', `${port}:127.0.0.1:${echo.port}`];
    const isOpen = (event: CliEvent) => event['status'] === 'open';
    const first = await network.connect(ticket, [], ...reverse);
    await first.connector.event('reverse', isOpen);
    const other = await network.connect(ticket, [], ...reverse);
    const refused = await other.connector.event('refused');
    assert.match(String(refused['message']), /is held by another peer, which is connected/);
    await other.connector.stop();

    first.connector.child.kill('SIGKILL');
    await first.connector.exited();
    const { connector } = await network.connect(ticket, [], ...reverse);
    await connector.event('reverse', isOpen);
    await echoes(dialLoopback(port));
    await connector.stop();
  });

  test('a ticket has its own ports, peers lists the open ones, and removing a rule closes its port', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = folder.file('state');
    const ask = async (...args: readonly string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await runCli([...args, '--state', state]);
      assert.equal(exitCode, 0, stderr);
      return stdout;
    };
    const { ticket, listener } = await network.listen([far], '--state', state);
    const ci = (await ask('ticket', 'new', '--name', 'ci', '--allow-reverse', '0')).trim();
    const reverse = ['-R', `0:127.0.0.1:${echo.port}`];
    const { connector } = await network.connect(ci, [], ...reverse);
    const open = await connector.event('reverse', (event) => event['status'] === 'open');
    const listen = String(open['listen']);
    assert.ok((await ask('peers')).includes(`-R ${listen}`));
    await echoes(dialLoopback(Number(listen.split(':').at(-1))));

    // The default ticket may open no port until a rule allows it.
    const other = await network.connect(ticket, [], ...reverse);
    assert.equal((await other.connector.event('refused'))['reason'], 'not-allowed');
    await other.connector.stop();
    await ask('rule', 'add', '--allow-reverse', '0');
    const again = await network.connect(ticket, [], ...reverse);
    const added = await again.connector.event('reverse', (event) => event['status'] === 'open');
    const held = dialLoopback(Number(String(added['listen']).split(':').at(-1)));
    await once(held, 'connect');
    await ask('rule', 'remove', '--allow-reverse', '0');
    assert.equal(await ending(held), 'ECONNRESET');
    const isIt = (event: CliEvent) => event['status'] === 'closed' && event['listen'] === added['listen'];
    await Promise.all([listener.event('reverse', isIt), again.connector.event('reverse', isIt)]);
    const peers = await ask('peers');
    assert.ok(peers.includes(`-R ${listen}`) && !peers.includes(String(added['listen'])), peers);

    await ask('ticket', 'revoke', 'ci');
    await listener.event('reverse', (event) => event['status'] === 'closed' && event['listen'] === listen);
  });
});
