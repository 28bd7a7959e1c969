/** Wrong input: one line that says what, where and how it is right, exit code 2, and nothing is touched. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { FROM_SOURCES } from '../support/cli_process.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const KEY = 'F'.repeat(64);
/** Public key of 32 times 0, nospam 0: the checksum is 0 too. */
const TOX_ID = '0'.repeat(76);

/** Each with what its message must say: what is wrong, and what a right one looks like. */
const WRONG: readonly (readonly [title: string, args: readonly string[], ...says: readonly RegExp[]])[] = [
  ['a Tox ID that is too short', ['connect', TOX_ID.slice(1), '-L', '0:localhost:22'], /75/, /76/],
  [
    'a Tox ID with a digit that is none',
    ['connect', `${TOX_ID.slice(1)}G`, '-L', '0:localhost:22'],
    /"G"|G/,
    /76/,
  ],
  [
    'a Tox ID that was mistyped',
    ['connect', `1${TOX_ID.slice(1)}`, '-L', '0:localhost:22'],
    /checksum|typed/i,
  ],
  ['a port above 65535', [TOX_ID, '65536'], /65536/, /65535/],
  ['a port that is no number', [TOX_ID, 'http'], />>http<</, /localhost:22/],
  ['a local port that is none', [TOX_ID, '22', '-p', '99999'], /99999/, /65535/],
  [
    'a forward with too few parts',
    ['connect', TOX_ID, '-L', '8080:localhost'],
    /8080:localhost/,
    /host:hostport/,
  ],
  ['a forward with a bad port', ['connect', TOX_ID, '-L', '8080:localhost:x'], />>x<</, /8080:localhost:80/],
  ['a forward without brackets', ['connect', TOX_ID, '-L', '1:2001:db8::1:80'], /bracket/],
  ['an empty forward', ['connect', TOX_ID, '-L', ''], /8080:localhost:80/],
  ['an exposed port that is none', ['listen', '--expose', 'localhost:0'], />>0<</, /localhost:80/],
  ['a bootstrap line without a key', ['listen', '--bootstrap', 'example.org:33445'], /HOST:PORT:KEY/],
  ['a bootstrap key that is cut', ['listen', '--bootstrap', `a.example:1:${KEY.slice(1)}`], /63/, /64/],
  ['a bootstrap port that is none', ['listen', '--bootstrap', `a.example:0:${KEY}`], /"0"/, /65535/],
  ['a UDP port that is none', ['listen', '--udp-port', '-1'], /-1/, /65535/],
  ['an address to bind to that is a name', ['listen', '--bind', 'localhost'], /localhost/, /address/],
  ['an option that does not exist', ['listen', '--sesame'], /--sesame/],
  ['a command that does not exist', ['lissten'], /lissten/],
  ['a state folder and none at all', ['listen', '--state', 'x', '--ephemeral'], /--state/, /--ephemeral/],
];

/** Nodes files and what is said about them. */
const WRONG_NODES: readonly (readonly [title: string, text: string, ...says: readonly RegExp[]])[] = [
  ['is no JSON', '{"nodes": [', /JSON/],
  ['is JSON of another form', '[1, 2]', /nodes/],
  ['has no nodes', '{"nodes": []}', /no/],
  [
    'has a node with a bad key',
    JSON.stringify({
      nodes: [{ ipv4: '192.0.2.1', ipv6: '-', port: 33445, tcp_ports: [], public_key: 'F00' }],
    }),
    /public_key/,
  ],
  [
    'has a node with a bad port',
    JSON.stringify({
      nodes: [{ ipv4: '192.0.2.1', ipv6: '-', port: 70000, tcp_ports: [], public_key: KEY }],
    }),
    /port/,
  ],
];

/** State files that are damaged, not ours or of another time, and what is said about them. */
const WRONG_STATES: readonly (readonly [title: string, text: string, ...says: readonly RegExp[]])[] = [
  ['empty', '', /empty/],
  ['cut short', '{"version":1,"kind":"tox-wasm-tunnel ident', /JSON/],
  ['something else', '["a list"]', /not an identity/],
  ['from a later version', stateFile({ version: 99 }), /version 99/],
  ['with a secret that is cut', stateFile({ secretKey: '00' }), /secretKey/],
];

function stateFile(fields: Readonly<Record<string, unknown>>): string {
  const whole = { version: 1, kind: 'tox-wasm-tunnel identity', role: 'listener' };
  const secrets = { secretKey: '00'.repeat(32), nospam: '00000000' };
  return JSON.stringify({ ...whole, ...secrets, ...fields });
}

describe('bad input', { concurrency: 2 }, () => {
  const folder = new TempFolder();
  after(() => folder.remove());

  async function run(args: readonly string[]): Promise<Finished> {
    const [command, ...rest] = FROM_SOURCES;
    assert.ok(command !== undefined);
    return await runProgram(command, [...rest, ...args]);
  }

  function assertRefused({ exitCode, stdout, stderr }: Finished, says: readonly RegExp[]): void {
    assert.equal(exitCode, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^tox-wasm-tunnel: [^\n]+\n$/, 'one line, no stack');
    for (const words of says) assert.match(stderr, words);
  }

  for (const [title, args, ...says] of WRONG) {
    test(`${title} is refused`, { timeout: 60_000 }, async () => {
      const state = folder.file(`untouched ${title}`);
      const place = args.includes('--state') ? [] : ['--state', state];
      assertRefused(await run([...args, ...place]), says);
      assert.ok(!readdirSync(folder.path).includes(`untouched ${title}`), 'nothing was to be written');
    });
  }

  for (const [title, text, ...says] of WRONG_NODES) {
    test(`a nodes file that ${title} is refused`, { timeout: 60_000 }, async () => {
      const file = folder.file(`nodes that ${title}.json`);
      writeFileSync(file, text);
      const finished = await run(['listen', '--ephemeral', '--nodes', file]);
      assertRefused(finished, says);
      assert.ok(finished.stderr.includes(file), finished.stderr);
    });
  }

  test('a nodes file that is not there is refused', { timeout: 60_000 }, async () => {
    const finished = await run(['listen', '--ephemeral', '--nodes', folder.file('nowhere.json')]);
    assertRefused(finished, [/nowhere\.json/]);
  });

  for (const [title, text, ...says] of WRONG_STATES) {
    test(`a state file that is ${title} is refused and left as it is`, { timeout: 60_000 }, async () => {
      const state = folder.file(`state ${title}`);
      mkdirSync(state, { mode: 0o700 });
      writeFileSync(`${state}/listener.json`, text, { mode: 0o600 });

      assertRefused(await run(['listen', '--state', state]), [/listener\.json/, /--state/, ...says]);

      assert.equal(readFileSync(`${state}/listener.json`, 'utf8'), text);
      assert.deepEqual(withoutLocks(readdirSync(state)), ['listener.json']);
    });
  }

  test('a state file that others may read is refused, with the command that mends it', {
    timeout: 60_000,
  }, async () => {
    const state = folder.file('state for all');
    mkdirSync(state, { mode: 0o700 });
    writeFileSync(`${state}/connector.json`, stateFile({ role: 'connector' }));
    chmodSync(`${state}/connector.json`, 0o644);

    const finished = await run(['connect', TOX_ID, '-L', '0:localhost:22', '--state', state]);

    assertRefused(finished, [/connector\.json/, /chmod 600/]);
    assert.equal(readFileSync(`${state}/connector.json`, 'utf8'), stateFile({ role: 'connector' }));
  });

  test('with --json the same is an event, and stdout holds nothing else', { timeout: 60_000 }, async () => {
    const { exitCode, stdout } = await run([
      'connect',
      'nonsense',
      '-L',
      '0:localhost:22',
      '--ephemeral',
      '--json',
    ]);
    assert.equal(exitCode, 2);
    const event: unknown = JSON.parse(stdout);
    assert.ok(typeof event === 'object' && event !== null && 'code' in event && 'event' in event);
    assert.deepEqual([event.event, event.code], ['error', 'ERR_USAGE']);
  });
});

/** Lock files come and go; they hold nothing that could be lost. */
const withoutLocks = (names: readonly string[]): string[] => names.filter((name) => !name.includes('.lock.'));
