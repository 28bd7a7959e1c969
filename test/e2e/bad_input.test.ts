/**
 * Invalid input. The program prints one line with what is wrong, where, and a valid example; it exits with
 * code 2 and touches no file.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { runCli } from '../support/cli_process.js';
import type { Finished } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const KEY = 'F'.repeat(64);
/** A Tox ID with a public key of 32 zero bytes and nospam 0, so its checksum is 0 as well. */
const TOX_ID = '0'.repeat(76);

/**
 * Invalid arguments, each with a pattern for the error and a pattern for the valid example in the message.
 */
const WRONG: readonly (readonly [title: string, args: readonly string[], ...says: readonly RegExp[]])[] = [
  ['a Tox ID that is too short', ['connect', TOX_ID.slice(1), '-L', '0:localhost:22'], /75/, /76/],
  [
    'a Tox ID with a character that is not a hexadecimal digit',
    ['connect', `${TOX_ID.slice(1)}G`, '-L', '0:localhost:22'],
    /"G"|G/,
    /76/,
  ],
  [
    'a Tox ID with a typing error',
    ['connect', `1${TOX_ID.slice(1)}`, '-L', '0:localhost:22'],
    /checksum|typed/i,
  ],
  ['a port above 65535', [TOX_ID, '65536'], /65536/, /65535/],
  ['a port that is not a number', [TOX_ID, 'http'], /"http"/, /write 80/],
  ['an invalid local port', [TOX_ID, '22', '-p', '99999'], /99999/, /65535/],
  [
    'a forward with too few fields',
    ['connect', TOX_ID, '-L', '8080:localhost'],
    /8080:localhost/,
    /host:hostport/,
  ],
  ['a forward with a bad port', ['connect', TOX_ID, '-L', '8080:localhost:x'], /"x"/, /8080:localhost:80/],
  [
    'a forward with an IPv6 address without brackets',
    ['connect', TOX_ID, '-L', '1:2001:db8::1:80'],
    /bracket/,
  ],
  ['an empty forward', ['connect', TOX_ID, '-L', ''], /8080:localhost:80/],
  ['an invalid exposed port', ['listen', '--expose', 'localhost:0'], /"0"/, /localhost:80/],
  ['a bootstrap line without a key', ['listen', '--bootstrap', 'example.org:33445'], /HOST:PORT:KEY/],
  ['a truncated bootstrap key', ['listen', '--bootstrap', `a.example:1:${KEY.slice(1)}`], /63/, /64/],
  ['an invalid bootstrap port', ['listen', '--bootstrap', `a.example:0:${KEY}`], /"0"/, /65535/],
  ['an invalid UDP port', ['listen', '--udp-port', '-1'], /-1/, /65535/],
  ['a bind address that is a host name', ['listen', '--bind', 'localhost'], /localhost/, /address/],
  ['an unknown option', ['listen', '--sesame'], /--sesame/],
  ['an unknown command', ['lissten'], /lissten/],
  ['--state together with --ephemeral', ['listen', '--state', 'x', '--ephemeral'], /--state/, /--ephemeral/],
];

/** Invalid node lists, each with a pattern for the error message. */
const WRONG_NODES: readonly (readonly [title: string, text: string, ...says: readonly RegExp[]])[] = [
  ['is not JSON', '{"nodes": [', /JSON/],
  ['is JSON of another shape', '[1, 2]', /nodes/],
  ['has no nodes', '{"nodes": []}', /no/],
  [
    'has a node with an invalid key',
    JSON.stringify({
      nodes: [{ ipv4: '192.0.2.1', ipv6: '-', port: 33445, tcp_ports: [], public_key: 'F00' }],
    }),
    /public_key/,
  ],
  [
    'has a node with an invalid port',
    JSON.stringify({
      nodes: [{ ipv4: '192.0.2.1', ipv6: '-', port: 70000, tcp_ports: [], public_key: KEY }],
    }),
    /port/,
  ],
];

/**
 * State files that are damaged, foreign or from a later version, each with a pattern for the error message.
 */
const WRONG_STATES: readonly (readonly [title: string, text: string, ...says: readonly RegExp[]])[] = [
  ['empty', '', /empty/],
  ['truncated', '{"version":1,"kind":"tox-wasm-tunnel ident', /JSON/],
  ['a different file', '["a list"]', /not a tox-wasm-tunnel identity/],
  ['from a later version', stateFile({ version: 99 }), /version 99/],
  ['damaged by a truncated secret', stateFile({ secretKey: '00' }), /secretKey/],
];

function stateFile(fields: Readonly<Record<string, unknown>>): string {
  const whole = { version: 1, kind: 'tox-wasm-tunnel identity', role: 'listener' };
  const secrets = { secretKey: '00'.repeat(32), nospam: '00000000' };
  return JSON.stringify({ ...whole, ...secrets, ...fields });
}

describe('invalid input', { concurrency: 2 }, () => {
  const folder = new TempFolder();
  after(() => folder.remove());

  function assertRefused({ exitCode, stdout, stderr }: Finished, says: readonly RegExp[]): void {
    assert.equal(exitCode, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^tox-wasm-tunnel: [^\n]+\n$/, 'one line and no stack trace');
    for (const words of says) assert.match(stderr, words);
  }

  for (const [title, args, ...says] of WRONG) {
    test(`${title} is refused`, { timeout: 60_000 }, async () => {
      const state = folder.file(`untouched ${title}`);
      const place = args.includes('--state') ? [] : ['--state', state];
      assertRefused(await runCli([...args, ...place]), says);
      assert.ok(!readdirSync(folder.path).includes(`untouched ${title}`), 'no file should have been written');
    });
  }

  for (const [title, text, ...says] of WRONG_NODES) {
    test(`a nodes file that ${title} is refused`, { timeout: 60_000 }, async () => {
      const file = folder.file(`nodes that ${title}.json`);
      writeFileSync(file, text);
      const finished = await runCli(['listen', '--ephemeral', '--nodes', file]);
      assertRefused(finished, says);
      assert.ok(finished.stderr.includes(file), finished.stderr);
    });
  }

  test('a missing nodes file is refused', { timeout: 60_000 }, async () => {
    const finished = await runCli(['listen', '--ephemeral', '--nodes', folder.file('nowhere.json')]);
    assertRefused(finished, [/nowhere\.json/]);
  });

  for (const [title, text, ...says] of WRONG_STATES) {
    test(`a state file that is ${title} is refused and left unchanged`, { timeout: 60_000 }, async () => {
      const state = folder.file(`state ${title}`);
      mkdirSync(state, { mode: 0o700 });
      writeFileSync(`${state}/listener.json`, text, { mode: 0o600 });

      assertRefused(await runCli(['listen', '--state', state]), [/listener\.json/, /--state/, ...says]);

      assert.equal(readFileSync(`${state}/listener.json`, 'utf8'), text);
      assert.deepEqual(withoutLocks(readdirSync(state)), ['listener.json']);
    });
  }

  test('a state file that others may read is refused with the command that fixes it', {
    timeout: 60_000,
  }, async () => {
    const state = folder.file('state for all');
    mkdirSync(state, { mode: 0o700 });
    writeFileSync(`${state}/connector.json`, stateFile({ role: 'connector' }));
    chmodSync(`${state}/connector.json`, 0o644);

    const finished = await runCli(['connect', TOX_ID, '-L', '0:localhost:22', '--state', state]);

    assertRefused(finished, [/connector\.json/, /chmod 600/]);
    assert.equal(readFileSync(`${state}/connector.json`, 'utf8'), stateFile({ role: 'connector' }));
  });

  test('with --json the error is an event, and stdout holds nothing else', { timeout: 60_000 }, async () => {
    const { exitCode, stdout } = await runCli([
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

/** Ignores lock files: they come and go, and hold nothing that could be lost. */
const withoutLocks = (names: readonly string[]): string[] => names.filter((name) => !name.includes('.lock.'));
