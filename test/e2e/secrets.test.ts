/** Searches the most verbose output of a listener and a connector for secrets. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseTicket } from '../../src/access/ticket.js';
import { createIdentity } from '../../src/state/identity.js';
import type { Role } from '../../src/state/identity_file.js';
import { readIdentity } from '../../src/state/identity_file.js';
import { writeSealedState } from '../support/cheap_state.js';
import { CliProcess } from '../support/cli_process.js';
import { dialLoopback, listenOnLoopback } from '../support/loopback.js';
import { LOOPBACK, localsOf, PrivateNetwork } from '../support/private_network.js';
import { assertSilent, saidBy, secretInTicket, spellings } from '../support/secrets.js';
import { readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

const PASSPHRASE = 'qhzkvw7x82mjqpt4zzr9gx';

describe('secrets', () => {
  const folder = new TempFolder();
  const env = { TOX_WASM_TUNNEL_PASSPHRASE: PASSPHRASE };
  const passphrase = Buffer.from(PASSPHRASE);
  const strays: CliProcess[] = [];
  let network: PrivateNetwork;
  let echo: Target;

  before(async () => {
    // The relay runs at the port in the node's line.
    network = await PrivateNetwork.start({}, ['--port', '0']);
    echo = await Target.echo();
  });
  after(async () => {
    await Promise.all(strays.map((process) => process.stop('SIGKILL')));
    await network.stop();
    await echo.stop();
    folder.remove();
  });

  function start(args: readonly string[], more: NodeJS.ProcessEnv = {}): CliProcess {
    const process = CliProcess.start([...args, ...LOOPBACK, '-vvv'], { env: { ...env, ...more } });
    strays.push(process);
    return process;
  }

  const keyOf = async (role: Role): Promise<Uint8Array> => {
    const identity = await readIdentity({ folder: folder.file(role), role, passphrase });
    assert.ok(identity);
    return identity.secretKey;
  };

  test('appear neither in the output of listener and connector nor in their argument lists', {
    timeout: 150_000,
  }, async () => {
    const join = ['--bootstrap', network.bootstrap];
    const listener = start([
      'listen',
      '--expose',
      String(echo.port),
      '--state',
      folder.file('listener'),
      ...join,
    ]);
    const ticket = String((await listener.event('ready'))['ticket']);
    const forward = ['-L', `0:127.0.0.1:${echo.port}`];
    const connector = start(['connect', ...forward, '--state', folder.file('connector'), ...join], {
      TOX_WASM_TUNNEL_TICKET: ticket,
    });
    await connector.event('peer', (event) => event['status'] === 'online');
    const socket = dialLoopback((await localsOf(connector))[0]?.port ?? 0);
    socket.end('hello');
    assert.equal((await readToEnd(socket)).toString(), 'hello');
    if (process.platform === 'linux') {
      const words = readFileSync(`/proc/${connector.child.pid}/cmdline`, 'utf8');
      assert.ok(!words.includes(ticket.slice(0, 20)), 'the ticket is not an argument');
    }
    await connector.stop();
    await listener.stop();

    const { secret } = parseTicket(ticket);
    const inTicket = secretInTicket(ticket);
    const secrets = [
      ...spellings(secret),
      inTicket,
      ...spellings(await keyOf('listener')),
      ...spellings(await keyOf('connector')),
      PASSPHRASE,
      ...spellings(passphrase),
    ];
    assert.match(listener.stderr, /^(debug|trace): /m, 'the log is verbose');
    assertSilent('the listener', saidBy(listener), secrets);
    assertSilent('the connector', saidBy(connector), secrets);
    assert.throws(
      () => assertSilent('a test', `x${inTicket}`, secrets),
      'the search finds a secret that is present',
    );
  });

  test('of proxies reach only the proxies, and a program that connect runs gets none in its environment', {
    timeout: 150_000,
  }, async () => {
    const [forProxy, forClients] = ['w8rj2kxv9tqh4zcm', 'n5gd7pbx3wyf6sqk'];
    const logins = new Set<string>();
    const proxy = createServer().on('connect', (request, client: Socket) => {
      logins.add(String(request.headers['proxy-authorization']));
      const [host, port] = String(request.url).split(':');
      const onward = connect(Number(port), host, () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
      for (const [one, other] of [
        [client, onward],
        [onward, client],
      ] as const) {
        one.on('error', () => {}).on('close', () => other.destroy());
        one.pipe(other);
      }
    });
    const url = `http://joe:${forProxy}@127.0.0.1:${await listenOnLoopback(proxy)}`;
    writeFileSync(folder.file('socks password'), `${forClients}\n`);
    for (const role of ['listener', 'connector'] as const)
      await writeSealedState(folder.file(`third ${role}`), role, passphrase, {
        identity: createIdentity(),
        access: undefined,
      });
    const join = ['--bootstrap', network.bootstrap];
    const expose = ['--expose', String(echo.port)];
    const listener = start(['listen', ...expose, '--state', folder.file('third listener'), ...join]);
    const ticket = String((await listener.event('ready'))['ticket']);
    const clients = ['--socks-user', 'ann', '--socks-password-file', folder.file('socks password')];
    const connector = start(
      [
        ...['connect', '-D', '0', ...clients, '--state', folder.file('third connector'), ...join],
        ...['--exec', 'env >&2'],
      ],
      { TOX_WASM_TUNNEL_TICKET: ticket, TOX_WASM_TUNNEL_PROXY: url },
    );
    assert.equal(await connector.exited(), 0, connector.stderr);
    await listener.stop();
    proxy.close();

    const login = Buffer.from(`joe:${forProxy}`).toString('base64');
    assert.deepEqual([...logins], [`Basic ${login}`]);
    assert.match(connector.stderr, /^TOX_WASM_TUNNEL_PORT=\d+$/m, 'the program printed its environment');
    const said = [...connector.stderr.split('\n'), ...connector.events.map((event) => JSON.stringify(event))];
    const secrets = [forProxy, login.toLowerCase(), forClients, secretInTicket(ticket), PASSPHRASE];
    assertSilent('the connector, or its program', said.join('\n'), secrets);
    assertSilent('the listener', saidBy(listener), secrets);
  });

  test('appear in no error about the state file or the passphrase', { timeout: 60_000 }, async () => {
    const file = folder.file('plain');
    const state = start(['id', '--export', file, '--state', folder.file('other')]);
    assert.equal(await state.exited(), 2, 'there is no secret to export');
    const key = 'c0ffee'.repeat(10);
    const wrong = 'xw0d9vkzz3q8rjb5tgh2';
    const damaged = folder.file('damaged.json');
    writeFileSync(damaged, `{"secretKey":"${key}" broken`);
    const runs = [
      start(['id', '--import', damaged, '--state', folder.file('other')]),
      start(['listen', '--state', folder.file('listener')], { TOX_WASM_TUNNEL_PASSPHRASE: wrong }),
      start(['connect', '22', '--ephemeral'], { TOX_WASM_TUNNEL_TICKET: `twt1${'3e'.repeat(59)}x` }),
    ];
    for (const run of runs) {
      assert.equal(await run.exited(), 2);
      assertSilent('an error', saidBy(run), [key, wrong, PASSPHRASE, '3e'.repeat(20)]);
    }
  });

  test('are stored where docs/security.md says, and nowhere else', { timeout: 120_000 }, async () => {
    // Files without a passphrase, so that their whole content is readable.
    const plain = { env: {} };
    const nobody = ['--bootstrap', `127.0.0.1:1:${'77'.repeat(32)}`, ...LOOPBACK];
    const [listening, connecting] = ['open listener', 'open connector'].map((name) => folder.file(name));
    assert.ok(listening !== undefined && connecting !== undefined);
    for (const state of [listening, connecting]) {
      mkdirSync(state);
      chmodSync(state, 0o755);
    }
    const listener = CliProcess.start(['listen', '--state', listening, ...nobody], plain);
    strays.push(listener);
    const ticket = String((await listener.event('started'))['ticket']);
    const connector = CliProcess.start(
      ['connect', '-L', '0:127.0.0.1:22', '--state', connecting, ...nobody],
      {
        env: { TOX_WASM_TUNNEL_TICKET: ticket },
      },
    );
    strays.push(connector);
    await connector.event('forward');

    const kept = readdirSync(connecting);
    assert.ok(kept.includes('connector.json'));
    const { secret } = parseTicket(ticket);
    for (const name of kept) {
      if (statSync(join(connecting, name)).isSocket()) continue;
      const text = readFileSync(join(connecting, name), 'utf8');
      assertSilent(name, text, [...spellings(secret), secretInTicket(ticket)]);
    }
    const own: object = JSON.parse(readFileSync(join(connecting, 'connector.json'), 'utf8'));
    assert.deepEqual(Object.keys(own), ['version', 'kind', 'role', 'secretKey', 'publicKey', 'nospam']);
    for (const state of [listening, connecting]) {
      assert.equal(statSync(state).mode & 0o777, 0o700, 'the folder is closed to others');
      for (const name of readdirSync(state)) {
        if (name.includes('.lock.'))
          assertSilent(name, readFileSync(join(state, name), 'utf8'), spellings(secret));
        else assert.equal(statSync(join(state, name)).mode & 0o777, 0o600, name);
      }
    }
    assert.ok(statSync(join(listening, 'listener.sock')).isSocket());
  });
});
