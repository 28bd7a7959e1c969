/** Real clients of -D and -W: curl over SOCKS5 and HTTP CONNECT, and ssh with its ProxyCommand. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { CLI } from '../support/cli_process.js';
import { freePort, listenOnLoopback } from '../support/loopback.js';
import { pattern } from '../support/pattern.js';
import { PrivateNetwork } from '../support/private_network.js';
import { CURL, SSH, SSHD, skipWithout } from '../support/programs.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { readToEnd } from '../support/socket_bytes.js';
import { SshServer } from '../support/ssh_server.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const PAGE = pattern('a page', 3 * 1024 * 1024);

describe('curl through the proxy of -D', { skip: skipWithout(CURL) }, () => {
  const folder = new TempFolder();
  let server: Server;
  let port: number;
  let closed: number;
  let network: PrivateNetwork;
  let plain: string;
  let guarded: string;

  before(async () => {
    server = createServer((_request, response) => response.end(PAGE));
    port = await listenOnLoopback(server);
    closed = await freePort();
    writeFileSync(folder.file('password'), 'open sesame\n');
    network = await PrivateNetwork.start();
    const { ticket } = await network.listen([String(port), String(closed)]);
    const proxies = ['-D', '0'];
    const users = ['--socks-user', 'joe', '--socks-password-file', folder.file('password')];
    const [first, second] = await Promise.all([
      network.connect(ticket, [], ...proxies),
      network.connect(ticket, [], ...proxies, ...users),
    ]);
    plain = `127.0.0.1:${first.locals[0]?.port}`;
    guarded = `127.0.0.1:${second.locals[0]?.port}`;
  });

  after(async () => {
    await network.stop();
    server.close();
    folder.remove();
  });

  async function curl(...args: readonly string[]): Promise<Finished> {
    return await runProgram('curl', [
      ...['--silent', '--show-error', '--fail', '--noproxy', '', '--output', folder.file('got')],
      ...args,
    ]);
  }

  function got(): boolean {
    return readFileSync(folder.file('got')).equals(PAGE);
  }

  test('--socks5-hostname fetches a page by name and by address', { timeout: 60_000 }, async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const done = await curl('--socks5-hostname', plain, `http://${host}:${port}/`);
      assert.deepEqual(done, { exitCode: 0, stdout: '', stderr: '' });
      assert.ok(got());
    }
  });

  test('-x with --proxytunnel fetches it over HTTP CONNECT', { timeout: 60_000 }, async () => {
    const done = await curl('-x', `http://${plain}`, '--proxytunnel', `http://localhost:${port}/`);
    assert.deepEqual(done, { exitCode: 0, stdout: '', stderr: '' });
    assert.ok(got());
  });

  test('curl learns which targets the listener refuses, and why', { timeout: 60_000 }, async () => {
    for (const [target, reply, status] of [
      [`localhost:${closed}`, '(5)', '502'],
      ['192.0.2.1:80', '(2)', '403'],
    ] as const) {
      const socks = await curl('--socks5-hostname', plain, `http://${target}/`);
      assert.equal(socks.exitCode, 97, socks.stderr);
      assert.ok(socks.stderr.includes(reply), socks.stderr);
      const http = await curl('-x', `http://${plain}`, '--proxytunnel', `http://${target}/`);
      assert.notEqual(http.exitCode, 0, http.stderr);
      assert.ok(http.stderr.includes(status), http.stderr);
    }
    const get = await curl('-x', `http://${plain}`, `http://localhost:${port}/`);
    assert.equal(get.exitCode, 22);
    assert.match(get.stderr, /405/);
  });

  test('a password admits only clients that send it', { timeout: 60_000 }, async () => {
    const url = `http://localhost:${port}/`;
    for (const way of [
      ['--socks5-hostname', guarded],
      ['--proxytunnel', '-x', `http://${guarded}`],
    ]) {
      assert.equal((await curl(...way, '--proxy-user', 'joe:open sesame', url)).exitCode, 0);
      assert.ok(got());
      assert.notEqual((await curl(...way, '--proxy-user', 'joe:open', url)).exitCode, 0);
      assert.notEqual((await curl(...way, url)).exitCode, 0);
    }
  });
});

describe('-W', { skip: skipWithout(SSH, SSHD) }, () => {
  const folder = new TempFolder();
  let sshd: SshServer;
  let echo: Target;
  let closed: number;
  let network: PrivateNetwork;
  let connect: readonly string[];

  before(async () => {
    sshd = await SshServer.start(folder);
    echo = await Target.echo();
    closed = await freePort();
    network = await PrivateNetwork.start();
    const { ticket } = await network.listen([sshd.port, echo.port, closed].map(String));
    connect = [
      ...CLI,
      ...[
        'connect',
        ticket,
        '--bootstrap',
        network.bootstrap,
        '--bind',
        '127.0.0.1',
        '--no-lan',
        '--ephemeral',
      ],
    ];
  });

  after(async () => {
    await network.stop();
    await Promise.all([sshd.stop(), echo.stop()]);
    folder.remove();
  });

  /** Runs it with `input` as the whole standard input. */
  async function pipe(
    input: Buffer | string,
    ...args: readonly string[]
  ): Promise<{ code: number | null; stdout: Buffer; stderr: string }> {
    const [command = '', ...rest] = [...connect, ...args];
    const child = spawn(command, rest, { stdio: 'pipe', timeout: 90_000 });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [stdout, stderr] = await Promise.all([readToEnd(child.stdout), readToEnd(child.stderr)]);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return { code: child.exitCode, stdout, stderr: String(stderr) };
  }

  test('ssh runs a command over its ProxyCommand, and scp copies a file', { timeout: 120_000 }, async () => {
    const proxy = ['-o', `ProxyCommand=${connect.join(' ')} -W %h:%p`, '-o', 'ConnectTimeout=80'];
    const options = [...sshd.clientOptions(), ...proxy];
    const done = await runProgram('ssh', [
      ...options,
      '-p',
      String(sshd.port),
      sshd.login(),
      'echo out; echo err >&2; exit 7',
    ]);
    assert.deepEqual(done, { exitCode: 7, stdout: 'out\n', stderr: 'err\n' }, sshd.log);
    writeFileSync(folder.file('here'), PAGE);
    const copied = await runProgram('scp', [
      ...options,
      '-q',
      '-P',
      String(sshd.port),
      folder.file('here'),
      `${sshd.login()}:${folder.file('there')}`,
    ]);
    assert.deepEqual(copied, { exitCode: 0, stdout: '', stderr: '' }, sshd.log);
    assert.ok(readFileSync(folder.file('there')).equals(PAGE));
  });

  test('stdout carries the bytes of the target and nothing else, with --json too', {
    timeout: 120_000,
  }, async () => {
    const { code, stdout, stderr } = await pipe(PAGE, '--json', '-W', `localhost:${echo.port}`);
    assert.equal(code, 0, stderr);
    assert.ok(stdout.equals(PAGE));
    assert.match(stderr, /^\{"event":"started"/);
    for (const line of stderr.trimEnd().split('\n')) JSON.parse(line);
  });

  test('a target that refuses makes it exit with 1 and one line with the reason', {
    timeout: 120_000,
  }, async () => {
    const { code, stdout, stderr } = await pipe('x', '-W', `localhost:${closed}`);
    assert.equal(code, 1);
    assert.equal(stdout.length, 0);
    assert.match(stderr, /^tox-wasm-tunnel: the far end refused to open the target: .*ECONNREFUSED.*\n$/);
  });
});
