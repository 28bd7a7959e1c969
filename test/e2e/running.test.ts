/**
 * Programs that run while the tunnel is up, --wait with a time limit, and running connectors that answer
 * questions.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hasEnded } from '../support/child_process.js';
import { type CliEvent, CliProcess, runCli } from '../support/cli_process.js';
import { dialLoopback, ending } from '../support/loopback.js';
import { LOOPBACK, localsOf, PrivateNetwork } from '../support/private_network.js';
import { CURL, skipWithout } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { readExactly, readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

/** A Tox ID with a valid checksum and a key that toxcore rejects: the last bit of the key is set. */
const NO_KEY = `${'00'.repeat(31)}80${'00'.repeat(4)}0080`;

describe('connect with programs, and running connectors', { concurrency: 2 }, () => {
  const folder = new TempFolder();
  let shared: PrivateNetwork;
  let echo: Target;

  before(async () => {
    shared = await PrivateNetwork.start();
    echo = await Target.echo();
  });
  after(async () => {
    await shared.stop();
    await echo.stop();
    folder.remove();
  });

  function stateFolder(name: string): string[] {
    mkdirSync(folder.file(name), { recursive: true });
    return ['--state', folder.file(name)];
  }

  /** Runs the command line to its end and returns its output. */
  function cli(...args: readonly string[]) {
    return runCli(args);
  }

  const joined = (): string[] => ['--bootstrap', shared.bootstrap, ...LOOPBACK, '--ephemeral'];

  /** A program that writes through the tunnel, prints the reply, and exits with 7. */
  const TALK = `
    const socket = require('node:net').connect(process.env.TOX_WASM_TUNNEL_PORT, process.env.TOX_WASM_TUNNEL_HOST);
    socket.end('through');
    socket.on('data', (chunk) => process.stdout.write(chunk));
    socket.on('close', () => process.exit(7));`;

  test('a program started before the listener exists runs once the listener is up, and connect exits with its exit code', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = stateFolder('late');
    const { stdout: ticket } = await cli('ticket', ...state);
    const args = [...joined(), ticket.trim(), '-L', `0:localhost:${echo.port}`];
    const finished = cli('connect', ...args, '--', process.execPath, '-e', TALK);
    await network.listen([String(echo.port)], ...state);
    const { exitCode, stdout, stderr } = await finished;
    assert.equal(exitCode, 7, stderr);
    assert.equal(stdout, 'through');
    assert.match(stderr, /"event":"closed"/);
  });

  test('--exec runs a shell command, and a signal to connect reaches it', { timeout: 120_000 }, async (t) => {
    const network = shared.during(t);
    const { ticket } = await network.listen([String(echo.port)]);
    const words = ['connect', ticket, ...joined().slice(0, 2), ...LOOPBACK, '--ephemeral'];
    const forward = ['-L', `0:localhost:${echo.port}`];
    const shell = await cli(
      ...words,
      ...forward,
      '--exec',
      'echo "$TOX_WASM_TUNNEL_ADDRESS" | cut -d: -f1; exit 9',
    );
    assert.deepEqual([shell.exitCode, shell.stdout], [9, '127.0.0.1\n'], shell.stderr);

    const sleeper = CliProcess.start([
      ...words,
      ...forward,
      '--exec',
      'echo \'{"event":"up"}\'; exec sleep 600',
    ]);
    await sleeper.event('up');
    assert.equal(await sleeper.stop('SIGTERM'), 143);
    assert.match(sleeper.stderr, /"event":"closed"/);
  });

  test('--wait exits with 204 when nobody listens, and with 102 for a Tox ID that toxcore rejects', {
    timeout: 120_000,
  }, async () => {
    const { stdout: ticket } = await cli('ticket', ...stateFolder('nobody'));
    const nobody = await cli('connect', ticket.trim(), '22', '-p', '0', '--wait', '3', ...joined());
    assert.equal(nobody.exitCode, 204);
    assert.match(nobody.stdout, /"returnCode":204/);
    const wrong = await cli('connect', NO_KEY, '22', '-p', '0', '--wait', '60', ...joined());
    assert.equal(wrong.exitCode, 102, wrong.stdout + wrong.stderr);
  });

  test('a second connector serves its forward through the first until it ends, even by SIGKILL', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = stateFolder('lender');
    const { ticket } = await network.listen([String(echo.port)]);
    const words = ['connect', ticket, '-L', `0:localhost:${echo.port}`, ...state];
    const first = network.start(...words);
    await first.event('peer', (event) => event['status'] === 'online');
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      // With --bind it would have a connection of its own.
      const second = CliProcess.start([...words, '--bootstrap', network.bootstrap, '--no-lan', '--json']);
      const { local } = await second.event('forward');
      const port = Number(String(local).split(':').at(-1));
      const client = dialLoopback(port);
      for (const text of ['in', 'use']) {
        client.write(text);
        assert.equal(String(await readExactly(client, text.length)), text);
      }
      assert.equal(hasEnded(second.child), false);
      const isIt = (event: CliEvent) => event['local'] === local;
      second.child.kill(signal);
      assert.equal(await second.exited(), signal === 'SIGTERM' ? 0 : null);
      await first.event('removed', isIt);
      assert.equal(await ending(dialLoopback(port)), 'ECONNREFUSED');
      client.destroy();
    }
    assert.equal(hasEnded(first.child), false);
  });

  test('status shows listener and connector; curl uses an added forward, which is gone after its removal', {
    timeout: 120_000,
    skip: skipWithout(CURL),
  }, async (t) => {
    const network = shared.during(t);
    const state = stateFolder('asked');
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello';
    const web = await Target.start();
    const { listener, ticket } = await network.listen(
      [String(echo.port), String(web.port)],
      ...state,
      '--allow-reverse',
      '0',
    );
    const connector = network.start('connect', ticket, '-L', `0:localhost:${echo.port}`, ...state);
    await connector.event('peer', (event) => event['status'] === 'online');

    const [added] = await ask('forwards', 'forward', 'add', '-L', `0:localhost:${web.port}`);
    const url = `http://${String(added?.['listen'])}/`;
    const fetched = runProgram('curl', ['-s', url]);
    const served = await web.connection();
    served.end(answer);
    assert.equal((await fetched).stdout, 'hello');

    const [reverse] = await ask('forwards', 'forward', 'add', '-R', `0:localhost:${echo.port}`);
    assert.equal(reverse?.['status'], 'open');
    const back = dialLoopback(Number(String(reverse['listen']).split(':').at(-1)));
    back.end('back');
    assert.equal((await readToEnd(back)).toString(), 'back');
    const refused = await cli('forward', 'add', '-R', '9:localhost:9', ...state);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /does not open 9:localhost:9: .*nothing was added/);

    const status = await one('status', 'status');
    const processes = status['processes'] as Record<string, unknown>[]; // our own output, checked below
    assert.deepEqual(
      processes.map(({ role, pid }) => [role, pid]),
      [
        ['listener', listener.child.pid],
        ['connector', connector.child.pid],
      ],
    );
    // With private addresses only, toxcore reports its relays as the path.
    for (const { network: path } of processes) assert.match(String(path), /^(udp|relay)$/);
    const { forwards, peers } = processes[1] as { forwards: unknown[]; peers: { path?: string }[] }; // as above
    assert.deepEqual([forwards.length, peers.length, peers[0]?.path], [3, 1, 'udp']);

    await one('changed', 'forward', 'rm', '-L', String(added?.['listen']));
    assert.notEqual((await runProgram('curl', ['-s', url])).exitCode, 0);
    assert.equal((await localsOf(connector, 2)).length, 2);
    assert.equal(hasEnded(connector.child), false);
    await web.stop();

    async function one(event: string, ...words: readonly string[]): Promise<CliEvent> {
      const asker = CliProcess.start([...words, ...state, '--json']);
      const told = await asker.event(event);
      assert.equal(await asker.exited(), 0);
      return told;
    }
    async function ask(event: string, ...words: readonly string[]): Promise<Record<string, unknown>[]> {
      return (await one(event, ...words))['forwards'] as Record<string, unknown>[]; // our own output
    }
  });
});
