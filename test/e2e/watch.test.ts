/** What a tunnel reports about itself: ping, doctor and metrics. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { CliProcess } from '../support/cli_process.js';
import { dialLoopback } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';

describe('monitoring of a tunnel', () => {
  let network: PrivateNetwork | undefined;
  let echo: Target | undefined;
  let listener: CliProcess;
  let ticket: string;

  before(async () => {
    echo = await Target.echo();
    // One port for UDP and TCP: the relay is found without UDP as well.
    network = await PrivateNetwork.start({}, ['--port', '0']);
    ({ listener, ticket } = await network.listen([String(echo.port)], '--metrics', '0'));
  });
  after(async () => {
    await network?.stop();
    await echo?.stop();
  });

  test('ping finds the listener and gets its replies', { timeout: 120_000 }, async () => {
    assert.ok(network !== undefined);
    const ping = network.start('ping', ticket, '--ephemeral', '-c', '2');
    assert.equal(await ping.exited(), 0, ping.stderr);
    const pings = ping.events.filter(({ event }) => event === 'ping');
    assert.equal(pings.length, 2);
    for (const { roundTripMs, path } of pings) {
      assert.ok(typeof roundTripMs === 'number' && roundTripMs > 0);
      assert.equal(path, 'udp');
    }
    const sum = ping.events.find(({ event }) => event === 'pings');
    assert.equal(sum?.['received'], 2);
  });

  test('doctor reports a healthy tunnel, and names a missing target', { timeout: 150_000 }, async () => {
    assert.ok(network !== undefined && echo !== undefined);
    const well = network.start('doctor', ticket, String(echo.port));
    assert.equal(await well.exited(), 0, well.stderr);
    const checks = well.events.filter(({ event }) => event === 'check');
    assert.deepEqual(
      checks.map(({ check, ok }) => [check, ok]),
      ['network', 'udp', 'nat', 'relay', 'peer', 'path', 'target'].map((check) => [check, true]),
    );
    const ill = network.start('doctor', ticket, 'localhost:1');
    assert.equal(await ill.exited(), 1);
    const target = ill.events.find(({ check }) => check === 'target');
    assert.ok(target !== undefined);
    assert.equal(target['ok'], false);
    assert.match(String(target['message']), /not exposed/);
  });

  test('both ends count the bytes of a connection in their metrics', { timeout: 120_000 }, async () => {
    assert.ok(network !== undefined && echo !== undefined);
    const { connector, locals } = await network.connect(
      ticket,
      [`0:127.0.0.1:${echo.port}`],
      ...['--metrics', '0'],
    );
    const socket = dialLoopback(locals[0]?.port ?? 0);
    const sent = Buffer.alloc(300_000, 'x');
    socket.end(sent);
    assert.ok((await readToEnd(socket)).equals(sent));
    for (const end of [listener, connector]) {
      const { url } = await end.event('metrics');
      const text = await (await fetch(String(url))).text();
      for (const direction of ['received', 'sent']) {
        const [, bytes] =
          new RegExp(`^tox_wasm_tunnel_${direction}_bytes_total (\\d+)$`, 'm').exec(text) ?? [];
        assert.ok(Number(bytes) >= sent.length, text);
      }
      assert.match(text, /^tox_wasm_tunnel_peer_online\{.*\} 1$/m);
    }
  });
});
