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
    assert.match(bench.stderr.text, /Still in use: the (bundled )?list of/);
    assert.match(bench.stderr.text, /^tox-wasm-tunnel: the list of bootstrap nodes was not refreshed: /);
  }

  test('shows the bundled list and its date until another list is downloaded', async () => {
    assert.equal(await bench.run('nodes'), 0);
    assert.equal(bench.stdout.lines.length, publicNodes().length);
    assert.match(bench.stderr.text, /^\d+ bootstrap nodes from the bundled list of 2\d{3}-\d\d-\d\d/);
  });

  test('--update saves the nodes that are online, readable only by the owner, and every command uses them', async () => {
    assert.equal(await bench.run('nodes', '--update', '--url', base), 0);
    assert.equal(bench.stdout.text, `${LINE}\n`);
    assert.ok(
      bench.stderr.text.includes(`1 bootstrap nodes from the list of 2026-01-02T03:04:05.678Z from ${base}`),
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

  test('--json reports the nodes and their origin', async () => {
    await bench.run('nodes', '--update', '--url', base, '--json');
    const from = `the list of 2026-01-02T03:04:05.678Z from ${base}, saved in ${file()}`;
    assert.deepEqual(bench.stdout.events, [{ event: 'nodes', origin: 'saved', from, nodes: [LINE] }]);
  });

  test('--bootstrap overrides any list', async () => {
    await bench.run('nodes', '--update', '--url', base);
    bench.stdout.text = '';
    await bench.run('nodes', '--bootstrap', `h.example:1:${OTHER_KEY}`);
    assert.equal(bench.stdout.text, `h.example:1:${OTHER_KEY}\n`);
  });

  test('a list that is damaged, empty, too long, missing or entirely offline leaves the old one in use', async () => {
    await bench.run('nodes', '--update', '--url', base);
    const old = readFileSync(file(), 'utf8');
    for (const [reply, why] of [
      [LIST.slice(0, -5), /not JSON/],
      ['{"nodes":[]}', /the list is empty/],
      [LIST.replace(KEY, 'x'), /nodes\[0\]\.public_key/],
      [LIST.replace('true', 'false'), /all nodes in the list are offline/],
      [' '.repeat(1024 * 1024 + 1), /has more than 1048576 bytes/],
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

  test('--update follows a few redirects, but never away from https', async () => {
    answer = ({ url }, response) =>
      void (url === '/list' ? response.end(LIST) : response.writeHead(302, { location: '/list' }).end());
    assert.equal(await bench.run('nodes', '--update', '--url', base), 0);
    answer = (_request, response) => void response.writeHead(302, { location: '/again' }).end();
    bench.stderr.text = '';
    await isRefused(/more than 3 redirects/);
    answer = (_request, response) =>
      void response.writeHead(302, { location: 'http://192.0.2.1/list' }).end();
    bench.stderr.text = '';
    await isRefused(/it redirects to http:\/\/192\.0\.2\.1, which is not https/);
  });

  test('a redirect from another machine cannot reach a server on this one', async (t) => {
    const asked: string[] = [];
    t.mock.method(globalThis, 'fetch', async (url: URL) => {
      asked.push(url.href);
      return new Response(null, { status: 302, headers: { location: `${base}/` } });
    });
    await bench.run('nodes', '--update', '--url', 'https://nodes.example/list');
    assert.deepEqual(asked, ['https://nodes.example/list']);
    assert.match(bench.stderr.text, /it redirects to http:\/\/127\.0\.0\.1:\d+, which is not https/);
  });

  test('reports a damaged saved list, and uses the bundled one', async () => {
    mkdirSync(bench.stateFolder, { mode: 0o700 });
    for (const text of ['{', LIST, `{"version":2,"kind":"tox-wasm-tunnel nodes",${LIST.slice(1)}`]) {
      writeFileSync(file(), text);
      bench.stdout.text = '';
      bench.stderr.text = '';
      assert.equal(await bench.run('nodes'), 0);
      assert.equal(bench.stdout.lines.length, publicNodes().length);
      assert.match(bench.stderr.text, /^Using the bundled list of nodes: .*nodes\.json/);
    }
  });

  test('--update downloads nothing when the environment has a proxy', async () => {
    let asked = 0;
    answer = (_request, response) => void response.end(LIST, () => asked++);
    bench.env.set('TOX_WASM_TUNNEL_PROXY', 'socks5://joe:hunter2@127.0.0.1');
    assert.equal(await bench.run('nodes', '--update', '--url', base), 2);
    assert.match(bench.stderr.text, /TOX_WASM_TUNNEL_PROXY is set/);
    assert.doesNotMatch(bench.stderr.text, /hunter2/);
    assert.equal(asked, 0);
    assert.equal(await bench.run('nodes'), 0);
  });

  test('rejects invalid arguments before anything is downloaded', async () => {
    for (const [args, why] of [
      [['--url', base], /--url needs --update/],
      [['--update', '--bootstrap', LINE], /--update cannot be combined with --bootstrap/],
      [['--update', '--url', 'http://nodes.example/'], /use https:/],
      [['--update', '--url', 'http://127.0.0.1.example/'], /use https:/],
      [['--update', '--url', 'file:///etc/passwd'], /use https:/],
      [['--update', '--url', 'nodes'], /use https:/],
    ] as const) {
      bench.stderr.text = '';
      assert.equal(await bench.run('nodes', ...args), 2);
      assert.match(bench.stderr.text, why);
    }
  });
});
