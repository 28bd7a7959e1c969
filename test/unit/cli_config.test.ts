import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { configSchema } from '../../src/cli/options/config_options.js';
import { readPassphrase } from '../../src/cli/options/passphrase.js';
import { buildProgram } from '../../src/cli/program.js';
import { nearest } from '../../src/core/arguments.js';
import { readIdentity } from '../../src/state/identity_file.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const KEY = '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';
const NODE = `192.0.2.1:33445:${KEY}`;

let temp: TempFolder;
let file = '';
let bench: CliBench;
beforeEach(() => {
  temp = new TempFolder();
  file = temp.file('config.json');
  bench = benchHere();
});
afterEach(() => temp.remove());

const benchHere = (): CliBench => new CliBench(temp.file('state'));

const write = (config: unknown): void => writeFileSync(file, JSON.stringify(config));

async function start(...args: string[]) {
  const { ended } = await bench.start(/Listening|Forwarding|Bootstrap node|"forward"/, ...args);
  bench.signal();
  assert.equal(await ended, 0);
  const [call] = bench.calls;
  assert.ok(call);
  return call;
}

const hosts = (call: Awaited<ReturnType<typeof start>>) => call.options.bootstrap?.map(({ host }) => host);

describe('--config', () => {
  test('sets texts, numbers, lists and switches by command', async () => {
    write({
      $schema: './config.schema.json',
      listen: {
        expose: [22, 'db.lan:5432'],
        'max-peers': 3,
        'no-lan': true,
        'no-udp': false,
        patience: '90',
        ephemeral: true,
        bootstrap: [NODE],
      },
      connect: { local: ['1:localhost:1'] },
    });
    const { what, options } = await start('listen', '--config', file);
    assert.equal(what, 'listen');
    assert.equal(options.expose?.length, 2);
    assert.deepEqual(options.limits, { maxPeers: 3 });
    assert.equal(options.lanDiscovery, false);
    assert.equal(options.udp, undefined);
    assert.equal(options.patienceMs, 90_000);
    assert.equal(options.bootstrap?.length, 1);
    assert.equal(options.identity, undefined);
  });

  test('applies to the short forms, and may come before the command', async () => {
    write({ listen: { expose: ['22'] }, connect: { 'local-port': 2222, ephemeral: true } });
    assert.equal((await start('--config', file)).options.expose?.length, 1);
    for (const args of [
      [ID, '22', '--config', file],
      ['--config', file, 'connect', ID, '22'],
    ]) {
      bench = benchHere();
      assert.equal((await start(...args)).what, 'connect');
      assert.deepEqual(
        bench.tunnel.forwards.map(({ bind }) => bind),
        [{ host: '127.0.0.1', port: 2222, isDefault: true }],
      );
    }
  });

  test('the command line overrides the file, and a list there replaces the list of the file', async () => {
    write({ listen: { bootstrap: [NODE, NODE], 'max-peers': 3, state: '/nowhere/a', verbose: 2 } });
    const instead = NODE.replace('.1:', '.2:');
    for (const args of [
      ['listen', '--bootstrap', instead, '--max-peers', '5', '--state', bench.stateFolder],
      ['--bootstrap', instead, '--max-peers', '5', '--state', bench.stateFolder, 'listen'],
    ]) {
      bench = benchHere();
      const call = await start(...args, '--config', file);
      assert.deepEqual(hosts(call), ['192.0.2.2']);
      assert.deepEqual(call.options.limits, { maxPeers: 5 });
      assert.equal(
        call.options.logger?.level,
        'debug',
        'options that the command line does not set come from the file',
      );
    }
  });

  test('"all" applies to every command that has the option, and the section of the command overrides it', async () => {
    write({
      all: { bootstrap: [NODE], 'no-lan': true, ephemeral: true, 'max-peers': 4 },
      listen: { 'no-lan': false, bootstrap: [NODE, NODE] },
    });
    const listening = await start('listen', '--config', file);
    assert.equal(listening.options.bootstrap?.length, 2);
    assert.equal(listening.options.lanDiscovery, undefined);
    assert.deepEqual(listening.options.limits, { maxPeers: 4 });
    bench = benchHere();
    const node = await start('node', '--config', file);
    assert.equal(node.options.bootstrap?.length, 1);
    assert.equal(node.options.lanDiscovery, false);
  });

  test('output options of the file apply: JSON events', async () => {
    write({ connect: { json: true, local: ['0:localhost:22'], ephemeral: true } });
    await start('connect', ID, '--config', file);
    assert.equal(bench.stdout.events[0]?.event, 'started');
    assert.equal(bench.stderr.text, '');
  });

  const bad: ReadonlyArray<readonly [config: unknown, why: RegExp]> = [
    [[], /config\.json:1:1: expected an object/],
    [null, /expected an object/],
    [{ lisen: {} }, /config\.json:1:2: "lisen" is not a command; did you mean "listen"\?/],
    [{ zzzzzzzz: {} }, /"zzzzzzzz" is not a command\n/],
    [{ listen: [] }, /config\.json:1:11: expected an object/],
    [
      { listen: { expsoe: ['22'] } },
      /config\.json:1:12: "listen" has no option "expsoe"; did you mean "expose"\?/,
    ],
    [{ listen: { '--expose': ['22'] } }, /no option "--expose"; did you mean "expose"\?/],
    [{ listen: { maxPeers: 3 } }, /no option "maxPeers"; did you mean "max-peers"\?/],
    [{ listen: { local: ['1:a:1'] } }, /"listen" has no option "local"/],
    [{ connect: { expose: ['22'] } }, /"connect" has no option "expose"/],
    [{ listen: { config: 'x' } }, /"listen" has no option "config"/],
    [{ listen: { help: true } }, /"listen" has no option "help"/],
    [{ listen: { expose: '22' } }, /"expose" must be a list of strings or whole numbers/],
    [{ listen: { expose: [1.5] } }, /"expose" must be a list/],
    [{ listen: { 'max-peers': true } }, /"max-peers" must be a string or a whole number/],
    [{ listen: { 'no-udp': 1 } }, /"no-udp" must be true or false/],
    [{ listen: { verbose: 4 } }, /"verbose" must be a number from 0 to 3/],
    [{ listen: { 'max-peers': 9999 } }, /--max-peers "9999" is not a number from 1 to 8192/],
    [{ node: { portt: 1 }, listen: {} }, /"node" has no option "portt"; did you mean "port"\?/],
    [JSON.parse('{"__proto__":{}}'), /"__proto__" is not a command/],
  ];
  for (const [config, why] of bad) {
    test(`${JSON.stringify(config)} is rejected, whatever the command`, async () => {
      write(config);
      assert.equal(await bench.run('listen', '--config', file), 2);
      assert.match(bench.stderr.text, why);
      assert.deepEqual(bench.calls, []);
    });
  }

  test('rejects a file that is missing or not JSON', async () => {
    assert.equal(await bench.run('--config', temp.file('nothing')), 2);
    assert.match(bench.stderr.text, /nothing: cannot be read: there is no such file or folder/);
    writeFileSync(file, '{"listen":');
    assert.equal(await bench.run('--config', file), 2);
    assert.match(bench.stderr.text, /config\.json:1:\d+: invalid JSON from here on\n/);
    for (const text of [
      '{"listen":\r\n{"proxy":"http://joe:hunter2@10.0.0.1",}}',
      '{"listen":{"quiet":\rrue,"proxy":"hunter2"}}',
      '{"listen":{"proxy":hunter2}}',
      '{"listen":{"proxy":"hunter2\t"}}',
      '{"listen":{"proxy":"hunter2","proxy":"hunter2"}}',
      '{"listen":{"proxy":["hunter2"]}}',
    ]) {
      bench.stderr.text = '';
      writeFileSync(file, text);
      assert.equal(await bench.run('-vv', '--config', file), 2);
      assert.doesNotMatch(bench.stderr.text, /hunter2/);
    }
    writeFileSync(file, '{"listen":\r\n{"quiet":true,\n}}');
    await bench.run('--config', file);
    assert.match(bench.stderr.text, /config\.json:3:1: invalid JSON from here on\n/);
  });
});

describe('the rules of a configuration', () => {
  test('an empty list of either kind opens nothing, not even the loopback', async () => {
    for (const config of [
      { listen: { expose: [] } },
      { listen: { 'allow-reverse': [] } },
      { all: { expose: [] } },
      { all: { expose: [22] }, listen: { expose: [] } },
      { listen: { expose: ['none'] } },
      { listen: { 'allow-reverse': [8080] } },
    ]) {
      for (const args of [['listen'], []]) {
        bench = benchHere();
        write(config);
        const { options } = await start(...args, '--config', file);
        assert.deepEqual(options.expose, [], JSON.stringify(config));
      }
    }
  });

  test('only a file without rules leaves the loopback open', async () => {
    write({ listen: { 'max-peers': 3, bootstrap: [] }, connect: { local: [] } });
    assert.equal((await start('listen', '--config', file)).options.expose, 'loopback');
  });

  test('the command line replaces an empty list, and --expose none replaces a full one', async () => {
    write({ listen: { expose: [] } });
    assert.equal((await start('listen', '--config', file, '--expose', '22')).options.expose?.length, 1);
    bench = benchHere();
    write({ listen: { expose: [22] } });
    assert.deepEqual((await start('listen', '--config', file, '--expose', 'none')).options.expose, []);
  });

  test('rejects an empty or blank rule', async () => {
    for (const expose of [[''], [' '], ['none', 22]]) {
      bench = benchHere();
      write({ listen: { expose } });
      assert.equal(await bench.run('listen', '--config', file), 2);
      assert.deepEqual(bench.calls, []);
    }
  });
});

describe('a configuration that sets a key twice', () => {
  const twice: ReadonlyArray<readonly [text: string, says: RegExp]> = [
    [
      '{\n  "listen": { "expose": [22],\n    "expose": [] }\n}',
      /config\.json:3:5: "expose" is set twice, first at \S+config\.json:2:15; keep one/,
    ],
    ['{"listen":{"expose":[22]},"listen":{}}', /config\.json:1:27: "listen" is set twice/],
    ['{"$schema":"a","$schema":"a"}', /"\$schema" is set twice/],
    ['{"listen":{"expose":[22],"\\u0065xpose":[]}}', /"expose" is set twice/],
    ['{"listen":{"exposed":1,"exposed":2}}', /is set twice|no option "exposed"/],
  ];
  for (const [text, says] of twice) {
    test(`${JSON.stringify(text)} is rejected, with both places`, async () => {
      writeFileSync(file, text);
      assert.equal(await bench.run('nodes', '--config', file), 2);
      assert.match(bench.stderr.text, says);
      assert.equal(bench.stderr.lines.length, 1);
      assert.deepEqual(bench.calls, []);
    });
  }

  test('comments, trailing commas and control characters are not JSON', async () => {
    for (const text of [
      '{"listen":{} // none\n}',
      '{"listen":{},}',
      '{"listen":{"state":"a\tb"}}',
      "{'listen':{}}",
      '',
    ]) {
      bench = benchHere();
      writeFileSync(file, text);
      assert.equal(await bench.run('nodes', '--config', file), 2, text);
      assert.match(bench.stderr.text, /config\.json(:\d+:\d+)?: invalid JSON/);
    }
  });

  test('rejects the deepest nesting that the size allows, without a crash', async () => {
    writeFileSync(file, `{"listen":${'['.repeat(400_000)}${']'.repeat(400_000)}}`);
    assert.equal(await bench.run('nodes', '--config', file), 2);
    assert.match(bench.stderr.text, /config\.json: its lists or objects are nested too deeply\n$/);
  });
});

describe('docs/config.schema.json', () => {
  test('matches the grammar; npm run schema writes it', async () => {
    const program = await buildProgram();
    const written = readFileSync(new URL('../../docs/config.schema.json', import.meta.url), 'utf8');
    assert.equal(written, `${JSON.stringify(configSchema(program), null, 2)}\n`);
  });
});

describe('commands that look into the state folder of others', () => {
  const ELSEWHERE = 'elsewhere';
  const here = (): string => temp.file(ELSEWHERE);

  test('use the folder that the file names for listen: one identity, and none is made in another', async () => {
    write({ listen: { state: here(), expose: ['22'] } });
    for (const args of [['ticket'], ['id'], ['ticket', 'list']]) {
      bench = benchHere();
      assert.equal(await bench.run(...args, '--config', file), 0, bench.stderr.text);
    }
    bench = benchHere();
    const { identity } = (await start('listen', '--config', file)).options;
    assert.notEqual(identity, undefined);
    assert.deepEqual(await readIdentity({ folder: here(), role: 'listener' }), identity);
    assert.ok(!existsSync(bench.stateFolder), 'nothing was made in the default folder');
    for (const args of [['peers'], ['rule', 'list'], ['status']]) {
      bench = benchHere();
      assert.equal(await bench.run(...args, '--config', file), 1);
      assert.match(bench.stderr.text, /with the state folder .*elsewhere/);
    }
  });

  test('use the folder that the file names for connect', async () => {
    write({ listen: { state: temp.file('other') }, connect: { state: here() } });
    assert.equal(await bench.run('add', 'home', ID, '--config', file), 0, bench.stderr.text);
    assert.ok(existsSync(`${here()}/names.json`));
    bench = benchHere();
    assert.equal(await bench.run('forward', 'list', '--config', file), 1);
    assert.match(bench.stderr.text, /elsewhere/);
    bench = benchHere();
    assert.equal(await bench.run('status', '--config', file), 1);
    assert.match(bench.stderr.text, /state folder .*other or .*elsewhere/, 'status asks both');
    assert.ok(!existsSync(bench.stateFolder));
  });

  test('prefer a folder of the command line, then one of their own section', async () => {
    write({ all: { state: temp.file('all') }, listen: { state: here() }, id: { state: temp.file('own') } });
    assert.equal(await bench.run('id', '--config', file), 0);
    assert.ok(existsSync(temp.file('own/listener.json')));
    bench = benchHere();
    assert.equal(await bench.run('id', '--config', file, '--state', temp.file('line')), 0);
    assert.ok(existsSync(temp.file('line/listener.json')));
    assert.ok(!existsSync(here()));
  });

  test('use the passphrase of the section too', async () => {
    writeFileSync(temp.file('secret'), 'passphrase');
    write({ all: { state: here() }, listen: { 'passphrase-file': temp.file('secret'), expose: ['22'] } });
    assert.equal(await bench.run('id', '--config', file), 0, bench.stderr.text);
    assert.match(readFileSync(`${here()}/listener.json`, 'utf8'), /"encrypted"/);
  });

  test('make no identity for a listener that has none to keep', async () => {
    write({ listen: { ephemeral: true } });
    for (const command of ['id', 'ticket', 'peers']) {
      bench = benchHere();
      assert.equal(await bench.run(command, '--config', file), 2);
      assert.match(bench.stderr.text, /"listen" is ephemeral.*--state DIR/);
    }
    assert.ok(!existsSync(bench.stateFolder));
  });

  test('say when they make an identity', async () => {
    for (const command of ['id', 'ticket']) {
      bench = new CliBench(temp.file(command));
      assert.equal(await bench.run(command), 0);
      assert.match(bench.stderr.text, /There is no identity yet; creating .*listener\.json/);
      assert.equal(await bench.run(command), 0);
      assert.equal(bench.stderr.text.match(/creating/g)?.length, 1);
    }
  });
});

describe('a byte order mark, which some editors write', () => {
  test('is skipped in configurations, tickets, lists of nodes, passwords and passphrases', async () => {
    const put = (name: string, text: string): string => {
      writeFileSync(temp.file(name), `\ufeff${text}`);
      return temp.file(name);
    };
    const config = put('marked.json', JSON.stringify({ connect: { ephemeral: true } }));
    put('secret', 'pass\n');
    const list = { nodes: [{ ipv4: '192.0.2.1', port: 33445, public_key: KEY }] };
    const forwarded = await start(
      ...['connect', '--config', config, '--ticket-file', put('ticket', `${ID}\r\n`), '-D', '1080'],
      ...['--socks-user', 'joe', '--socks-password-file', put('password', 'word\r\n')],
      ...['--nodes', put('nodes.json', JSON.stringify(list))],
    );
    assert.deepEqual(hosts(forwarded), ['192.0.2.1']);
    assert.deepEqual(bench.tunnel.dynamics[0]?.credentials, { user: 'joe', password: 'word' });
    assert.equal(Buffer.from(await readPassphrase(temp.file('secret'), bench.io)).toString(), 'pass');
  });
});

describe('the nearest word', () => {
  test('is a word that differs only a little', () => {
    const words = ['listen', 'connect', 'list'];
    assert.equal(nearest('lisen', words), 'listen');
    assert.equal(nearest('connnect', words), 'connect');
    assert.equal(nearest('lost', words), 'list');
    assert.equal(nearest('zebra', words), undefined);
    assert.equal(nearest('', ['ab']), 'ab');
    assert.equal(nearest('', ['abc']), undefined);
  });
});
