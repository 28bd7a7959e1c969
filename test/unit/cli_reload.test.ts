import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import type { AccessPolicy } from '../../src/index.js';
import { parseExposeSpec, printRule } from '../../src/rules/expose.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const temp = new TempFolder();
after(() => temp.remove());

const KEY = 'AB'.repeat(32);

let bench = new CliBench();
let count = 0;
let config = '';
beforeEach(() => {
  bench = new CliBench();
  bench.hasTerminal = false;
  config = temp.file(`config-${count++}.json`);
});

// A test that fails leaves its listener running.
afterEach(() => bench.signal('SIGTERM'));

const write = (listen: object): void => writeFileSync(config, JSON.stringify({ listen }));
const opened = (): string[] =>
  bench.tunnel.rules.list().map((rule) => printRule(rule).replace('localhost:', ''));

async function listening(...args: string[]): Promise<{ ended: Promise<number> }> {
  return await bench.start(/Listening|"started"/, 'listen', '--config', config, ...args);
}

async function reload(shown: RegExp): Promise<void> {
  bench.stderr.text = '';
  bench.signal('SIGHUP');
  await bench.shown(shown);
}

async function stop({ ended }: { ended: Promise<number> }): Promise<void> {
  bench.signal('SIGTERM');
  assert.equal(await ended, 0);
}

describe('SIGHUP to a listener without a terminal', () => {
  test('applies the rules of its configuration in one step, and keeps rules that were added while it runs', async () => {
    write({ expose: ['22', '80'], 'allow-reverse': ['8080'] });
    const running = await listening();
    const changes: string[][] = [];
    bench.tunnel.rules.add(parseExposeSpec('443'));
    bench.tunnel.rules.onChange(() => changes.push(opened()));
    write({ expose: ['80', '5432'], 'allow-reverse': ['9090'] });
    await reload(/Reloaded: .*/);
    assert.match(
      bench.stderr.text,
      /Reloaded: added 5432; added --allow-reverse 9090; removed 22; removed --allow-reverse 8080/,
    );
    assert.deepEqual(new Set(opened()), new Set(['80', '443', '5432']));
    assert.deepEqual(changes.length, 1, 'no moment in which a rule was missing');
    assert.deepEqual(
      bench.tunnel.reverseRules.list().map(({ ports }) => ports.from),
      [9090],
    );
    await stop(running);
  });

  test('keeps everything as it was when the file is broken, and names the line and column', async () => {
    write({ expose: ['22'] });
    const running = await listening();
    for (const [text, why] of [
      ['{\n  "listen": { "expose": [22], }\n}', /config-\d+\.json:2:31: invalid JSON/],
      [
        '{\n  "listen": {\n    "exposed": [22]\n  }\n}',
        /config-\d+\.json:3:5: "listen" has no option "exposed"/,
      ],
      ['{"listen": {"expose": ["1:2:3:4"]}}', /--expose "1:2:3:4"/],
      ['{"listen": {"expose": [80], "allow-peer": ["x"]}}', /--allow-peer/],
      ['{"listen": {"expose": ["nobody:lan:80"]}}', /nobody/],
    ] as const) {
      writeFileSync(config, text);
      await reload(/nothing has changed/);
      assert.match(bench.stderr.text, why);
      assert.deepEqual(opened(), ['22']);
    }
    write({ expose: ['80'] });
    bench.signal('SIGHUP');
    await bench.until(() => opened()[0] === '80');
    await stop(running);
  });

  test('applies allowed and denied peers, and rules for their names', async () => {
    write({ expose: ['22'] });
    const running = await listening();
    // The bench gives a listener what a connector has not.
    const { access } = bench.tunnel as unknown as { readonly access: AccessPolicy };
    write({ expose: ['22', 'laptop:80'], 'allow-peer': [`laptop=${KEY}`] });
    await reload(/Reloaded: added laptop:80; added --allow-peer/);
    assert.ok(access.isName('laptop'));
    assert.deepEqual(opened(), ['22', 'laptop:80']);
    write({ expose: ['22'], 'deny-peer': [KEY] });
    await reload(/removed laptop:80/);
    assert.ok(!access.isName('laptop'));
    assert.ok(access.isDenied(KEY));
    write({ expose: ['22'] });
    await reload(/removed --deny-peer/);
    assert.ok(!access.isDenied(KEY));
    await stop(running);
  });

  test('lets a rule for a ticket or a peer that is gone open nothing, and says so; it applies to a new one', async () => {
    write({
      expose: ['80', 'laptop:22', 'desk:10.0.0.0/8:23'],
      'allow-reverse': ['laptop:0.0.0.0:90'],
      'allow-peer': [`desk=${KEY}`],
    });
    const state = ['--state', temp.file(`state-${count++}`)];
    const args = ['--config', config, ...state];
    assert.equal(await new CliBench().run('ticket', 'new', 'laptop', ...state), 0);
    const running = await bench.start(/Listening/, 'listen', ...args);
    const all = ['80', 'laptop:22', 'desk:10.0.0.0/8:23'];
    assert.deepEqual(opened(), all);
    const other = new CliBench();
    assert.equal(await other.run('ticket', 'revoke', 'laptop', ...state), 0);
    assert.match(
      other.stderr.text,
      /went with it: laptop:localhost:22 --allow-reverse laptop:0\.0\.0\.0:90\./,
    );
    const warning = /Warning: --expose laptop:22 opens nothing.*write laptop\.:PORT/;
    assert.match(bench.stderr.text, warning);
    assert.deepEqual(opened(), ['80', 'desk:10.0.0.0/8:23']);
    write({ expose: all, 'allow-reverse': ['laptop:0.0.0.0:90'] });
    await reload(/Reloaded: .*/);
    await bench.until(() => bench.stderr.text.includes('Reloaded'));
    assert.match(bench.stderr.text, /Reloaded: removed desk:10\.0\.0\.0\/8:23; removed --allow-peer desk=/);
    assert.match(bench.stderr.text, warning);
    assert.match(bench.stderr.text, /Warning: --allow-reverse laptop:0\.0\.0\.0:90 opens nothing/);
    assert.deepEqual(opened(), ['80']);
    await stop(running);

    bench = new CliBench();
    const again = await bench.start(/Listening/, 'listen', ...args);
    assert.deepEqual(opened(), ['80']);
    assert.equal(bench.tunnel.reverseRules.list().length, 0);
    assert.match(bench.stderr.text, warning);
    assert.match(bench.stderr.text, /Warning: --expose desk:10\.0\.0\.0\/8:23 opens nothing/);
    assert.equal(await new CliBench().run('ticket', 'new', 'laptop', ...state), 0);
    assert.deepEqual(opened(), ['80', 'laptop:22']);
    await stop(again);
  });

  test('remembers the name of a ticket that is revoked while no listener runs', async () => {
    write({ expose: ['80', 'laptop:22'] });
    const state = ['--state', temp.file(`state-${count++}`)];
    const other = new CliBench();
    assert.equal(await other.run('ticket', 'new', 'laptop', ...state), 0);
    assert.equal(await other.run('ticket', 'revoke', 'laptop', ...state), 0);
    assert.match(other.stderr.text, /Rules for laptop .* open nothing from now on/);
    const running = await listening(...state);
    assert.deepEqual(opened(), ['80']);
    await stop(running);
  });

  test('refuses a rule for a word that never was a name, unless a dot makes it a host', async () => {
    write({ expose: ['80'] });
    const running = await listening();
    write({ expose: ['laptop:22'] });
    await reload(/nothing has changed/);
    assert.match(
      bench.stderr.text,
      /laptop is neither a ticket nor an allowed peer; for the host of that name write laptop\.:22/,
    );
    write({ expose: ['laptop.:22'] });
    await reload(/Reloaded: added laptop\.:22; removed 80/);
    assert.deepEqual(opened(), ['laptop.:22']);
    await stop(running);
  });

  test('never opens the loopback: without any rule left, nothing is open', async () => {
    write({ expose: ['22'] });
    const running = await listening();
    write({ 'max-peers': 7 });
    await reload(/no rule is left, so nothing is open/);
    assert.deepEqual(opened(), []);
    assert.ok(!bench.tunnel.rules.isDefault);
    assert.match(bench.stderr.text, /only a restart applies it: max-peers/);
    await reload(/no rule and no forward has changed/);
    await stop(running);
  });

  test('closes the loopback, which was open by default, when the configuration gets a rule', async () => {
    write({});
    const running = await listening();
    assert.ok(bench.tunnel.rules.isDefault);
    write({ expose: [] });
    await reload(/Reloaded/);
    assert.ok(!bench.tunnel.rules.isDefault);
    assert.deepEqual(opened(), []);
    await stop(running);
  });

  test('names what needs a restart, also when a file of nodes has changed', async () => {
    const nodes = temp.file('nodes.json');
    const node = (port: number) => ({ ipv4: '192.0.2.1', ipv6: '-', port, tcp_ports: [], public_key: KEY });
    writeFileSync(nodes, JSON.stringify({ nodes: [node(1)] }));
    write({ expose: ['22'], nodes: [nodes] });
    const running = await listening();
    writeFileSync(nodes, JSON.stringify({ nodes: [node(2)] }));
    write({ expose: ['22'], nodes: [nodes], patience: 9, 'no-lan': true });
    await reload(/only a restart applies it: .*/);
    for (const option of ['patience', 'no-lan', 'nodes'])
      assert.match(bench.stderr.text, new RegExp(`: .*\\b${option}\\b`));
    await stop(running);
  });

  test('applies the log level', async () => {
    write({ expose: ['22'], verbose: 2 });
    const running = await listening();
    const { logger } = bench.calls[0]?.options ?? {};
    assert.ok(logger !== undefined);
    assert.equal(logger.level, 'debug');
    write({ expose: ['22'], quiet: true });
    bench.signal('SIGHUP');
    await bench.until(() => logger.level === 'info');
    bench.stderr.text = '';
    logger.log('warn', 'not shown');
    assert.equal(bench.stderr.text, '');
    await stop(running);
  });

  test('reopens the audit log, with and without a configuration', async () => {
    for (const args of [['--config', config], []]) {
      const file = temp.file(`audit-${count++}`);
      write({});
      const running = await bench.start(
        /Listening/,
        'listen',
        '--expose',
        '22',
        '--audit-log',
        file,
        ...args,
      );
      renameSync(file, `${file}.1`);
      await reload(/Reloaded/);
      bench.tunnel.emit('audit', { audit: 'strangers', count: 3 });
      await bench.until(() => existsSync(file) && readFileSync(file, 'utf8').includes('strangers'));
      assert.match(readFileSync(`${file}.1`, 'utf8'), /"started"/);
      await stop(running);
      bench = new CliBench();
      bench.hasTerminal = false;
    }
  });

  test('is reported as an event to programs', async () => {
    write({ expose: ['22'] });
    const running = await listening('--json');
    writeFileSync(config, '{');
    bench.signal('SIGHUP');
    await bench.shown(/"reloaded"/);
    const event = bench.stdout.events.find((each) => each.event === 'reloaded');
    assert.deepEqual(Object.keys(event ?? {}), ['event', 'ok', 'message', 'restart']);
    await stop(running);
  });
});

describe('SIGHUP to a connector without a terminal', () => {
  const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

  test('adds and removes forwards, and takes a new password of its proxy', async () => {
    const password = temp.file('password');
    writeFileSync(password, 'first', { mode: 0o600 });
    const settings = (local: string[], more: object = {}): void =>
      writeFileSync(
        config,
        JSON.stringify({
          connect: { local, dynamic: ['1080'], 'socks-user': 'u', 'socks-password-file': password, ...more },
        }),
      );
    settings(['2222:localhost:22', '8080:localhost:80']);
    const running = await bench.start(/proxy/, 'connect', ID, '5432', '--config', config);
    settings(['8080:localhost:80', '9090:localhost:90'], { patience: 9 });
    writeFileSync(password, 'second');
    await reload(/only a restart/);
    assert.match(
      bench.stderr.text,
      /removed -L 2222:localhost:22; removed -D 1080; added -L 9090:localhost:90; added -D/,
    );
    assert.match(bench.stderr.text, /a restart applies it: patience$/m);
    assert.deepEqual(bench.tunnel.closed, ['127.0.0.1:2222', '127.0.0.1:1080']);
    assert.deepEqual(
      bench.tunnel.dynamics.map(({ credentials }) => credentials?.password),
      ['first', 'second'],
    );
    assert.equal(bench.tunnel.forwards.length, 4);
    assert.doesNotMatch(bench.stderr.text + bench.stdout.text, /first|second/);
    await stop(running);
  });

  test('removes only the forward that is gone from several at any free port', async () => {
    const settings = (...targets: string[]): void =>
      writeFileSync(
        config,
        JSON.stringify({ connect: { reverse: targets.map((target) => `0:localhost:${target}`) } }),
      );
    settings('22', '80');
    const running = await bench.start(/localhost:80/, 'connect', ID, '--config', config);
    settings('80');
    await reload(/Reloaded: removed -R 0:localhost:22$/m);
    assert.deepEqual(bench.tunnel.closed, ['-R 0']);
    await stop(running);
  });

  test('says that a new ticket needs a restart, and keeps all when the file of the ticket is damaged', async () => {
    const file = temp.file('ticket');
    writeFileSync(file, ID, { mode: 0o600 });
    const running = await bench.start(/Forwarding/, 'connect', '--ticket-file', file, '22', '-p', '2222');
    writeFileSync(file, 'nonsense');
    await reload(/not reloaded, and nothing has changed/);
    writeFileSync(file, bench.tunnel.toxId);
    await reload(/a restart applies it: the ticket/);
    await stop(running);
  });
});
