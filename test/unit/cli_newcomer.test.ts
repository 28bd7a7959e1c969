import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { CliBench } from '../support/cli_bench.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const TICKET = formatTicket({
  toxId: parseToxId(ID),
  secret: Uint8Array.from({ length: 32 }, (_, at) => at * 7),
});

/** Runs a command that fails. @returns what it prints */
async function refusal(...args: string[]): Promise<string> {
  const bench = new CliBench();
  assert.equal(await bench.run(...args), 2, bench.stderr.text);
  assert.deepEqual(bench.calls, []);
  return bench.stderr.text + bench.stdout.text;
}

describe('a ticket that is cut short', () => {
  const pieces = [
    TICKET.slice(0, 32),
    TICKET.slice(0, 12),
    TICKET.slice(64, 92),
    'F404ABCDEF12',
    ID.slice(0, 40),
  ];
  for (const piece of pieces)
    for (const args of [
      [piece, '22'],
      ['connect', piece, '22'],
      ['ping', piece],
      ['doctor', piece],
      ['add', 'home', piece],
    ])
      test(`is called so and not repeated: ${args.join(' ')}`, async () => {
        const text = await refusal(...args);
        assert.match(text, /cut short/);
        assert.ok(!text.includes(piece), text);
      });

  const piece = TICKET.slice(64, 92);
  for (const args of [
    ['add', piece, 'home'],
    ['add', TICKET, 'home'],
    ['remove', TICKET.slice(0, 32)],
    ['remove', TICKET],
    ['ssh', TICKET.slice(0, 32)],
    ['connect', ID, piece],
    ['connect', ID, TICKET],
    ['connect', ID, '22', piece],
    ['connect', ID, '-L', `1:${piece}:x`],
    ['ticket', piece],
    ['ticket', 'revoke', piece],
    ['ticket', 'revoke', TICKET],
    ['ticket', 'new', piece],
    ['listen', '--allow-peer', `${TICKET}=${ID}`],
    ['listen', '--expose', TICKET],
    ['service', 'install', '--', TICKET, '22'],
    ['listen', `--${TICKET}`],
    ['help', TICKET],
  ])
    test(`is not repeated at a wrong place: ${args.join(' ').slice(0, 60)}`, async () => {
      const text = await refusal(...args);
      for (const secret of [TICKET, TICKET.slice(0, 32), piece]) assert.ok(!text.includes(secret), text);
    });
});

describe('what the user probably meant', () => {
  for (const [args, why] of [
    [['22'], /"22" is a port, not a ticket: .*--expose 22; .*tox-wasm-tunnel TICKET 22/],
    [['localhost:22'], /--expose localhost:22/],
    [['', '22'], /the ticket is empty/],
    [['connect', ''], /the ticket is empty/],
    [['help', 'lisen'], /there is no command "lisen"; did you mean "listen"\?/],
    [['lisen'], /did you mean "listen"\? /],
    [['service', 'install', '--', 'foo'], /"foo" cannot be a service/],
    [['service', 'install', '--', 'conect', 'home'], /did you mean "connect"\?/],
    [['service', 'install', '--', 'listen', '--expose', '70000'], /--expose "70000"/],
    [['service', 'install', '--', 'connect', 'home', '70000'], /PORT "70000"/],
  ] as const)
    test(args.join(' '), async () => assert.match(await refusal(...args), why));

  test('an empty variable is named', async () => {
    const bench = new CliBench();
    bench.env.set('TOX_WASM_TUNNEL_TICKET', '');
    assert.equal(await bench.run('connect', '22'), 2);
    assert.match(bench.stderr.text, /TOX_WASM_TUNNEL_TICKET is empty/);
  });

  for (const [words, like] of [
    [['help'], ['--help']],
    [['help', 'help'], ['--help']],
    [
      ['help', 'connect'],
      ['connect', '--help'],
    ],
  ] as const)
    test(`${words.join(' ')} prints what ${like.join(' ')} prints`, async () => {
      const [bench, other] = [new CliBench(), new CliBench()];
      assert.equal(await bench.run(...words), 0);
      assert.equal(await other.run(...like), 0);
      assert.equal(bench.stdout.text, other.stdout.text);
      assert.match(bench.stdout.text, /Usage: /);
    });
});

describe('a message advises only what the command has', () => {
  for (const command of ['id', 'ticket', 'list', 'listen']) {
    test(`${command}, when the state folder is a file`, async () => {
      const bench = new CliBench();
      mkdirSync(dirname(bench.stateFolder), { recursive: true });
      writeFileSync(bench.stateFolder, '');
      assert.equal(await bench.run(command), 1);
      assert.match(bench.stderr.text, /a part of the path is a file|is in the way/);
      assert.match(bench.stderr.text, /choose another folder with --state DIR/);
      assert.equal(bench.stderr.text.includes('--ephemeral'), command === 'listen');
      assert.doesNotMatch(bench.stderr.text, /mkdir|no such file or directory|already exists,/);
    });

    test(`${command}, when the state file is damaged`, async () => {
      const bench = new CliBench();
      mkdirSync(bench.stateFolder, { recursive: true, mode: 0o700 });
      const file = command === 'list' ? 'names' : 'listener';
      writeFileSync(`${bench.stateFolder}/${file}.json`, '{', { mode: 0o600 });
      assert.equal(await bench.run(command), 2);
      assert.match(bench.stderr.text, /it is not JSON/);
      assert.equal(bench.stderr.text.includes('--ephemeral'), command === 'listen');
    });
  }
});

test('a wrong --metrics is reported before anything starts', async () => {
  assert.match(await refusal('listen', '--metrics', 'x'), /--metrics "x": the port must be/);
  assert.match(await refusal(ID, '22', '--metrics', '1:2:3'), /--metrics "1:2:3"/);
});

test('list without names prints nothing for scripts, and tells people how to save one', async () => {
  const bench = new CliBench();
  assert.equal(await bench.run('list'), 0);
  assert.equal(bench.stdout.text, '');
  assert.match(bench.stderr.text, /No names are saved; tox-wasm-tunnel add home TICKET/);
});

test('a second ticket of the same name is refused with both ways on', async () => {
  const bench = new CliBench();
  assert.equal(await bench.run('ticket', 'new', 'ci'), 0);
  for (const name of [['ci'], ['--name', 'ci']]) {
    bench.stderr.text = '';
    assert.equal(await bench.run('ticket', 'new', ...name), 2);
    assert.match(
      bench.stderr.text,
      /already a ticket "ci"; choose another name, or revoke.*ticket revoke ci/,
    );
  }
  bench.stderr.text = '';
  assert.equal(await bench.run('ticket', 'new', 'default'), 2);
  assert.match(bench.stderr.text, /ticket --rotate/);
});

test('rm and remove are the same action everywhere', async () => {
  for (const command of [['rule'], ['forward'], ['peers']])
    for (const action of ['rm', 'remove'])
      assert.match(await refusal(...command, action), new RegExp(`${command} remove needs a`));
});

test('-v alone is an error, because in many programs it prints the version', async () => {
  const bench = new CliBench();
  assert.equal(await bench.run('-v'), 2);
  assert.match(bench.stderr.text, /-v alone is unclear: tox-wasm-tunnel --version or .* listen -v\n$/);
});
