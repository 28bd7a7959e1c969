/** The tutorials: each line of output that they show is one that the program prints. Keys, tickets and numbers may differ. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { listen } from '../../src/index.js';
import { built } from '../support/build.js';
import { CLI, runCli } from '../support/cli_process.js';
import { LineProcess } from '../support/line_process.js';
import { listenOnLoopback } from '../support/loopback.js';
import { LOOPBACK, PrivateNetwork } from '../support/private_network.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

/** What programs other than ours print in a tutorial. */
const OTHERS = /^hello from the far end$|load average/;

const pageOf = (name: string): string =>
  readFileSync(new URL(`../../docs/tutorial/${name}.md`, import.meta.url), 'utf8');

describe('the tutorials', () => {
  const folder = new TempFolder();
  const started: LineProcess[] = [];
  let network: PrivateNetwork;
  let server: Server;
  let port = '';
  let local: string[] = [];

  before(async () => {
    network = await PrivateNetwork.start();
    local = ['--bootstrap', network.bootstrap, ...LOOPBACK.filter((word) => word !== '--json')];
    server = createServer((_, response) => response.end('a page'));
    port = String(await listenOnLoopback(server));
  });
  after(async () => {
    await Promise.all(started.map((each) => each.stop()));
    await network.stop();
    server.close();
    folder.remove();
  });

  function run(...args: readonly string[]): LineProcess {
    const [command = '', ...words] = CLI;
    return keep(new LineProcess(command, [...words, ...args]));
  }

  function keep(one: LineProcess): LineProcess {
    started.push(one);
    return one;
  }

  /** Runs a command to its end. */
  async function linesOf(args: readonly string[], input = ''): Promise<string[]> {
    const { stdout, stderr } = await runCli(args, { input });
    return `${stdout}\n${stderr}`.split('\n');
  }

  const ticketIn = async (listener: LineProcess): Promise<string> =>
    (await listener.line(/^\s*(twt1[0-9a-z]+)$/))[1] ?? '';

  test('ssh at home', { timeout: 120_000 }, async () => {
    const [home, laptop] = [folder.file('home'), folder.file('laptop')];
    const listener = run('--expose', port, ...local, '--state', home);
    const ticket = await ticketIn(listener);
    await listener.line(/^Joined/);
    const connector = run(ticket, port, '-p', '0', ...local, '--state', laptop);
    await connector.line(/^Joined/);
    await connector.line(/is online/);
    await connector.stop();
    const printed = [
      ...(await linesOf(['add', 'home', '-', '--state', laptop], ticket)),
      ...(await linesOf(['ping', 'home', '-c', '3', ...local, '--state', laptop])),
    ];
    assertShown('ssh-at-home', [...listener.lines, ...connector.lines, ...printed]);
  });

  test('share a web app', { timeout: 120_000 }, async () => {
    const state = folder.file('developer');
    const listener = run('listen', '--expose', 'none', ...local, '--state', state);
    await listener.line(/^Joined/);
    const guest = ['--name', 'guest', '--expose', port, '--expires', '2h', '--uses', '1'];
    const made = await linesOf(['ticket', 'new', ...guest, '--state', state]);
    const ticket = made.find((line) => line.startsWith('twt1')) ?? '';
    // The port of the app is in use here, so this one takes another; only one of them may have the ticket.
    const note = run(ticket, port, ...local, '--ephemeral', '--no-udp');
    await note.line(/^Forwarding/);
    await note.stop();
    const connector = run(ticket, port, '-p', '0', ...local, '--ephemeral');
    await connector.line(/^Joined/);
    await connector.line(/is online/);
    const printed = [
      ...(await linesOf(['ticket', 'list', '--state', state])),
      ...(await linesOf(['peers', '--state', state])),
      ...(await linesOf(['ticket', 'revoke', 'guest', '--state', state])),
    ];
    await connector.line(/^tox-wasm-tunnel: /);
    assertShown('share-a-web-app', [...[listener.lines, made, note.lines, connector.lines, printed].flat()]);
  });

  test('use the library', { timeout: 120_000 }, async () => {
    const [serve, ask] = programsIn('use-the-library').map((program, index) => {
      const file = folder.file(`${index}.mjs`);
      writeFileSync(file, program);
      return file;
    });
    assert.ok(serve !== undefined && ask !== undefined);
    const words = built('index.js') === undefined ? ['--import', import.meta.resolve('tsx')] : [];
    const server = keep(
      new LineProcess(process.execPath, [...words, serve], { BOOTSTRAP: network.bootstrap }),
    );
    const ticket = await ticketIn(server);
    const asked = await runProgram(process.execPath, [...words, ask], {
      env: { ...process.env, BOOTSTRAP: network.bootstrap, TICKET: ticket },
    });
    assert.equal(asked.exitCode, 0, asked.stderr);
    const connector = run(ticket, 'web:80', '-p', '0', ...local, '--ephemeral');
    await connector.line(/is online/);
    const wrong = { bootstrap: [network.bootstrap], exposed: ['22'] };
    const error: unknown = await listen(wrong).catch((reason: unknown) => reason);
    assert.ok(error instanceof Error && 'code' in error);
    assertShown('use-the-library', [
      ...server.lines,
      ...asked.stdout.split('\n'),
      ...connector.lines,
      network.bootstrap,
      `${error.code} ${error.message}`,
    ]);
  });
});

/** Every line of output on a page is among those that were printed. */
function assertShown(name: string, printed: readonly string[]): void {
  const real = new Set(printed.map(masked));
  const shown = [...pageOf(name).matchAll(/^```(\w*)\n(.*?)^```/gms)]
    .flatMap(([, language, block = '']) => (language === '' ? block.split('\n') : []))
    .filter((line) => line.trim() !== '' && !line.startsWith('$ ') && !OTHERS.test(line));
  assert.ok(shown.length > 5);
  assert.deepEqual(
    shown.filter((line) => !real.has(masked(line))),
    [],
    `among:\n${[...real].join('\n')}`,
  );
}

/** A line without what differs from run to run. */
function masked(line: string): string {
  return line
    .trim()
    .replaceAll(/ --bootstrap \S+/g, '')
    .replaceAll(/twt1[0-9a-z]{10,}…?/g, 'TICKET')
    .replaceAll(/\b(?:[0-9A-F]{64}|[0-9A-F]{8}…?)/g, 'KEY')
    .replaceAll(/\d+(?:\.\d+)?/g, 'N')
    .replaceAll(/\bN (?:B|kB|MB)\b/g, 'N bytes')
    .replaceAll(/\bN min N s\b/g, 'N s');
}

/** The programs of a page, changed to import the build, or the sources. */
function programsIn(name: string): string[] {
  const file = built('index.js');
  const url = file === undefined ? new URL('../../src/index.ts', import.meta.url) : pathToFileURL(file);
  const index = JSON.stringify(url.href);
  return [...pageOf(name).matchAll(/^```js\n(import .*?)^```/gms)].map(([, program = '']) =>
    program.replace("'tox-wasm-tunnel'", index),
  );
}
