/** Commands that ask and control a running listener from other processes. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type CliEvent, CliProcess } from '../support/cli_process.js';
import { dialLoopback, ending } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { readExactly } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

describe('a running listener', () => {
  const folder = new TempFolder();
  let network: PrivateNetwork;
  let echo: Target;
  let other: Target;

  before(async () => {
    network = await PrivateNetwork.start();
    [echo, other] = [await Target.echo(), await Target.echo()];
  });
  after(async () => {
    await network.stop();
    await Promise.all([echo.stop(), other.stop()]);
    folder.remove();
  });

  /** Returns the listener's answer to a command. */
  async function ask(event: string, ...words: readonly string[]): Promise<CliEvent> {
    const process = CliProcess.start([...words, '--state', folder.path, '--json']);
    const answer = await process.event(event);
    assert.equal(await process.exited(), 0);
    return answer;
  }

  test('lists its peers, changes its rules while bytes flow, and disconnects a peer', {
    timeout: 180_000,
  }, async () => {
    const { ticket } = await network.listen([String(echo.port)], '--state', folder.path);
    assert.equal(statSync(folder.file('listener.sock')).mode & 0o777, 0o600);
    assert.deepEqual((await ask('peers', 'peers'))['peers'], []);
    const { connector, locals } = await network.connect(ticket, [
      `0:localhost:${echo.port}`,
      `0:localhost:${other.port}`,
    ]);
    const [first, second] = locals;
    assert.ok(first !== undefined && second !== undefined);
    const open = dialLoopback(first.port);
    open.write('alive');
    await readExactly(open, 5);

    assert.equal(await ending(dialLoopback(second.port).resume()), 'ECONNRESET');
    const refused = await connector.event('refused');
    assert.equal(refused['reason'], 'not-allowed');
    const [peer] = (await ask('peers', 'peers'))['peers'] as Record<string, unknown>[];
    assert.ok(peer !== undefined);
    assert.match(String(peer['publicKey']), /^[0-9A-F]{64}$/);
    assert.deepEqual(
      ['status', 'streams', 'opened', 'denied', 'failed', 'limited'].map((field) => peer[field]),
      ['online', 1, 1, 1, 0, 0],
    );
    assert.ok(Math.abs(Date.parse(String(peer['since'])) - Date.now()) < 120_000);

    await ask('changed', 'rule', 'add', String(other.port));
    const late = dialLoopback(second.port);
    late.write('now');
    assert.equal((await readExactly(late, 3)).toString(), 'now');
    await ask('changed', 'rule', 'remove', String(echo.port));
    assert.equal(await ending(open.resume()), 'ECONNRESET');
    late.write('yet');
    assert.equal((await readExactly(late, 3)).toString(), 'yet');

    // A removed peer would return in a moment, because it may still connect. So deny it instead.
    await ask('changed', 'peers', 'deny', String(peer['publicKey']));
    assert.equal(await ending(late.resume()), 'ECONNRESET');
    assert.deepEqual((await ask('peers', 'peers'))['peers'], []);
  });
});
