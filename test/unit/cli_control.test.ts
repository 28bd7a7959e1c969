import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { printRule } from '../../src/rules/expose.js';
import { CliBench } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';
import { TempFolder } from '../support/temp_folder.js';

const temp = new TempFolder();
after(() => temp.remove());

const KEY = 'AB'.repeat(32);

let folder = '';
let count = 0;
let listener = new CliBench();
let ended: Promise<number> = Promise.resolve(0);

/** Runs a command while the listener runs. */
async function ask(...args: string[]): Promise<{ code: number; bench: CliBench }> {
  const bench = new CliBench();
  bench.stateFolder = folder;
  return { code: await bench.run(...args), bench };
}

async function listen(...args: string[]): Promise<void> {
  listener = new CliBench();
  listener.stateFolder = folder;
  ({ ended } = await listener.start(/Ctrl-C/, ...args));
}

beforeEach(() => {
  folder = temp.file(String(count++));
});
afterEach(async () => {
  listener.signal();
  await ended;
});

describe('peers', () => {
  test('lists the peers, with their time online, path and refused streams', async () => {
    await listen();
    const nobody = await ask('peers');
    assert.equal(nobody.bench.stdout.text, 'no peer is connected\n');
    listener.tunnel.friends = [
      SOME_PEER,
      { ...SOME_PEER, publicKey: 'CD'.repeat(32), status: 'waiting', path: 'relay' },
    ];
    const { code, bench } = await ask('peers');
    assert.equal(code, 0);
    const [first = '', second = ''] = bench.stdout.lines;
    assert.equal(
      first,
      `${KEY}  laptop (peer)  udp, 1 min 5 s, 12.5 ms  2 open of 7  1.5 MB in, 999 B out  3 denied, 0 failed, 1 over a limit  -R 127.0.0.1:8080`,
    );
    assert.match(second, /^CDCD.* {2}waiting, /);
  });

  test('--json has all fields, with the time when the peer came online', async () => {
    await listen();
    listener.tunnel.friends = [SOME_PEER];
    const { bench } = await ask('peers', '--json');
    assert.deepEqual(bench.stdout.events, [
      { event: 'peers', peers: [{ ...SOME_PEER, since: '2026-01-02T03:03:00.678Z' }] },
    ]);
  });

  test('disconnects, denies and allows by key and by name', async () => {
    await listen();
    listener.tunnel.friends = [SOME_PEER];
    for (const args of [
      ['remove', KEY.toLowerCase()],
      ['deny', 'Laptop'],
      ['allow', KEY],
    ]) {
      const { code, bench } = await ask('peers', ...args);
      assert.equal(code, 0, bench.stderr.text);
      assert.match(bench.stderr.text, /^Done: peer [a-z]+ ABAB/);
    }
    assert.deepEqual(listener.tunnel.asked, [`remove ${KEY}`, `deny ${KEY}`, `allow ${KEY}`]);
  });

  test('fails for an unknown peer', async () => {
    await listen();
    for (const args of [
      ['remove', KEY],
      ['deny', 'nobody'],
      ['allow', 'nobody'],
    ]) {
      const { code, bench } = await ask('peers', ...args);
      assert.equal(code, 2);
      assert.match(bench.stderr.text, /no peer has the (name|key)/);
    }
  });

  test('allow explains how to accept a peer that was never denied, and how to name a denied peer', async () => {
    await listen();
    const { code, bench } = await ask('peers', 'allow', KEY);
    assert.equal(code, 2);
    assert.match(bench.stderr.text, /is not denied, .*--allow-peer KEY/);
    const named = await ask('peers', 'allow', 'laptop');
    assert.match(
      named.bench.stderr.text,
      /no peer has the name "laptop"; a denied peer has only its public key/,
    );
  });
});

describe('rule', () => {
  test('lists, adds and removes rules, and the listener applies them at once', async () => {
    await listen('--expose', '22');
    assert.equal((await ask('rule', 'list')).bench.stdout.text, 'localhost:22\n');
    assert.equal((await ask('rule', 'add', '8080', 'db.lan:5432')).code, 0);
    assert.equal((await ask('rule', 'remove', '22')).code, 0);
    const { bench } = await ask('rule', 'list', '--json');
    assert.deepEqual(bench.stdout.events, [
      { event: 'rules', rules: ['localhost:8080', 'db.lan:5432'], isDefault: false, allowReverse: [] },
    ]);
    assert.equal(listener.tunnel.rules.list().length, 2);
  });

  test('--allow-reverse lists, adds and removes the ports that peers may open', async () => {
    await listen('--expose', '22', '--allow-reverse', '8080');
    assert.equal((await ask('ticket', 'new', '--name', 'laptop')).code, 0);
    const { bench: added } = await ask(
      'rule',
      'add',
      ...['--allow-reverse', 'laptop:0.0.0.0:1-9', '--allow-reverse', '*:*', '23'],
    );
    assert.match(
      added.stderr.text,
      /^Done: rule add 23, until the listener stops\nDone: reverse add laptop:0\.0\.0\.0:1-9, until the listener stops\nDone: reverse add \*:\*, until the listener stops\n$/,
    );
    assert.equal((await ask('rule', 'remove', '--allow-reverse', '8080')).code, 0);
    assert.equal(
      (await ask('rule', 'list')).bench.stdout.text,
      'localhost:22\nlocalhost:23\n--allow-reverse *:*\n--allow-reverse laptop:0.0.0.0:1-9\n',
    );
    assert.deepEqual((await ask('rule', 'list', '--json')).bench.stdout.events, [
      {
        event: 'rules',
        rules: ['localhost:22', 'localhost:23'],
        isDefault: false,
        allowReverse: ['*:*', 'laptop:0.0.0.0:1-9'],
      },
    ]);
  });

  test('an invalid or unknown rule changes nothing', async () => {
    await listen();
    for (const [args, why] of [
      [['add', '0'], /RULE "0": the port must be/],
      [['add', 'desk:localhost:22'], /no peer and no ticket is called "desk"/],
      [['remove', '22'], /there is no rule localhost:22/],
      [['add', '--allow-reverse', 'desk:22'], /neither an address nor the name of a peer or a ticket/],
      [
        ['remove', '--allow-reverse', '*:22'],
        /there is no rule --allow-reverse \*:22; rule list shows all rules/,
      ],
      [['list', '--allow-reverse', '22'], /rule list takes no rules/],
    ] as const) {
      const { code, bench } = await ask('rule', ...args);
      assert.equal(code, 2);
      assert.match(bench.stderr.text, why);
    }
    assert.equal(listener.tunnel.rules.isDefault, true);
    assert.deepEqual(listener.tunnel.reverseRules.list(), []);
  });
});

describe('the open loopback of a listener without any rule', () => {
  for (const [kind, rule, listed] of [
    ['a rule', ['22'], 'localhost:22'],
    ['a rule for -R', ['--allow-reverse', '8080'], 'peers may reach nothing\n--allow-reverse 8080'],
    ['a rule for one ticket', ['ci:22'], 'ci:localhost:22'],
  ] as const) {
    test(`adding ${kind} closes it and says so; removing that leaves it closed`, async () => {
      await listen();
      assert.equal((await ask('ticket', 'new', '--name', 'ci')).code, 0);
      const { bench } = await ask('rule', 'add', ...rule);
      assert.match(bench.stderr.text, /this was the first rule: it closes this machine's loopback/);
      assert.equal((await ask('rule', 'list')).bench.stdout.text, `${listed}\n`);
      assert.equal((await ask('rule', 'remove', ...rule)).code, 0);
      assert.equal((await ask('rule', 'list')).bench.stdout.text, 'peers may reach nothing\n');
      assert.doesNotMatch((await ask('rule', 'add', '80')).bench.stderr.text, /first rule/);
    });
  }

  test('is closed to a ticket with --expose none, or with only -R', async () => {
    await listen();
    assert.equal((await ask('ticket', 'new', '--name', 'a', '--expose', 'none')).code, 0);
    assert.equal((await ask('ticket', 'new', '--name', 'b', '--allow-reverse', '8080')).code, 0);
    const { bench } = await ask('ticket', 'list');
    assert.deepEqual(bench.stdout.lines.slice(1), [
      'a\tvalid\treaches nothing',
      'b\tvalid\treaches nothing\tmay open 8080',
    ]);
    listener.signal();
    await ended;
    await listen();
    assert.deepEqual((await ask('ticket', 'list')).bench.stdout.lines, bench.stdout.lines, 'it is saved');
  });
});

test('a ticket may have its own reverse ports, and ticket list shows them', async () => {
  await listen();
  const rules = ['--expose', '22', '--allow-reverse', '8080', '--allow-reverse', '127.0.0.1:0'];
  assert.equal((await ask('ticket', 'new', '--name', 'ci', ...rules)).code, 0);
  const { bench } = await ask('ticket', 'list');
  assert.equal(bench.stdout.lines[1], 'ci\tvalid\treaches localhost:22\tmay open 8080 127.0.0.1:0');
  const [listed] = (await ask('ticket', 'list', '--json')).bench.stdout.events;
  assert.match(JSON.stringify(listed), /"allowReverse":\["8080","127\.0\.0\.1:0"\]/);
  for (const [args, why] of [
    [
      ['new', '--name', 'b', '--allow-reverse', 'laptop:80'],
      /neither an address nor the name of a peer or a ticket/,
    ],
    [['list', '--allow-reverse', '80'], /are only for ticket new/],
  ] as const) {
    const { code, bench: refused } = await ask('ticket', ...args);
    assert.equal(code, 2);
    assert.match(refused.stderr.text, why);
  }
});

test('a ticket may have a rate, and ticket list shows it', async () => {
  await listen();
  assert.equal((await ask('ticket', 'new', 'slow', '--rate', '2M')).code, 0);
  const { bench } = await ask('ticket', 'list');
  assert.equal(bench.stdout.lines[1], 'slow\tvalid\t2.1 MB/s');
  for (const rate of ['0', '2T', '-1', 'fast', '1025G']) {
    const { code, bench: refused } = await ask('ticket', 'new', 'bad', '--rate', rate);
    assert.equal(code, 2);
    assert.match(refused.stderr.text, /is not a number of bytes per second/);
  }
});

describe('a running listener', () => {
  test('answers on its socket until it ends', async () => {
    await listen();
    assert.ok(readdirSync(folder).includes('listener.sock'));
    listener.signal();
    assert.equal(await ended, 0);
    assert.ok(!readdirSync(folder).includes('listener.sock'));
    const { code, bench } = await ask('peers');
    assert.equal(code, 1);
    assert.match(bench.stderr.text, /no listener is running with the state folder/);
  });

  test('has no socket with --ephemeral', async () => {
    await listen('--ephemeral');
    assert.equal((await ask('peers')).code, 1);
  });

  test('reports that its socket cannot be created, and keeps running', async () => {
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(`${folder}/listener.sock`, '');
    await listen();
    assert.match(listener.stderr.text, /Other commands cannot control this listener: .*not a socket/);
  });
});

describe('rule add --save', () => {
  const opened = (): string[] => listener.tunnel.rules.list().map((rule) => printRule(rule));
  async function restart(...args: string[]): Promise<void> {
    listener.signal();
    await ended;
    await listen(...args);
  }

  test('keeps rules of both kinds for later starts, which say where they come from', async () => {
    await listen('--expose', '22');
    const { bench } = await ask('rule', 'add', '--save', '8080', '--allow-reverse', '9000');
    assert.match(bench.stderr.text, /^Done: rule add 8080, for later starts too$/m);
    await ask('rule', 'add', '443');
    await restart('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22', 'localhost:8080']);
    assert.equal(listener.tunnel.reverseRules.list().length, 1);
    assert.match(
      listener.stderr.text,
      /^Saved earlier with rule add --save: localhost:8080, --allow-reverse \S*9000$/m,
    );
  });

  test('removes them for good with --save; without it, says that the rule comes back', async () => {
    await listen('--expose', '22');
    await ask('rule', 'add', '--save', '8080');
    const { bench } = await ask('rule', 'remove', '8080');
    assert.match(bench.stderr.text, /it is saved, so the next start brings it back; rule remove --save/);
    assert.deepEqual(opened(), ['localhost:22']);
    await restart('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22', 'localhost:8080']);
    assert.equal((await ask('rule', 'remove', '--save', '8080')).code, 0);
    assert.equal((await ask('rule', 'remove', '--save', '8080')).code, 2);
    await restart('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22']);
  });

  test('opens nothing with --expose none, and says which rules that leaves out', async () => {
    await listen('--expose', '22');
    await ask('rule', 'add', '--save', '8080');
    await restart('--expose', 'none');
    assert.deepEqual(opened(), []);
    assert.match(listener.stderr.text, /Because of --expose none, .* open nothing: localhost:8080;/);
    const { bench } = await ask('rule', 'add', '--save', '443');
    assert.match(bench.stderr.text, /a start with that ignores saved rules/);
    assert.deepEqual(opened(), ['localhost:443']);
    await restart('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22', 'localhost:8080', 'localhost:443']);
  });

  test('names the rules that still open what a removed rule opened', async () => {
    await listen('--expose', '22', '--expose', '20-30', '--expose', '80');
    const { bench } = await ask('rule', 'remove', '22');
    assert.match(bench.stderr.text, /still open all or part of it: localhost:20-30$/m);
    const { bench: other } = await ask('rule', 'remove', '80');
    assert.doesNotMatch(other.stderr.text, /still open/);
    for (const text of ['90', '127.0.0.1:80-99', '*:90', '91', '10.0.0.1:90'])
      await ask('rule', 'add', '--allow-reverse', text);
    const { bench: reverse } = await ask('rule', 'remove', '--allow-reverse', '90');
    assert.match(
      reverse.stderr.text,
      /part of it: --allow-reverse 127\.0\.0\.1:80-99 --allow-reverse \*:90$/m,
    );
  });

  test('keeps a rule for a host apart from rules for a peer that gets its name later', async () => {
    await listen('--expose', '22');
    await ask('rule', 'add', '--save', 'guest.:80');
    await ask('ticket', 'new', 'guest');
    await restart('--expose', '22');
    assert.deepEqual(
      listener.tunnel.rules.list().map(({ name }) => name),
      [undefined, undefined],
    );
    assert.deepEqual(opened(), ['localhost:22', 'guest.:80']);
  });

  test('never opens the loopback again, not even when no saved rule is left', async () => {
    await listen();
    await ask('rule', 'add', '--save', '8080');
    await restart();
    assert.deepEqual(opened(), ['localhost:8080']);
    await ask('rule', 'remove', '--save', '8080');
    await restart();
    assert.deepEqual(opened(), []);
    assert.ok(!listener.tunnel.rules.isDefault);
  });

  test('forgets the rules for a ticket that is revoked, whoever revokes it, so that another ticket gets none', async () => {
    for (const runs of [true, false]) {
      await listen('--expose', '22');
      await ask('ticket', 'new', 'guest');
      await ask('rule', 'add', '--save', 'guest:80');
      if (!runs) {
        listener.signal();
        await ended;
      }
      await ask('ticket', 'revoke', 'guest');
      await ask('ticket', 'new', 'guest');
      if (runs) await restart('--expose', '22');
      else await listen('--expose', '22');
      assert.deepEqual(opened(), ['localhost:22']);
      await ask('ticket', 'revoke', 'guest');
      listener.signal();
      await ended;
    }
  });

  test('forgets them too when the ticket is revoked while the listener runs, and made anew when none does', async () => {
    await listen('--expose', '22');
    await ask('ticket', 'new', 'guest');
    await ask('rule', 'add', '--save', 'guest:80');
    await ask('ticket', 'revoke', 'guest');
    listener.signal();
    await ended;
    await ask('ticket', 'new', 'guest');
    await listen('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22']);
  });

  test('gives the rules for an allowed peer to no ticket that gets its name while no listener runs', async () => {
    await listen('--expose', '22', '--allow-peer', `laptop=${KEY}`);
    await ask('rule', 'add', '--save', 'laptop:80');
    listener.signal();
    await ended;
    await ask('ticket', 'new', 'laptop');
    await listen('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22']);
  });

  test('keeps its rules when a ticket is made while no listener runs', async () => {
    await listen('--expose', '22', '--allow-peer', `laptop=${KEY}`);
    await ask('rule', 'add', '--save', 'laptop:80', '8080');
    listener.signal();
    await ended;
    await ask('ticket', 'new', 'other');
    await listen('--expose', '22', '--allow-peer', `laptop=${KEY}`);
    assert.deepEqual(opened(), ['localhost:22', 'localhost:8080', 'laptop:localhost:80']);
  });

  test('drops rules for a peer that the options no longer name, and says so', async () => {
    await listen('--expose', '22', '--allow-peer', `laptop=${KEY}`);
    await ask('rule', 'add', '--save', 'laptop:80');
    await restart('--expose', '22');
    assert.deepEqual(opened(), ['localhost:22']);
    assert.match(
      listener.stderr.text,
      /The saved rule laptop:localhost:80 is dropped: no ticket and no peer/,
    );
  });
});

test('ticket new --uses says that each run of an ephemeral connector is another peer', async () => {
  await listen('--expose', '22');
  const { bench } = await ask('ticket', 'new', 'ci', '--uses', '1');
  assert.match(bench.stderr.text, /--ephemeral is another peer in each run, so each run uses the ticket/);
  assert.equal(bench.stdout.lines.length, 1);
  assert.doesNotMatch((await ask('ticket', 'new', 'other')).bench.stderr.text, /ephemeral/);
});
