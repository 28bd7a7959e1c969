import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { publicNodes } from '../../src/network/public_nodes.js';
import { CliBench } from '../support/cli_bench.js';
import { listenOnLoopback } from '../support/loopback.js';
import { TempFolder } from '../support/temp_folder.js';

const KEY = '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';
const OTHER_KEY = '10C00EB250C3233E343E2AEBA07115A5C28920E9C8D29492F6D00B29049EDC7E';
const LIST = JSON.stringify({
  last_scan: 1,
  nodes: [
    {
      ipv4: '192.0.2.1',
      ipv6: '-',
      port: 33445,
      tcp_ports: [443],
      public_key: KEY,
      status_udp: true,
      status_tcp: false,
    },
    { ipv4: 'away.example', port: 1, public_key: OTHER_KEY, status_udp: false, status_tcp: false },
  ],
});
const LINE = `192.0.2.1:33445:${KEY}`;

describe('nodes', () => {
  const folder = new TempFolder();
  let server: Server;
  let base: string;
  let answer: RequestListener;
  let bench: CliBench;
  let stateFolders = 0;

  before(async () => {
    server = createServer((request, response) => answer(request, response));
    base = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  });

  after(() => {
    server.closeAllConnections();
    server.close();
    folder.remove();
  });

  beforeEach(() => {
    bench = new CliBench();
    bench.stateFolder = folder.file(`state${stateFolders++}`);
    answer = (_request, response) => void response.end(LIST);
  });

  const file = (): string => `${bench.stateFolder}/nodes.json`;

  async function isRefused(...[why, ...args]: readonly [RegExp, ...string[]]): Promise<void> {
    assert.equal(await bench.run('nodes', '--update', '--url', base, ...args), 1);
    assert.match(bench.stderr.text, why);
    assert.match(bench.stderr.text, /What was used stays in use: the list of/);
    assert.match(bench.stderr.text, /^tox-wasm-tunnel: the list of bootstrap nodes was not refreshed: /);
  }

  test('shows the bundled list and its date, as long as no other was downloaded', async () => {
    assert.equal(await bench.run('nodes'), 0);
    assert.equal(bench.stdout.lines.length, publicNodes().length);
    assert.match(bench.stderr.text, /^\d+ bootstrap nodes, the list of 2\d{3}-\d\d-\d\d that comes with/);
  });

  test('--update saves the nodes that are online, private to the owner, and every command uses them from then on', async () => {
    assert.equal(await bench.run('nodes', '--update', '--url', base), 0);
    assert.equal(bench.stdout.text, `${LINE}\n`);
    assert.ok(
      bench.stderr.text.includes(`1 bootstrap nodes, the list of 2026-01-02T03:04:05.678Z from ${base}`),
    );
    if (process.platform !== 'win32') assert.equal(statSync(file()).mode & 0o777, 0o600);

    const { ended } = await bench.start(/"started"/, 'listen', '--ephemeral', '--json');
    bench.signal();
    await ended;
    const used = bench.calls[0]?.options.bootstrap;
    assert.deepEqual(
      used?.map(({ host, port, tcpPorts }) => ({ host, port, tcpPorts })),
      [{ host: '192.0.2.1', port: 33445, tcpPorts: [443] }],
    );
  });

  test('--json shows the nodes and their source', async () => {
    await bench.run('nodes', '--update', '--url', base, '--json');
    const from = `the list of 2026-01-02T03:04:05.678Z from ${base}, in ${file()}`;
    assert.deepEqual(bench.stdout.events, [{ event: 'nodes', origin: 'saved', from, nodes: [LINE] }]);
  });

  test('given nodes replace any list', async () => {
    await bench.run('nodes', '--update', '--url', base);
    bench.stdout.text = '';
    await bench.run('nodes', '--bootstrap', `h.example:1:${OTHER_KEY}`);
    assert.equal(bench.stdout.text, `h.example:1:${OTHER_KEY}\n`);
  });

  test('an invalid, empty, oversized or missing list, or one whose nodes are all offline, keeps the old one', async () => {
    await bench.run('nodes', '--update', '--url', base);
    const old = readFileSync(file(), 'utf8');
    for (const [reply, why] of [
      [LIST.slice(0, -5), /not JSON/],
      ['{"nodes":[]}', /the list is empty/],
      [LIST.replace(KEY, 'x'), /nodes\[0\]\.public_key/],
      [LIST.replace('true', 'false'), /it says that every node is away/],
      [' '.repeat(1024 * 1024 + 1), /it has more than 1048576 bytes/],
    ] as const) {
      answer = (_request, response) => void response.end(reply);
      bench.stderr.text = '';
      await isRefused(why);
    }
    answer = (_request, response) => void response.writeHead(404).end('gone');
    bench.stderr.text = '';
    await isRefused(/the server answered 404 Not Found/);
    answer = (request) => void request.socket.destroy();
    bench.stderr.text = '';
    await isRefused(/: .*closed/);
    assert.equal(readFileSync(file(), 'utf8'), old);
  });

  test('it follows a few redirects, and never leaves https', async () => {
    answer = ({ url }, response) =>
      void (url === '/list' ? response.end(LIST) : response.writeHead(302, { location: '/list' }).end());
    assert.equal(await bench.run('nodes', '--update', '--url', base), 0);
    answer = (_request, response) => void response.writeHead(302, { location: '/again' }).end();
    bench.stderr.text = '';
    await isRefused(/it leads on more than 3 times/);
    answer = (_request, response) =>
      void response.writeHead(302, { location: 'http://192.0.2.1/list' }).end();
    bench.stderr.text = '';
    await isRefused(/it leads on to http:\/\/192\.0\.2\.1, which is not https/);
  });

  test('a server elsewhere cannot redirect to one on this machine', async (t) => {
    const asked: string[] = [];
    t.mock.method(globalThis, 'fetch', async (url: URL) => {
      asked.push(url.href);
      return new Response(null, { status: 302, headers: { location: `${base}/` } });
    });
    await bench.run('nodes', '--update', '--url', 'https://nodes.example/list');
    assert.deepEqual(asked, ['https://nodes.example/list']);
    assert.match(bench.stderr.text, /it leads on to http:\/\/127\.0\.0\.1:\d+, which is not https/);
  });

  test('an unreadable saved list is reported, and the bundled one used', async () => {
    mkdirSync(bench.stateFolder, { mode: 0o700 });
    for (const text of ['{', LIST, `{"version":2,"kind":"tox-wasm-tunnel nodes",${LIST.slice(1)}`]) {
      writeFileSync(file(), text);
      bench.stdout.text = '';
      bench.stderr.text = '';
      assert.equal(await bench.run('nodes'), 0);
      assert.equal(bench.stdout.lines.length, publicNodes().length);
      assert.match(bench.stderr.text, /^The bundled list of nodes is used: .*nodes\.json/);
    }
  });

  test('with a proxy in the environment nothing is downloaded around it', async () => {
    let asked = 0;
    answer = (_request, response) => void response.end(LIST, () => asked++);
    bench.env.set('TOX_WASM_TUNNEL_PROXY', 'socks5://joe:hunter2@127.0.0.1');
    assert.equal(await bench.run('nodes', '--update', '--url', base), 2);
    assert.match(bench.stderr.text, /TOX_WASM_TUNNEL_PROXY is set/);
    assert.doesNotMatch(bench.stderr.text, /hunter2/);
    assert.equal(asked, 0);
    assert.equal(await bench.run('nodes'), 0);
  });

  test('invalid arguments are refused before any download', async () => {
    for (const [args, why] of [
      [['--url', base], /--url goes with --update/],
      [['--update', '--bootstrap', LINE], /--update is about the list/],
      [['--update', '--url', 'http://nodes.example/'], /begins with https/],
      [['--update', '--url', 'http://127.0.0.1.example/'], /begins with https/],
      [['--update', '--url', 'file:///etc/passwd'], /begins with https/],
      [['--update', '--url', 'nodes'], /begins with https/],
    ] as const) {
      bench.stderr.text = '';
      assert.equal(await bench.run('nodes', ...args), 2);
      assert.match(bench.stderr.text, why);
    }
  });
});
