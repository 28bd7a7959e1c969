/**
 * Listeners and connectors that reach the network only through a proxy: OpenSSH's, tinyproxy, and our own.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { CliProcess } from '../support/cli_process.js';
import { LineProcess } from '../support/line_process.js';
import { freePort } from '../support/loopback.js';
import { PathTarget } from '../support/path_transfer.js';
import { PrivateNetwork } from '../support/private_network.js';
import { socketsOf } from '../support/process_sockets.js';
import { SSH, SSHD, skipWithout, TINYPROXY } from '../support/programs.js';
import { startTinyproxy } from '../support/services.js';
import { SshServer } from '../support/ssh_server.js';
import { TempFolder } from '../support/temp_folder.js';

const MIB = 1024 * 1024;
const PATIENT = { timeout: 150_000 };

describe('with no network access but a proxy', () => {
  const folder = new TempFolder();
  let network: PrivateNetwork;
  let target: PathTarget;
  let tunnels = 0;

  before(async () => {
    [network, target] = await Promise.all([
      // The relay runs at the port in the node's line.
      PrivateNetwork.start({}, ['--port', '0']),
      PathTarget.start(folder.file('target')),
    ]);
  });

  after(async () => {
    await network.stop();
    await target.stop();
    folder.remove();
  });

  /** Starts both ends behind the proxy, and checks that their sockets go only to it and that bytes cross. */
  async function tunnelThrough(port: number, ...args: readonly string[]): Promise<void> {
    const { listener, ticket } = await network.listen([target.path], ...args);
    const near = folder.file(`near${tunnels++}`);
    const { connector } = await network.connect(ticket, [`${near}:${target.path}`], ...args);

    for (const { got, wanted } of await target.carry(near, MIB)) assert.equal(got, wanted);

    for (const end of [listener, connector]) {
      assert.ok(end.events.every(({ path }) => path !== 'udp'));
      if (process.platform === 'linux')
        assert.deepEqual(socketsOf(end.child.pid ?? 0, []), { udpPorts: [], tcpTo: [port] });
    }
    await Promise.all([listener.stop(), connector.stop()]);
  }

  test('a tunnel connects through SOCKS5 of OpenSSH', {
    ...PATIENT,
    skip: skipWithout(SSH, SSHD),
  }, async () => {
    const server = await SshServer.start(folder);
    const port = await freePort(); // ssh -D does not report a port that it chose
    const forward = ['-N', '-D', `127.0.0.1:${port}`, '-o', 'LogLevel=DEBUG1', '-p', String(server.port)];
    const proxy = new LineProcess('ssh', [...forward, ...server.clientOptions(), server.login()]);
    await proxy.line(/Local forwarding listening on|Entering interactive session/);

    await tunnelThrough(port, '--proxy', `socks5://127.0.0.1:${port}`);

    await Promise.all([proxy.stop(), server.stop()]);
  });

  test('a tunnel connects through HTTP CONNECT of tinyproxy, with a password from a file', {
    ...PATIENT,
    skip: skipWithout(TINYPROXY),
  }, async () => {
    const proxy = await startTinyproxy(folder, 'joe', 'secret');
    writeFileSync(folder.file('password'), 'secret\n');
    const login = ['--proxy-password-file', folder.file('password')];

    await tunnelThrough(proxy.port, '--proxy', `http://joe@127.0.0.1:${proxy.port}`, ...login);

    await proxy.stop();
  });

  test('a tunnel connects through SOCKS5 of another tunnel, with a password', PATIENT, async () => {
    const port = Number(/:(\d+):/.exec(network.bootstrap)?.[1]);
    const { ticket } = await network.listen([`127.0.0.1:${port}`]);
    writeFileSync(folder.file('password'), 'open sesame\n');
    const users = ['--socks-user', 'joe', '--socks-password-file', folder.file('password')];
    const { locals } = await network.connect(ticket, [], '-D', '0', ...users);
    const proxyPort = locals[0]?.port ?? 0;

    await tunnelThrough(proxyPort, '--proxy', `socks5://joe:open%20sesame@127.0.0.1:${proxyPort}`);
  });

  async function waitingFor(...args: readonly string[]): Promise<{ connector: CliProcess; message: string }> {
    const { listener, ticket } = await network.listen([target.path]);
    await listener.stop();
    const connector = network.start('connect', ticket, '--ephemeral', '-D', '0', ...args);
    const { message } = await connector.event('waiting');
    return { connector, message: String(message) };
  }

  test('an unreachable proxy, and one that requires a password, are reported', PATIENT, async () => {
    const gone = await freePort();
    const { message } = await waitingFor('--proxy', `http://127.0.0.1:${gone}`);
    assert.match(
      message,
      new RegExp(`the proxy 127\\.0\\.0\\.1:${gone} cannot be reached \\(ECONNREFUSED\\)`),
    );
    assert.match(message, /Is the proxy running, and does it let us through\?/);
  });
});
