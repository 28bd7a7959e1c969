/** Full disks: a command that writes to one fails with an error and leaves no partial file. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { CLI, CliProcess, runCli } from '../support/cli_process.js';
import { listenOnLoopback } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const FULL = '/dev/full';
const NO_FULL = existsSync(FULL) ? false : `needs ${FULL}`;
const NO_LIMIT = process.platform === 'win32' ? 'needs ulimit' : false;
const LIMIT = 64 * 1024;
const SENT = 100_000;

/** Runs the command line in a shell script that calls it as `"$@"`. */
function inShell(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  // The cache of the loader is not one of our files.
  const variables = { ...process.env, TSX_DISABLE_CACHE: '1', ...env };
  return runProgram('sh', ['-c', script, 'sh', ...CLI, ...args], { env: variables });
}

function assertFailed({ exitCode, stderr }: Finished, why: RegExp): void {
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /^tox-wasm-tunnel: [^\n]+\n$/, 'one line and no stack trace');
  assert.match(stderr, why);
}

describe('a full disk', { concurrency: 2 }, () => {
  const folder = new TempFolder();
  const state = folder.file('state');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(Buffer.alloc(SENT, 'x'));
  });
  let network: PrivateNetwork;
  let targetPort: number;
  let joining: readonly string[];
  let connect: readonly string[];

  before(async () => {
    targetPort = await listenOnLoopback(server);
    network = await PrivateNetwork.start();
    const { ticket } = await network.listen([String(targetPort)]);
    joining = ['--bootstrap', network.bootstrap, '--bind', '127.0.0.1', '--no-lan', '--ephemeral'];
    connect = ['connect', ticket, '-W', `localhost:${targetPort}`, ...joining];
    assert.equal((await runCli(['id', '--state', state])).exitCode, 0);
  });

  after(async () => {
    await network.stop();
    server.close();
    folder.remove();
  });

  const printing: readonly (readonly string[])[] = [
    ['id', '--state', state],
    ['id', '--json', '--state', state],
    ['id', '--export', '-', '--state', state],
    ['completion', 'bash'],
    ['--help'],
  ];
  for (const args of printing) {
    test(`${args.filter((arg) => arg !== state).join(' ')} exits with 1 and one line when it cannot print`, {
      timeout: 60_000,
      skip: NO_FULL,
    }, async () => {
      assertFailed(await inShell(`exec "$@" >${FULL}`, args), /standard output: the disk is full \(ENOSPC\)/);
    });
  }

  test('the exit code reports the failure when nothing at all can be written', {
    timeout: 60_000,
    skip: NO_FULL,
  }, async () => {
    const both = await inShell(`exec "$@" >${FULL} 2>${FULL}`, ['id', '--state', state]);
    assert.deepEqual(both, { exitCode: 1, stdout: '', stderr: '' });
  });

  test('-W exits with 1 when none of its bytes can be written', {
    timeout: 90_000,
    skip: NO_FULL,
  }, async () => {
    assertFailed(
      await inShell(`exec "$@" >${FULL}`, connect),
      /standard output: the disk is full \(ENOSPC\)/,
    );
  });

  test('-W exits with 1 when only some of its bytes can be written, and writes what fits', {
    timeout: 90_000,
    skip: NO_LIMIT,
  }, async () => {
    const file = folder.file('part');
    // POSIX counts in blocks of 512 bytes.
    const finished = await inShell(`ulimit -f ${LIMIT / 512}; exec "$@" >"$FILE"`, connect, { FILE: file });
    assertFailed(finished, /standard output: the file would be longer than the system allows \(EFBIG\)/);
    assert.equal(statSync(file).size, LIMIT);
  });

  test('-W exits silently with 0 when its reader has read enough', {
    timeout: 90_000,
    skip: NO_LIMIT,
  }, async () => {
    const script = '{ "$@"; echo "code $?" >&2; } | head -c 10';
    assert.deepEqual(await inShell(script, connect), {
      exitCode: 0,
      stdout: 'x'.repeat(10),
      stderr: 'code 0\n',
    });
  });

  test('-W to a file with enough room writes all bytes and exits with 0', {
    timeout: 90_000,
    skip: NO_LIMIT,
  }, async () => {
    const file = folder.file('whole');
    const finished = await inShell('exec "$@" >"$FILE"', connect, { FILE: file });
    assert.deepEqual(finished, { exitCode: 0, stdout: '', stderr: '' });
    assert.equal(statSync(file).size, SENT);
  });

  test('a listener that cannot print its events reports it once, keeps running and exits cleanly', {
    timeout: 90_000,
    skip: NO_FULL,
  }, async () => {
    const running = folder.file('running');
    const args = ['listen', '--json', '--expose', 'none', '--state', running];
    const join = ['--bootstrap', network.bootstrap, '--bind', '127.0.0.1', '--no-lan'];
    const listener = CliProcess.start([...CLI, ...args, ...join], {
      program: ['sh', '-c', `exec "$@" >${FULL}`, 'sh'],
    });
    try {
      await listener.said(/dropping events until standard output can be written again: ENOSPC/);
      const { exitCode, stdout } = await runCli(['ticket', '--state', running]);
      assert.equal(exitCode, 0);
      assert.match(stdout, /^twt/);
    } finally {
      assert.equal(await listener.stop(), 0);
    }
    assert.equal(listener.stderr.trimEnd().split('\n').length, 1, listener.stderr);
  });

  test('an audit log that fills its disk holds whole lines only', {
    timeout: 90_000,
    skip: NO_LIMIT,
  }, async () => {
    const audit = folder.file('audit.jsonl');
    // POSIX counts in blocks of 512 bytes. The records of one connection need more.
    const limited = network.withProgram(['sh', '-c', 'ulimit -f 1; exec "$@"', 'sh', ...CLI]);
    const { listener, ticket } = await limited.listen([String(targetPort)], '--audit-log', audit);
    const target = `localhost:${targetPort}`;
    const { stdout } = await runCli(['connect', ticket, '-W', target, ...joining]);
    assert.equal(stdout.length, SENT);
    await listener.said(/audit records are being lost: .*\(EFBIG\)/);
    assert.equal(await listener.stop(), 0);
    const lines = readFileSync(audit, 'utf8').split('\n');
    assert.equal(lines.pop(), '');
    for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), line);
  });

  test('id --export leaves no file when the disk is full', { timeout: 60_000, skip: NO_LIMIT }, async () => {
    const file = folder.file('exported.json');
    const args = ['id', '--export', file, '--state', state];
    assertFailed(
      await inShell('ulimit -f 0; exec "$@"', args),
      /exported\.json: it cannot be written: .*\(EFBIG\)/,
    );
    assert.ok(!existsSync(file));
  });

  test('service install leaves the previous unit, or none, when the disk is full', {
    timeout: 60_000,
    skip: process.platform === 'linux' ? false : 'is for systemd',
  }, async () => {
    const config = folder.file('config');
    const units = `${config}/systemd/user`;
    const install = ['service', 'install', '--user', '--', '--expose', '22'];
    const env = { XDG_CONFIG_HOME: config };
    mkdirSync(units, { recursive: true });
    assertFailed(
      await inShell('ulimit -f 0; exec "$@"', install, env),
      /\.service: .*\(EFBIG\); .*; nothing was changed/,
    );
    assert.deepEqual(readdirSync(units), []);
    const old = '# Written by tox-wasm-tunnel service install.\nold\n';
    writeFileSync(`${units}/tox-wasm-tunnel.service`, old);
    assertFailed(await inShell('ulimit -f 0; exec "$@"', install, env), /EFBIG/);
    assert.deepEqual(readdirSync(units), ['tox-wasm-tunnel.service']);
    assert.equal(readFileSync(`${units}/tox-wasm-tunnel.service`, 'utf8'), old);
    assert.equal((await inShell('exec "$@"', install, env)).exitCode, 0);
    assert.match(readFileSync(`${units}/tox-wasm-tunnel.service`, 'utf8'), /--expose 22/);
  });

  test('add keeps the existing names when the disk is full', {
    timeout: 60_000,
    skip: NO_LIMIT,
  }, async () => {
    const named = folder.file('named');
    const id = '0'.repeat(76);
    assert.equal((await runCli(['add', 'home', id, '--state', named])).exitCode, 0);
    const before = readFileSync(`${named}/names.json`, 'utf8');
    const finished = await inShell('ulimit -f 0; exec "$@"', ['add', 'work', id, '--state', named]);
    assertFailed(finished, /EFBIG/);
    assert.equal(readFileSync(`${named}/names.json`, 'utf8'), before);
    assert.ok(!existsSync(`${named}/names.json.new`));
  });
});
