/** Names for tickets, and the commands that use them: connect and the system's ssh. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { runCli } from '../support/cli_process.js';
import { dialLoopback } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import { LOOPBACK, localsOf, PrivateNetwork } from '../support/private_network.js';
import { SSH, SSHD, skipWithout } from '../support/programs.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { readToEnd } from '../support/socket_bytes.js';
import { SshServer } from '../support/ssh_server.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const PASSPHRASE = 'open sesame';

describe('a named ticket', () => {
  const folder = new TempFolder();
  // Blanks and quotes, as in real paths.
  const state = folder.file("joe's state");
  let network: PrivateNetwork;
  let echo: Target;
  let ticket = '';
  let tunnelOptions: string[] = [];

  before(async () => {
    network = await PrivateNetwork.start();
    echo = await Target.echo();
    ({ ticket } = await network.listen(['localhost:*']));
    tunnelOptions = ['--bootstrap', network.bootstrap, ...LOOPBACK.filter((word) => word !== '--json')];
  });
  after(async () => {
    await network.stop();
    await echo.stop();
    folder.remove();
  });

  const env = { ...process.env, TOX_WASM_TUNNEL_PASSPHRASE: PASSPHRASE };
  const tunnel = (...args: readonly string[]): Promise<Finished> => runCli(args, { env });

  test('is stored sealed, and connect finds the listener by it', { timeout: 90_000 }, async () => {
    const file = folder.file('passphrase');
    writeFileSync(file, PASSPHRASE);
    const added = await tunnel('add', 'home', ticket, '--state', state);
    assert.equal(added.exitCode, 0, added.stderr);
    assert.ok(!readFileSync(`${state}/names.json`, 'utf8').includes('home'));

    const connector = network.start(
      ...['connect', 'home', '-L', `0:127.0.0.1:${echo.port}`, '--state', state, '--passphrase-file', file],
    );
    await connector.event('peer', (event) => event['status'] === 'online');
    const socket = dialLoopback((await localsOf(connector))[0]?.port ?? 0);
    socket.end('hello');
    assert.equal((await readToEnd(socket)).toString(), 'hello');
    await connector.stop();
  });

  describe('with the system’s ssh', { skip: skipWithout(SSH, SSHD) }, () => {
    const { username } = userInfo();
    let sshd: SshServer;
    before(async () => {
      mkdirSync(folder.file('sshd'));
      sshd = await SshServer.start(folder);
      await tunnel('add', 'home', ticket, '--state', state);
    });
    after(() => sshd.stop());

    test('ssh runs a command on the other machine and returns its output and exit code', {
      timeout: 90_000,
    }, async () => {
      const finished = await tunnel(
        ...['ssh', ...tunnelOptions, '--state', state, `${username}@home`],
        ...[...sshd.clientOptions(), '-p', String(sshd.port)],
        'echo "this is $((40 + 2))"; echo complaint >&2; exit 7',
      );
      assert.deepEqual(finished, { exitCode: 7, stdout: 'this is 42\n', stderr: 'complaint\n' }, sshd.log);
    });

    test('ssh-config prints the settings that ssh and scp need', { timeout: 120_000 }, async () => {
      const stanza = await tunnel('ssh-config', ...tunnelOptions, '--state', state, `${username}@home`);
      assert.equal(stanza.exitCode, 0, stanza.stderr);
      const config = folder.file('config');
      writeFileSync(config, `${stanza.stdout}  Port ${sshd.port}\n`);
      const options = ['-F', config, ...sshd.clientOptions().slice(2)];
      const bytes = pattern('a file for scp', 100_000);
      writeFileSync(folder.file('here'), bytes);

      const login = await runProgram('ssh', [...options, 'home', 'echo hello'], { env });
      assert.deepEqual(login, { exitCode: 0, stdout: 'hello\n', stderr: '' }, sshd.log);
      const copy = await runProgram(
        'scp',
        [...options, '-q', folder.file('here'), `home:${folder.file('there')}`],
        {
          env,
        },
      );
      assert.deepEqual(copy, { exitCode: 0, stdout: '', stderr: '' }, sshd.log);
      assert.ok(readFileSync(folder.file('there')).equals(bytes));
    });
  });
});
