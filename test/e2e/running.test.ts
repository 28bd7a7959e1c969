/** Programs that are run with the tunnel up, waiting with an end, and running connectors that are asked. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hasEnded } from '../support/child_process.js';
import { type CliEvent, CliProcess, runCli } from '../support/cli_process.js';
import { dialLoopback } from '../support/loopback.js';
import { LOOPBACK, localsOf, PrivateNetwork } from '../support/private_network.js';
import { CURL, skipWithout } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

/** A Tox ID whose checksum is right and whose key toxcore does not take: its last bit is set. */
const NO_KEY = `${'00'.repeat(31)}80${'00'.repeat(4)}0080`;

describe('connect for programs, and running connectors', { concurrency: 2 }, () => {
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

  function stateFolder(name: string): string[] {
    mkdirSync(folder.file(name), { recursive: true });
    return ['--state', folder.file(name)];
  }

  /** The command line to its end, with its outputs. */
  function cli(...args: readonly string[]) {
    return runCli(args);
  }

  const joined = (): string[] => ['--bootstrap', network.bootstrap, ...LOOPBACK, '--ephemeral'];

  /** A program that says something through the tunnel, prints what comes back, and ends with 7. */
  const TALK = `
    const socket = require('node:net').connect(process.env.TOX_WASM_TUNNEL_PORT, process.env.TOX_WASM_TUNNEL_HOST);
    socket.end('through');
    socket.on('data', (chunk) => process.stdout.write(chunk));
    socket.on('close', () => process.exit(7));`;

  test('a program started before the listener exists runs once it is there, and ends connect with its exit code', {
    timeout: 120_000,
  }, async () => {
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

  test('--exec is for the shell, and a signal to connect reaches it', { timeout: 120_000 }, async () => {
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

  test('--wait ends with 204 when nobody listens, and a Tox ID that toxcore does not take with 102', {
    timeout: 120_000,
  }, async () => {
    const { stdout: ticket } = await cli('ticket', ...stateFolder('nobody'));
    const nobody = await cli('connect', ticket.trim(), '22', '-p', '0', '--wait', '3', ...joined());
    assert.equal(nobody.exitCode, 204);
    assert.match(nobody.stdout, /"returnCode":204/);
    const wrong = await cli('connect', NO_KEY, '22', '-p', '0', '--wait', '60', ...joined());
    assert.equal(wrong.exitCode, 102, wrong.stdout + wrong.stderr);
  });

  test('status tells of listener and connector; a forward that is added is used by curl, and is gone when removed', {
    timeout: 120_000,
    skip: skipWithout(CURL),
  }, async () => {
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
    const processes = status['processes'] as Record<string, unknown>[]; // our own output, looked at below
    assert.deepEqual(
      processes.map(({ role, pid }) => [role, pid]),
      [
        ['listener', listener.child.pid],
        ['connector', connector.child.pid],
      ],
    );
    // Among private addresses alone toxcore takes its relays for the way in.
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
