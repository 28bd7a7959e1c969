/** The audit of a real listener: its peers and their connections, in a file. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { dialLoopback } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { assertSilent, secretInTicket } from '../support/secrets.js';
import { readExactly, readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

type Line = Readonly<Record<string, unknown>>;

const linesIn = (file: string): Line[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** Resolves once a file has a record that matches. */
async function recorded(file: string, matches: (line: Line) => boolean): Promise<Line> {
  for (;;) {
    const found = linesIn(file).find(matches);
    if (found !== undefined) return found;
    await turn();
  }
}

describe('the audit of a listener', () => {
  const folder = new TempFolder();
  let network: PrivateNetwork;
  let echo: Target;

  before(async () => {
    network = await PrivateNetwork.start();
    echo = await Target.echo();
  });
  after(async () => {
    await network.stop();
    await echo.stop();
    folder.remove();
  });

  test('tells who came in, what it reached and what it was denied, without a secret', {
    timeout: 120_000,
  }, async () => {
    const file = folder.file('audit');
    const { listener, ticket } = await network.listen([String(echo.port)], '--audit-log', file);
    const { connector, locals } = await network.connect(ticket, [
      `0:localhost:${echo.port}`,
      '0:localhost:1',
    ]);
    const [open, closed] = locals.map(({ port }) => port);
    const client = dialLoopback(open ?? 0);
    client.end('hello');
    assert.equal((await readToEnd(client)).toString(), 'hello');
    const denied = dialLoopback(closed ?? 0);
    await new Promise((resolve) => denied.on('error', resolve).on('close', resolve));
    await recorded(file, ({ audit }) => audit === 'denied');
    await recorded(file, ({ audit }) => audit === 'ended');
    await connector.stop();
    await recorded(file, ({ audit }) => audit === 'offline');
    await listener.stop();
    const lines = linesIn(file);
    const kinds = lines.map(({ audit }) => audit);
    for (const kind of ['started', 'admitted', 'online', 'opened', 'ended', 'denied', 'offline', 'stopped'])
      assert.ok(kinds.includes(kind), `${kind}: ${kinds.join(' ')}`);
    const ended = lines.find(({ audit }) => audit === 'ended');
    assert.deepEqual(
      [ended?.['name'], ended?.['target'], ended?.['address'], ended?.['bytesIn'], ended?.['bytesOut']],
      ['default', `localhost:${echo.port}`, '127.0.0.1', 5, 5],
    );
    assertSilent('the audit', readFileSync(file, 'utf8'), [secretInTicket(ticket).toLowerCase()]);
  });

  test('SIGHUP applies new rules: a connection that stays allowed goes on, another one is cut, and both are recorded', {
    timeout: 120_000,
    skip: process.platform === 'win32' ? 'needs SIGHUP' : false,
  }, async () => {
    const other = await Target.start();
    const file = folder.file('reloaded');
    const config = folder.file('config.json');
    const expose = (...ports: number[]): void =>
      writeFileSync(config, JSON.stringify({ listen: { expose: ports.map(String) } }));
    expose(echo.port, other.port);
    const { listener, ticket } = await network.listen([], '--config', config, '--audit-log', file);
    const ports = [echo.port, other.port].map((port) => `0:localhost:${port}`);
    const { locals } = await network.connect(ticket, ports);
    const [kept, cut] = locals.map(({ port }) => dialLoopback(port));
    assert.ok(kept !== undefined && cut !== undefined);
    const isCut = new Promise((resolve) => cut.on('error', resolve).on('close', resolve));
    kept.write('before ');
    assert.equal((await readExactly(kept, 7)).toString(), 'before ');
    await other.connection();
    expose(echo.port);
    renameSync(file, `${file}.1`);
    listener.child.kill('SIGHUP');
    assert.deepEqual((await listener.event('reloaded'))['ok'], true);
    await isCut;
    kept.end('after');
    assert.equal((await readToEnd(kept)).toString(), 'after');
    const ended = await recorded(file, ({ audit, how }) => audit === 'ended' && how === 'reset');
    assert.deepEqual([ended['target'], ended['reason']], [`localhost:${other.port}`, 'not-allowed']);
    await recorded(file, ({ audit, how }) => audit === 'ended' && how === 'ended');
    assert.ok(linesIn(`${file}.1`).some(({ audit }) => audit === 'opened'));
    await other.stop();
  });
});
