/**
 * ssh and scp to Debian's sshd: the most common use of a tunnel, and one that ends streams in its own way.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { pattern } from '../support/pattern.js';
import { PrivateNetwork } from '../support/private_network.js';
import { SSH, SSHD, skipWithout } from '../support/programs.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { SshServer } from '../support/ssh_server.js';
import { TempFolder } from '../support/temp_folder.js';

const FILE_BYTES = 5 * 1024 * 1024;

describe('ssh through a tunnel', { skip: skipWithout(SSH, SSHD) }, () => {
  const folder = new TempFolder();
  const file = pattern('a file for scp', FILE_BYTES);
  let sshd: SshServer;
  let network: PrivateNetwork;
  let port: number;

  before(async () => {
    sshd = await SshServer.start(folder);
    network = await PrivateNetwork.start();
    const { locals } = await network.tunnel([sshd.port]);
    assert.ok(locals[0] !== undefined);
    port = locals[0].port;
  });

  after(async () => {
    await network.stop();
    await sshd.stop();
    folder.remove();
  });

  async function ssh(...command: readonly string[]): Promise<Finished> {
    return await runProgram('ssh', [...sshd.clientOptions(), '-p', String(port), sshd.login(), ...command]);
  }

  async function scp(from: string, to: string): Promise<Finished> {
    return await runProgram('scp', [...sshd.clientOptions(), '-q', '-P', String(port), from, to]);
  }

  test('a command runs on the other machine; its output and exit code come back', {
    timeout: 60_000,
  }, async () => {
    const finished = await ssh('echo "this is $((40 + 2))"; echo complaint >&2; exit 7');

    assert.deepEqual(finished, { exitCode: 7, stdout: 'this is 42\n', stderr: 'complaint\n' }, sshd.log);
  });

  test('scp copies 5 MiB up and back intact', { timeout: 120_000 }, async () => {
    writeFileSync(folder.file('here'), file);

    const up = await scp(folder.file('here'), `${sshd.login()}:${folder.file('there')}`);
    assert.deepEqual(up, { exitCode: 0, stdout: '', stderr: '' }, sshd.log);
    assert.ok(readFileSync(folder.file('there')).equals(file));

    const down = await scp(`${sshd.login()}:${folder.file('there')}`, folder.file('back'));
    assert.deepEqual(down, { exitCode: 0, stdout: '', stderr: '' }, sshd.log);
    assert.ok(readFileSync(folder.file('back')).equals(file));
  });

  test('five concurrent sessions each get their own answer', { timeout: 60_000 }, async () => {
    const answers = await Promise.all([1, 2, 3, 4, 5].map((number) => ssh(`echo session ${number}`)));

    assert.deepEqual(
      answers.map(({ stdout }) => stdout),
      [1, 2, 3, 4, 5].map((number) => `session ${number}\n`),
    );
  });
});
