import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { proxyCommand } from '../../src/cli/commands/ssh.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { writeSealedNames } from '../support/cheap_state.js';
import { CliBench } from '../support/cli_bench.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const NODE = '192.0.2.1:33445:7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';
const TICKET = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(7) });
const OURS = '/usr/bin/node /usr/bin/tox-wasm-tunnel connect home';

let temp: TempFolder;
let bench: CliBench;
beforeEach(async () => {
  temp = new TempFolder();
  await benchHere().run('add', 'home', TICKET);
  bench = benchHere();
});
afterEach(() => temp.remove());

const benchHere = (): CliBench => new CliBench(temp.file('state'));

async function sshOf(...args: string[]) {
  const ended = bench.run('ssh', ...args);
  await bench.until(() => bench.programs.length > 0);
  const [program] = bench.programs;
  assert.ok(program, bench.stderr.text);
  return { program, ended };
}

describe('ssh', () => {
  test('gets the tunnel as its ProxyCommand, and all arguments after the name', async () => {
    const { program, ended } = await sshOf('joe@home', '-p', '2222', '-v', '--', 'uptime', '--pretty');
    assert.deepEqual(program.call, {
      words: [
        ...['ssh', '-o', `ProxyCommand=${OURS} -W localhost:%p`, 'joe@home'],
        ...['-p', '2222', '-v', '--', 'uptime', '--pretty'],
      ],
    });
    assert.deepEqual(program.variables, {});
    program.end(7);
    assert.equal(await ended, 7);
    assert.equal(bench.stdout.text + bench.stderr.text, '');
  });

  test('options before the name belong to the tunnel, and paths become absolute', async () => {
    const { program, ended } = await sshOf(
      ...['--no-udp', '--bootstrap', NODE, '--nodes', 'nodes.json', '--state', temp.file('state'), 'home'],
    );
    const words = 'words' in program.call ? program.call.words : [];
    assert.equal(
      words[2],
      `ProxyCommand=${OURS} --bootstrap ${NODE} --nodes ${process.cwd()}/nodes.json --no-udp --state ${temp.file('state')} -W localhost:%p`,
    );
    program.end(0);
    await ended;
  });

  test('gets the signals', async () => {
    const { program, ended } = await sshOf('home');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) bench.signal(signal);
    assert.deepEqual(program.signals, ['SIGINT', 'SIGTERM', 'SIGHUP']);
    program.end(143);
    assert.equal(await ended, 143);
    assert.equal(bench.handlers.size, 0);
  });

  test('gets the passphrase of the environment, for the connect behind it', async () => {
    rmSync(temp.file('state'), { recursive: true });
    await writeSealedNames(temp.file('state'), Buffer.from('opensesame'), new Map([['home', TICKET]]));
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', 'opensesame');
    bench.env.set('TOX_WASM_TUNNEL_PROXY', 'socks5://proxy.lan');
    const { program, ended } = await sshOf('home');
    assert.deepEqual(program.variables, {
      TOX_WASM_TUNNEL_PASSPHRASE: 'opensesame',
      TOX_WASM_TUNNEL_PROXY: 'socks5://proxy.lan',
    });
    program.end(0);
    await ended;
  });

  const refusals: ReadonlyArray<readonly [args: readonly string[], why: RegExp]> = [
    [['ssh', 'nobody'], /"nobody" is neither a ticket, nor a name/],
    [['ssh', TICKET], /ssh needs a name: tox-wasm-tunnel add home TICKET/],
    [['ssh'], /ssh(-config)? needs \[USER@\]NAME, as in/],
    [['ssh', '--', '-oProxyCommand=touch x@home'], /is not \[USER@\]NAME/],
    [['ssh-config', '--', '-l@home'], /is not \[USER@\]NAME/],
    [['ssh-config', 'nobody'], /"nobody" is neither/],
    [['ssh-config', 'a b@home'], /cannot be written to an ssh configuration/],
    [['ssh-config', '--state', 'a\nb', 'home'], /"a\\nb|.*neither/],
  ];
  for (const [args, why] of refusals) {
    test(`${args.join(' ').slice(0, 40)} is rejected, and nothing runs`, async () => {
      assert.equal(await bench.run(...args), 2);
      assert.match(bench.stderr.text, why);
      assert.deepEqual(bench.programs, []);
      assert.equal(bench.stdout.text, '');
    });
  }

  test('explains a missing ssh, and a Node that may not start programs', async () => {
    for (const [code, why] of [
      ['ENOENT', /ssh is not on the PATH; install OpenSSH/],
      ['ERR_ACCESS_DENIED', /--allow-child-process/],
    ] as const) {
      bench.programError = Object.assign(new Error('spawn ssh'), { code });
      assert.equal(await bench.run('ssh', 'home'), 2);
      assert.match(bench.stderr.text, why);
    }
  });
});

describe('ssh-config', () => {
  test('prints the stanza', async () => {
    assert.equal(await bench.run('ssh-config', 'home', '--no-udp'), 0);
    assert.equal(bench.stdout.text, `Host home\n  ProxyCommand ${OURS} --no-udp -W localhost:%p\n`);
    assert.equal(bench.stderr.text, '');
  });

  test('adds the user if one is given', async () => {
    await bench.run('ssh-config', 'joe@HOME');
    assert.equal(bench.stdout.text, `Host home\n  User joe\n  ProxyCommand ${OURS} -W localhost:%p\n`);
  });

  test('warns that the npx cache is temporary', async () => {
    bench.ownCommand = ['/usr/bin/node', '/home/joe/.npm/_npx/1f/node_modules/.bin/tox-wasm-tunnel'];
    await bench.run('ssh-config', 'home');
    assert.match(bench.stderr.text, /npx keeps tox-wasm-tunnel only for a while; install it/);
  });
});

describe('a ProxyCommand', () => {
  const WORDS = [
    ...['plain', 'two words', "joe's", '"quoted"', '$HOME', '`id`', 'a;b', '100%', '%h', 'back\\slash', '*'],
    ...['#no comment', '~', '!x', 'tab\there', ''],
  ];

  for (const shell of ['sh', 'bash']) {
    test(`gives ${shell} exactly the same words`, async () => {
      const line = proxyCommand(['printf', '%s\\n', ...WORDS], 'linux');
      // ssh expands these.
      const expanded = line.replaceAll('%%', '%').replaceAll('%p', '22');
      const { stdout } = await runProgram(shell, ['-c', `exec ${expanded}`]);
      assert.deepEqual(stdout.split('\n').slice(0, -1), [...WORDS, 'localhost:22']);
    });
  }

  test('uses slashes and double quotes on Windows, which all shells accept', () => {
    const words = ['C:\\Program Files\\nodejs\\node.exe', 'C:\\Users\\joe\\main.js', 'connect', 'home', '-W'];
    assert.equal(
      proxyCommand(words, 'win32'),
      '"C:/Program Files/nodejs/node.exe" C:/Users/joe/main.js connect home -W localhost:%p',
    );
    assert.equal(proxyCommand(['C:\\100% mine'], 'win32'), '"C:/100%% mine" localhost:%p');
    assert.throws(() => proxyCommand(['a"b'], 'win32'), /cannot be part of a ProxyCommand on Windows/);
  });

  test('cannot contain a line end', () => {
    for (const platform of ['linux', 'win32'] as const)
      assert.throws(() => proxyCommand(['a\nb'], platform), /cannot be part of an ssh configuration/);
  });
});
