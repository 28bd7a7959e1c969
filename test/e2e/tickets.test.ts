/** Admission with tickets: the command line in separate processes. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { formatTicket, parseTicket } from '../../src/access/ticket.js';
import { createIdentity, publicKeyOf } from '../../src/state/identity.js';
import { openIdentity } from '../../src/state/identity_file.js';
import { type CliProcess, runCli } from '../support/cli_process.js';
import { dialLoopback, ending } from '../support/loopback.js';
import { localsOf, PrivateNetwork } from '../support/private_network.js';
import type { Finished } from '../support/run_program.js';
import { readExactly, readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

/** What a listener reports about requests that it does not answer. */
const DROPPED = /dropped (?:a friend request with an invalid ticket|\d+ friend requests from strangers)/;

describe('tickets', { concurrency: 3 }, () => {
  const folder = new TempFolder();
  const strays: CliProcess[] = [];
  let shared: PrivateNetwork;
  let echo: Target;

  before(async () => {
    shared = await PrivateNetwork.start();
    echo = await Target.echo();
  });

  after(async () => {
    await shared.stop();
    await Promise.all(strays.map((process) => process.stop('SIGKILL')));
    await echo.stop();
    folder.remove();
  });

  const run = (...args: readonly string[]): Promise<Finished> => runCli(args);

  const forward = (): readonly string[] => ['-L', `0:127.0.0.1:${echo.port}`];

  async function echoes(connector: CliProcess, text: string): Promise<void> {
    const socket = dialLoopback((await localsOf(connector))[0]?.port ?? 0);
    socket.end(text);
    assert.equal((await readToEnd(socket)).toString(), text);
  }

  const online = (process: CliProcess) => process.event('peer', (event) => event['status'] === 'online');

  function neverOnline(process: CliProcess): void {
    assert.ok(!process.events.some(({ event }) => event === 'peer'), process.stderr);
  }

  /**
   * Starts a connector whose requests the listener drops, waits until the listener has reported that, which it does
   * with -v at most every 10 s, and stops the connector.
   */
  async function isTurnedAway(listener: CliProcess, ...args: readonly string[]): Promise<void> {
    const reports = listener.stderr.match(new RegExp(DROPPED, 'g'))?.length ?? 0;
    const stranger = shared.start('connect', ...args);
    await listener.said(DROPPED, reports + 1);
    neverOnline(stranger);
    await stranger.stop();
  }

  const stop = (...processes: CliProcess[]) => Promise.all(processes.map((process) => process.stop()));

  test('first use takes two lines, and the first prints the second', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const begunMs = performance.now();
    const listener = network.start('--expose', String(echo.port), '--state', folder.file('first'));
    const { command } = await listener.event('started');
    const words = String(command).split(' ');
    assert.deepEqual(words.slice(0, 2), ['npx', 'tox-wasm-tunnel']);
    const connector = network.start(...words.slice(2, 4), '-p', '0', '--ephemeral');
    await online(connector);
    await echoes(connector, 'first');
    t.diagnostic(
      `from the first line to the first byte: ${((performance.now() - begunMs) / 1000).toFixed(1)} s`,
    );
    await stop(listener, connector);
  });

  test('ticket new --expose none creates a ticket whose holder connects and reaches nothing', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = ['--state', folder.file('idle')];
    const made = await run('ticket', 'new', '--name', 'x', '--expose', 'none', ...state);
    assert.equal(made.exitCode, 0, made.stderr);
    const { listener, ticket } = await network.listen([String(echo.port)], ...state);
    const idle = await network.connect(made.stdout.trim(), forward().slice(1));
    const socket = dialLoopback(idle.locals[0]?.port ?? 0);
    assert.equal((await idle.connector.event('refused'))['reason'], 'not-allowed');
    socket.destroy();
    const { connector } = await network.connect(ticket, forward().slice(1));
    await echoes(connector, 'the default ticket reaches it');
    await stop(listener, idle.connector, connector);
  });

  test('strangers with only the Tox ID, or with another secret, get no answer while a holder does', {
    timeout: 180_000,
  }, async (t) => {
    const network = shared.during(t);
    const { listener, toxId, ticket } = await network.listen([String(echo.port)], '-v');
    const forged = formatTicket({ ...parseTicket(ticket), secret: new Uint8Array(32).fill(1) });
    const strangers = [toxId, forged].map((remote) =>
      network.start('connect', remote, ...forward(), '--ephemeral'),
    );
    const { connector } = await network.connect(ticket, forward().slice(1));
    await echoes(connector, 'let in');
    // Each asked at least once: the listener reports how many requests it dropped.
    await Promise.all(
      strangers.map((stranger) =>
        stranger.event('waiting', ({ message }) => /no answer yet/.test(String(message))),
      ),
    );
    strangers.forEach(neverOnline);
    assert.match(listener.stderr, /dropped \d+ friend requests from strangers/);
    // One peer may be reported more than once (its round trip follows), so check by key that no other peer is
    // present.
    const { toxId: holder } = await connector.event('started');
    const told = listener.events.filter(({ event }) => event === 'peer').map(({ peer }) => String(peer));
    assert.deepEqual([...new Set(told)], [String(holder).slice(0, 64)]);
    await stop(listener, connector, ...strangers);
  });

  test("a bare Tox ID is enough where the listener allows the peer's key, and a denied peer gets in with no ticket", {
    timeout: 180_000,
  }, async (t) => {
    const network = shared.during(t);
    const keyOf = async (name: string): Promise<string> => {
      const opened = await openIdentity({ folder: folder.file(name), role: 'connector', onBusy: 'fail' });
      const identity = createIdentity();
      await opened.save(identity);
      await opened.release();
      return Buffer.from(publicKeyOf(identity.secretKey)).toString('hex');
    };
    const [friend, enemy] = [await keyOf('friend'), await keyOf('enemy')];
    const { listener, toxId, ticket } = await network.listen(
      [String(echo.port)],
      ...['--allow-peer', `laptop=${friend}`, '--deny-peer', enemy, '-v'],
    );
    await isTurnedAway(listener, ticket, ...forward(), '--state', folder.file('enemy'));
    const allowed = network.start('connect', toxId, ...forward(), '--state', folder.file('friend'));
    await online(allowed);
    await echoes(allowed, 'by key');
    await stop(listener, allowed);
  });

  test('a ticket survives a restart; after rotation the old one admits nobody and its peer is disconnected', {
    timeout: 240_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = ['--state', folder.file('rotated')];
    const first = await run('ticket', ...state);
    const listener = network.start('--expose', String(echo.port), ...state, '-v');
    const ticket = String((await listener.event('ready'))['ticket']);
    assert.equal(first.stdout, `${ticket}\n`, 'the ticket was created before the first start');
    const { connector, locals } = await network.connect(ticket, forward().slice(1));
    const held = dialLoopback(locals[0]?.port ?? 0);
    held.write('held');
    await readExactly(held, 4);

    const rotated = await run('ticket', '--rotate', ...state);
    assert.equal(rotated.exitCode, 0, rotated.stderr);
    await ending(held.resume());
    assert.equal(await connector.exited(), 202);
    const error = connector.events.at(-1);
    assert.match(String(error?.['message']), /its ticket was replaced or revoked/);

    await isTurnedAway(listener, ticket, ...forward(), '--ephemeral');
    const { connector: invited } = await network.connect(rotated.stdout.trim(), forward().slice(1));
    await echoes(invited, 'by the new one');
    assert.equal((await run('ticket', ...state)).stdout, rotated.stdout);
    await stop(listener, invited);
  });

  test('a ticket for one peer, one port and a limited time refuses a second peer, another port and later use', {
    timeout: 240_000,
  }, async (t) => {
    const network = shared.during(t);
    const state = ['--state', folder.file('narrow')];
    const other = await Target.echo();
    const listener = network.start('--expose', String(other.port), ...state, '-v');
    await listener.event('ready');
    const made = await run(
      'ticket',
      'new',
      '--name',
      'ci',
      '--expose',
      String(echo.port),
      '--uses',
      '1',
      ...state,
    );
    assert.equal(made.exitCode, 0, made.stderr);
    const ticket = made.stdout.trim();
    const { connector, locals } = await network.connect(ticket, [
      `0:127.0.0.1:${echo.port}`,
      `0:127.0.0.1:${other.port}`,
    ]);
    await echoes(connector, 'narrow');
    const refused = dialLoopback(locals[1]?.port ?? 0);
    assert.equal(await ending(refused.resume()), 'ECONNRESET');
    await listener.event('peer');

    await isTurnedAway(listener, ticket, ...forward(), '--ephemeral');
    const short = await run('ticket', 'new', '--name', 'short', '--expires', '1s', ...state);
    await isTurnedAway(listener, short.stdout.trim(), ...forward(), '--ephemeral');
    const list = await run('ticket', 'list', ...state);
    assert.match(list.stdout, /^ci\tused-up\tused 1 of 1\treaches localhost:\d+$/m);
    assert.match(list.stdout, /^short\texpired$/m);
    assert.equal((await run('ticket', 'revoke', 'ci', ...state)).exitCode, 0);
    assert.equal(await connector.exited(), 202);
    await listener.stop();
    await other.stop();
  });

  test('a ticket from a file, from standard input or from the environment appears in no process list', {
    timeout: 120_000,
  }, async (t) => {
    const network = shared.during(t);
    const { listener, ticket } = await network.listen([String(echo.port)]);
    const file = folder.file('ticket');
    writeFileSync(file, `> ${ticket.slice(0, 60)}\r\n> ${ticket.slice(60).toUpperCase()}\r\n`);
    const fromFile = network.start('connect', '--ticket-file', file, ...forward(), '--ephemeral');
    await online(fromFile);
    await echoes(fromFile, 'from a file');
    assert.ok(!fromFile.child.spawnargs.join(' ').includes(ticket));
    assert.ok(!`${fromFile.stderr}${JSON.stringify(fromFile.events)}`.includes(ticket.slice(60, 100)));
    await stop(listener, fromFile);
  });
});
