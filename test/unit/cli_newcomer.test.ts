import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { formatTicket, parseTicket } from '../../src/access/ticket.js';
import { joinTickets } from '../../src/cli/options/joined_ticket.js';
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

describe('a ticket in pieces', () => {
  const twice = (text: string): string[] => [text.slice(0, 41), text.slice(41)];
  const cases: ReadonlyArray<readonly [name: string, pieces: readonly string[]]> = [
    ['a ticket with a blank', twice(TICKET)],
    ['a ticket with a blank after its first character', [TICKET.slice(0, 1), TICKET.slice(1)]],
    ['a ticket in groups of twelve', TICKET.match(/.{1,12}/g) ?? []],
    ['a ticket with a line break', [twice(TICKET).join('\n')]],
    ['a Tox ID with a blank', twice(ID)],
    ['a Tox ID in groups of eight', ID.match(/.{1,8}/g) ?? []],
  ];
  for (const [name, pieces] of cases)
    test(`is joined: ${name}`, async () => {
      for (const before of [[], ['connect'], ['connect', '-p', '2222']]) {
        const bench = new CliBench();
        const { ended } = await bench.start(
          /Forwarding 127\.0\.0\.1:\d+ to localhost:22/,
          ...before,
          ...pieces,
          '22',
        );
        bench.signal();
        assert.equal(await ended, 0);
        const { remote } = bench.calls[0]?.options ?? {};
        const { toxId } = pieces.join('').startsWith('twt') ? parseTicket(TICKET) : { toxId: parseToxId(ID) };
        assert.deepEqual(toxIdIn(remote), toxId);
      }
    });

  test('is saved under a name', async () => {
    const bench = new CliBench();
    assert.equal(await bench.run('add', 'home', ...twice(TICKET)), 0, bench.stderr.text);
    assert.match(bench.stderr.text, /^home now refers to/);
  });

  test('is not joined with what does not belong to it, nor after --', async () => {
    assert.deepEqual(joinTickets(['a', ...twice(TICKET), '22']), ['a', TICKET, '22']);
    for (const args of [
      [TICKET, '22'],
      [TICKET.slice(0, 50), TICKET.slice(51), '22'],
      [TICKET.slice(0, 50), '-p', TICKET.slice(50)],
      ['connect', TICKET, '22', '--', ...twice(TICKET)],
    ])
      assert.deepEqual(joinTickets(args), args);
  });
});

/** The Tox ID of what a command passed as `remote`. */
function toxIdIn(remote: unknown): unknown {
  return typeof remote === 'object' && remote !== null && 'toxId' in remote ? remote.toxId : remote;
}

describe('what the user probably meant', () => {
  for (const [args, why] of [
    [['22'], /to share port 22, run: tox-wasm-tunnel --expose 22; .*: tox-wasm-tunnel TICKET PORT\n/],
    [['localhost:22'], /--expose localhost:22/],
    [[':3000'], /to share port 3000, run: tox-wasm-tunnel --expose 3000;/],
    [['http://localhost:3000/app'], /run: tox-wasm-tunnel --expose localhost:3000;/],
    [['https'], /to share port 443, run: tox-wasm-tunnel --expose 443;/],
    [['80,443'], /run: tox-wasm-tunnel --expose 80,443;/],
    [['/run/app.sock'], /run: tox-wasm-tunnel --expose \/run\/app\.sock;/],
    [['8080:localhost:80'], /tox-wasm-tunnel connect TICKET -L 8080:localhost:80\n/],
    [['home.example'], /"home\.example" is neither a ticket nor a name;/],
    [['serve'], /did you mean tox-wasm-tunnel listen\?/],
    [['version'], /did you mean tox-wasm-tunnel --version\?/],
    [['listen', 'ssh'], /to share port 22, run: tox-wasm-tunnel --expose 22\n/],
    [['listen', TICKET], /to connect to a listener, run: tox-wasm-tunnel TICKET PORT\n/],
    [['listen', 'help'], /for the help of listen, run tox-wasm-tunnel listen --help\n/],
    [['listen', '--expose', 'ssh'], /ports are numbers, and ssh usually has port 22: write 22\n/],
    [['listen', '--expose', 'ssh,HTTP'], /write 22,80\n/],
    [['listen', '--expose', 'db.lan:postgres'], /write db\.lan:5432\n/],
    [['listen', '--expose', 'http://localhost:3000'], /a URL; .*: localhost:3000\n/],
    [['listen', '--allow-reverse', 'http'], /write 80\n/],
    [[ID, 'ssh'], /write 22\n/],
    [[ID, 'http://intra.lan/'], /only the host and the port: intra\.lan:80\n/],
    [['connect', ID, '-L', '8080:intra.lan:http'], /write 8080:intra\.lan:80\n/],
    [['rule', 'add', 'ssh'], /write 22\n/],
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
