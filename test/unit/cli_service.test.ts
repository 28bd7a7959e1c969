import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { placeTrouble, unneededNetworks } from '../../src/cli/commands/service_needs.js';
import { systemdUnit, type UnitParts } from '../../src/cli/commands/service_unit.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { CliBench } from '../support/cli_bench.js';
import { SYSTEMD, skipWithout } from '../support/programs.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const TICKET = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(7) });

/** Programs that every user can run. */
const EVERYBODYS = ['/usr/bin/env', '/usr/bin/env'];

let temp: TempFolder;
let bench: CliBench;
beforeEach(() => {
  temp = new TempFolder();
  bench = benchHere();
});
afterEach(() => temp.remove());

function benchHere(): CliBench {
  const made = new CliBench(temp.file('state'));
  made.unitFolder = temp.file('units');
  made.ownCommand = EVERYBODYS;
  return made;
}

async function printed(...args: string[]): Promise<string> {
  const printing = benchHere();
  assert.equal(await printing.run('service', 'install', '--print', ...args), 0, printing.stderr.text);
  return printing.stdout.text;
}

const execOf = (unit: string): string => /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';

describe('service install', () => {
  test('writes a user unit, starts nothing, and prints the next commands', async () => {
    assert.equal(await bench.run('service', 'install', '--', 'listen', '--expose', '22'), 0);
    const file = join(temp.file('units'), 'user', 'tox-wasm-tunnel.service');
    const unit = readFileSync(file, 'utf8');
    assert.equal(
      execOf(unit),
      `/usr/bin/env /usr/bin/env listen --expose 22 --state ${temp.file('state')} --hide-ticket --audit-log -`,
    );
    assert.match(unit, /^Restart=always$/m);
    assert.match(unit, /^LimitNOFILE=524288$/m);
    assert.match(unit, /^WantedBy=default\.target$/m);
    assert.doesNotMatch(unit, /DynamicUser|ProtectSystem|CapabilityBoundingSet/);
    assert.match(bench.stderr.text, /Wrote .*tox-wasm-tunnel\.service\. Nothing was started\./);
    assert.match(bench.stderr.text, /^ {2}systemctl --user enable --now tox-wasm-tunnel$/m);
    assert.match(bench.stderr.text, /enable-linger/);
    assert.deepEqual(bench.programs, []);
    assert.equal(bench.stdout.text, '');
  });

  test('runs listen by default; root gets a system unit', async () => {
    bench.isRoot = true;
    assert.equal(await bench.run('service', 'install', '--print', '--', '--expose', '22'), 0);
    assert.equal(
      execOf(bench.stdout.text),
      '/usr/bin/env /usr/bin/env listen --expose 22 --state /var/lib/tox-wasm-tunnel --hide-ticket --audit-log -',
    );
    for (const line of [
      ...['DynamicUser=yes', 'StateDirectory=tox-wasm-tunnel', 'ProtectHome=yes', 'CapabilityBoundingSet='],
      ...['RestartPreventExitStatus=2', 'ProtectSystem=strict', 'WantedBy=multi-user.target'],
    ])
      assert.match(bench.stdout.text, new RegExp(`^${line}$`, 'm'));
    assert.doesNotMatch(bench.stdout.text, /^MemoryDenyWriteExecute/m);
    assert.match(bench.stderr.text, /ticket --state \/var\/lib\/tox-wasm-tunnel/);
    assert.ok(!existsSync(temp.file('units')));
  });

  test('makes paths absolute, and passes files to a system service as credentials', async () => {
    const args = [
      'connect',
      '--ticket-file',
      'my-ticket',
      '-L',
      '2222:localhost:22',
      '--nodes',
      '/etc/a.json',
    ];
    const user = await printed('--user', '--', ...args, '--nodes', '/etc/b.json');
    assert.match(execOf(user), new RegExp(`--ticket-file ${process.cwd()}/my-ticket .*--nodes /etc/a.json`));
    assert.doesNotMatch(user, /LoadCredential/);

    const system = await printed('--system', '--', ...args, '--nodes', '/etc/b.json');
    assert.match(system, new RegExp(`^LoadCredential=ticket-file:${process.cwd()}/my-ticket$`, 'm'));
    assert.match(system, /^LoadCredential=nodes:\/etc\/a\.json\nLoadCredential=nodes-2:\/etc\/b\.json$/m);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: systemd's
    assert.ok(execOf(system).includes('--ticket-file ${CREDENTIALS_DIRECTORY}/ticket-file '), system);
    assert.match(
      execOf(system),
      /--nodes \$\{CREDENTIALS_DIRECTORY\}\/nodes-2 .*--state \/var\/lib\/tox-wasm-tunnel-connect$/,
    );
  });

  test('writes no proxy password to a unit', async () => {
    for (const [url, ...args] of [
      ['socks5://joe:hunter2@10.0.0.1:1080', 'listen'],
      ['http://:hunter2@10.0.0.1', 'connect', 'home'],
      ['joe:hunter2@10.0.0.1:1080', 'listen'],
    ]) {
      const refusing = benchHere();
      assert.equal(await refusing.run('service', 'install', '--', ...args, '--proxy', String(url)), 2);
      assert.match(refusing.stderr.text, /use --proxy-password-file FILE/);
      assert.doesNotMatch(refusing.stderr.text + refusing.stdout.text, /hunter2/);
    }
    assert.ok(!existsSync(temp.file('units')));
    const unit = await printed(
      '--',
      'listen',
      '--expose',
      '22',
      '--proxy',
      'socks5://joe@10.0.0.1',
      '--proxy-password-file',
      '/p',
    );
    assert.match(execOf(unit), / --proxy socks5:\/\/joe@10\.0\.0\.1 --proxy-password-file \/p /);
    const config = temp.file('config.json');
    writeFileSync(
      config,
      JSON.stringify({ listen: { expose: [22], proxy: 'socks5://joe:hunter2@10.0.0.1' } }),
    );
    assert.doesNotMatch(await printed('--', 'listen', '--config', config), /hunter2/);
  });

  test('keeps --config, and passes the files that it names', async () => {
    const config = temp.file('config.json');
    writeFileSync(
      config,
      JSON.stringify({ connect: { 'ticket-file': '/etc/ticket', local: ['80:localhost:80'] } }),
    );
    const unit = await printed('--system', '--', 'connect', '--config', config);
    assert.match(unit, /^LoadCredential=ticket-file:\/etc\/ticket$/m);
    assert.match(unit, new RegExp(`^LoadCredential=config:${config}$`, 'm'));
    assert.match(unit, /^AmbientCapabilities=CAP_NET_BIND_SERVICE$/m);
    assert.doesNotMatch(execOf(unit), /--local/);
    assert.match(
      execOf(await printed('--user', '--', 'connect', '--config', config)),
      / --ticket-file \/etc\/ticket /,
    );
  });

  const low: ReadonlyArray<readonly [args: readonly string[], isLow: boolean]> = [
    [['connect', '--ticket-file', '/t', '-L', '80:localhost:80'], true],
    [['connect', '--ticket-file', '/t', '-L', '8080:localhost:80'], false],
    [['connect', '--ticket-file', '/t', '-L', '/run/a.sock:localhost:80'], false],
    [['connect', '--ticket-file', '/t', '-D', '0.0.0.0:443'], true],
    [['connect', '--ticket-file', '/t', '443', '-p', '443'], true],
    [['connect', '--ticket-file', '/t', '443'], false],
    [['node', '--tcp-port', '443'], true],
    [['node', '--port', '0'], false],
    [['listen', '--allow-reverse', 'laptop:0.0.0.0:80'], true],
    [['listen', '--expose', '22', '--metrics', '9100'], false],
    [['listen', '--expose', '22', '--udp-port', '500-600'], true],
  ];
  for (const [args, isLow] of low) {
    test(`${args.join(' ')} ${isLow ? 'gets' : 'does not get'} the capability for low ports`, async () => {
      const unit = await printed('--system', '--', ...args);
      assert.equal(/CAP_NET_BIND_SERVICE/.test(unit), isLow);
    });
  }

  test('names the unit after its command, or as chosen', async () => {
    assert.match(await printed('--system', '--', 'node'), /^StateDirectory=tox-wasm-tunnel-node$/m);
    assert.match(
      await printed('--system', '--name', 'db', '--', '--expose', '22'),
      /^StateDirectory=tox-wasm-tunnel-db$/m,
    );
  });

  test('adds no --state with --ephemeral, and never lets the ticket into the journal', async () => {
    assert.equal(
      execOf(await printed('--', '--ephemeral', '--expose', 'none')),
      '/usr/bin/env /usr/bin/env listen --expose none --ephemeral --hide-ticket --audit-log -',
    );
    assert.match(
      execOf(await printed('--', '-v', '--allow-reverse', '8080')),
      / listen --allow-reverse 8080 --verbose --state \S+ --hide-ticket --audit-log -$/,
    );
  });

  test('has the listener fail when the rules leave the --config file', async () => {
    const config = temp.file('config.json');
    writeFileSync(config, '{"listen":{"max-peers":3}}');
    assert.equal(await bench.run('listen', '--config', config, '--need-rule'), 2);
    assert.match(
      bench.stderr.text,
      /--need-rule, but no rule is given .*; name what ticket holders may reach/,
    );
    assert.equal(bench.calls.length, 0);
  });

  test('accepts rules from a --config file, even an empty list', async () => {
    const config = temp.file('config.json');
    writeFileSync(config, '{"listen":{"expose":[]}}');
    assert.match(execOf(await printed('--', 'listen', '--config', config)), / listen --config \S+ --state /);
    // The rule may leave the file later: then the whole loopback must not open.
    for (const file of ['{"listen":{"expose":[]}}', '{"listen":{"allow-reverse":[80],"need-rule":true}}']) {
      writeFileSync(config, file);
      const unit = execOf(await printed('--', 'listen', '--config', config));
      assert.equal(unit.includes('--need-rule'), !file.includes('need-rule'));
    }
    assert.doesNotMatch(execOf(await printed('--', 'listen', '--expose', '22')), /--need-rule/);
    writeFileSync(config, '{"listen":{"max-peers":3}}');
    assert.equal(await bench.run('service', 'install', '--print', '--', 'listen', '--config', config), 2);
    assert.match(bench.stderr.text, /name what ticket holders may reach/);
  });

  test('keeps the audit in the journal, or in a folder of the service, and reloads by SIGHUP', async () => {
    const journal = await printed('--system', '--', '--expose', '22');
    assert.match(journal, /^LogRateLimitIntervalSec=0$/m);
    assert.doesNotMatch(journal, /LogsDirectory/);
    assert.match(journal, /^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
    const file = '/var/log/tox-wasm-tunnel/audit.jsonl';
    const unit = await printed('--system', '--', '--expose', '22', '--audit-log', file);
    assert.match(unit, /^LogsDirectory=tox-wasm-tunnel$/m);
    assert.match(execOf(unit), new RegExp(` --audit-log ${file} --state \\S+ --hide-ticket$`));
    const node = await printed('--system', '--', 'node');
    assert.doesNotMatch(node, /--audit-log|--hide-ticket|LogRateLimit/);
  });

  test('keeps the service from the secrets of a cloud, unless a rule or the resolver needs the address', async () => {
    const unit = await printed('--system', '--', '--expose', '22');
    assert.match(unit, /^IPAddressDeny=168\.63\.129\.16\/32$/m);
    const named = await printed('--system', '--', '--expose', '168.63.129.16:80');
    assert.doesNotMatch(named, /^IPAddressDeny=168\.63\.129\.16/m);
    assert.match(named, /^IPAddressDeny=100\.100\.100\.200\/32$/m);
    const all = unneededNetworks('nameserver 127.0.0.53\n', []);
    assert.ok(all.includes('169.254.169.254/32') && all.includes('fd00:ec2::/32'));
    const google = unneededNetworks('search c.x.internal\nnameserver 169.254.169.254\n', []);
    assert.deepEqual(new Set([...google, '169.254.169.254/32']), new Set(all));
    assert.ok(!unneededNetworks('nameserver fd00:ec2::253\n', []).includes('fd00:ec2::/32'));
  });

  test('overwrites its own unit, but not a unit of another program', async () => {
    assert.equal(await bench.run('service', 'install', '--', '--expose', '80'), 0);
    assert.equal(await bench.run('service', 'install', '--', '--expose', '22'), 0);
    const file = join(temp.file('units'), 'user', 'tox-wasm-tunnel.service');
    assert.match(readFileSync(file, 'utf8'), /--expose 22/);
    writeFileSync(file, 'precious');
    assert.equal(await bench.run('service', 'install', '--', '--expose', '22'), 2);
    assert.match(bench.stderr.text, /exists and was not written by tox-wasm-tunnel; nothing was changed/);
    assert.equal(readFileSync(file, 'utf8'), 'precious');
  });

  test('--json reports the unit and the next commands', async () => {
    assert.equal(await bench.run('service', 'install', '--print', '--json', '--', '--expose', '22'), 0);
    const [event] = bench.stdout.events;
    assert.equal(event?.event, 'service');
    assert.deepEqual(Object.keys(event), ['event', 'name', 'scope', 'unit', 'next']);
  });

  const bad: ReadonlyArray<readonly [args: readonly string[], why: RegExp]> = [
    [['remove'], /service has no action "remove"; give install; see/],
    [['install', '--user', '--system'], /cannot be combined/],
    [
      ['install'],
      /name what ticket holders may reach: --expose 22 .*--allow-reverse 8080 .*--expose none .*'localhost:\*'/,
    ],
    [['install', '--', 'listen', '--max-peers', '2'], /name what ticket holders may reach/],
    [['install', '--', 'listen', '--expose', 'none', '--expose', '22'], /cannot be combined/],
    [['install', '--', 'id'], /"id" cannot be a service; listen, connect and node can/],
    [
      ['install', '--', 'listen', '--expsoe', '22'],
      /listen has no option --expsoe; did you mean --expose\? see tox-wasm-tunnel listen --help/,
    ],
    [['install', '--', 'listen', '--config', '/nowhere/x'], /cannot be read/],
    [['install', '--', 'connect', TICKET, '22'], /every user of this machine can read a ticket in a unit/],
    [['install', '--', 'connect', '-', '22'], /no standard input/],
    [['install', '--', 'connect'], /the listener is missing/],
    [['install', '--', 'connect', 'home', '-W', 'localhost:22'], /cannot use -W/],
    [['install', '--', 'connect', 'home', '22', '--exec', 'ls'], /cannot use --exec/],
    [['install', '--', 'connect', 'home', '22', '--', 'ls'], /cannot run a program/],
    [
      ['install', '--', 'connect', 'home', '-L', '1:localhost'],
      /-L "1:localhost": a forward has three or four parts/,
    ],
    [['install', '--system', '--', 'connect', 'home', '22'], /cannot read the names of a user/],
    [
      ['install', '--system', '--', '--expose', '22', '--state', '/srv/x'],
      /keeps its state in \/var\/lib\/tox-wasm-tunnel/,
    ],
    [['install', '--system', '--', '--expose', '22', '--nodes', '/a b'], /without blanks/],
    [
      ['install', '--', '--expose', '22', '--audit-log', 'here'],
      /needs an absolute path, or - for the journal/,
    ],
    [
      ['install', '--system', '--', '--expose', '22', '--audit-log', '/srv/audit'],
      /its own folder, as in --audit-log \/var\/log\/tox-wasm-tunnel\/audit\.jsonl/,
    ],
    [['install', '--name', 'a b', '--', '--expose', '22'], /--name "a b" is not a valid name/],
    [
      ['install', '--user', '--', '--expose', '22', '--state', '/srv/a\nb'],
      /cannot be part of a systemd unit/,
    ],
  ];
  for (const [args, why] of bad) {
    test(`service ${args.join(' ').replace(TICKET, 'TICKET')} is rejected`, async () => {
      assert.equal(await bench.run('service', ...args), 2);
      assert.match(bench.stderr.text, why);
      assert.ok(!existsSync(temp.file('units')));
    });
  }

  for (const [platform, what] of [
    ['darwin', /launchd run: .* listen$/m],
    ['win32', /Task Scheduler run/],
  ] as const) {
    test(`names the alternative on ${platform}`, async () => {
      bench.platform = platform;
      assert.equal(await bench.run('service', 'install', '--', 'listen'), 2);
      assert.match(bench.stderr.text, what);
    });
  }
});

describe('the place of the program', () => {
  test('suits a system service when everybody can read it', async () => {
    assert.equal(await placeTrouble(EVERYBODYS), undefined);
  });

  test('may be a temporary folder for a user service, but not for a system service', async () => {
    const script = temp.file('main.js');
    writeFileSync(script, '');
    assert.deepEqual(await placeTrouble([script]), { kind: 'temporary', file: script });
    bench.ownCommand = ['/usr/bin/env', script];
    assert.equal(await bench.run('service', 'install', '--system', '--print', '--', '--expose', '22'), 2);
    assert.match(bench.stderr.text, /is in a temporary folder/);
    assert.equal(await bench.run('service', 'install', '--user', '--print', '--', '--expose', '22'), 0);
  });

  test('makes the service run as the owner of a private folder, and says so', {
    skip: process.getuid?.() === 0 ? false : 'needs root, for a folder next to /tmp',
  }, async () => {
    const place = mkdtempSync('/opt/tox-wasm-tunnel-test-');
    try {
      const folder = join(place, 'private');
      mkdirSync(folder);
      const script = join(folder, 'main.js');
      writeFileSync(script, '', { mode: 0o644 });
      chmodSync(place, 0o755);
      chmodSync(folder, 0o755);
      assert.equal(await placeTrouble([script]), undefined);
      chmodSync(folder, 0o750);
      assert.deepEqual(await placeTrouble([script]), { kind: 'private', file: script, ownerId: 0 });
      bench.ownCommand = ['/usr/bin/env', script];
      assert.equal(await bench.run('service', 'install', '--system', '--print', '--', '--expose', '22'), 0);
      assert.match(bench.stdout.text, /^User=root$/m);
      assert.match(bench.stdout.text, /^ProtectHome=read-only$/m);
      assert.match(bench.stdout.text, /^CapabilityBoundingSet=$/m);
      assert.doesNotMatch(bench.stdout.text, /DynamicUser/);
      assert.match(bench.stderr.text, /runs as user root instead of one of its own/);
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});

describe('a unit', () => {
  const parts: UnitParts = {
    scope: 'user',
    name: 'x',
    description: 'x',
    command: ['/usr/bin/env'],
    credentials: new Map(),
    user: undefined,
    needsLowPorts: false,
    deniedNetworks: ['169.254.169.254/32', 'fd00:ec2::/32'],
    auditsToJournal: true,
    hasLogFolder: false,
  };

  test('keeps each word a single word, whatever its characters', () => {
    const command = ['/usr/bin/env', 'two words', '100%', '$HOME', 'a"b', 'back\\slash', "joe's", ';', ''];
    assert.equal(
      execOf(systemdUnit({ ...parts, command })),
      String.raw`/usr/bin/env "two words" 100%% $$HOME "a\"b" "back\\slash" "joe's" ";" ""`,
    );
  });

  for (const scope of ['user', 'system'] as const) {
    test(`for ${scope} passes systemd-analyze without a warning`, {
      skip: skipWithout(SYSTEMD),
      timeout: 60_000,
    }, async () => {
      const file = temp.file('x.service');
      const command = ['/usr/bin/env', 'two words', '100%', '$HOME', "joe's"];
      const credentials = new Map([['/etc/hostname', 'ticket-file']]);
      writeFileSync(
        file,
        systemdUnit({ ...parts, scope, command: [...command, '/etc/hostname'], credentials }),
      );
      const manager = scope === 'user' ? '--user' : '--system';
      const { exitCode, stdout, stderr } = await runProgram(
        'systemd-analyze',
        [...['verify', manager, '--man=no', file]],
        { env: { ...process.env, XDG_RUNTIME_DIR: temp.path, HOME: temp.path } },
      );
      const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('x.service'));
      assert.deepEqual(about, []);
      assert.equal(exitCode, 0, stderr);
    });
  }

  for (const [what, more] of [
    ['', {}],
    [' on a low port', { needsLowPorts: true }],
    [' with a file for its audit', { hasLogFolder: true, auditsToJournal: false }],
  ] as const) {
    test(`for the system${what} has an exposure of at most 1.5 of 10, by systemd-analyze`, {
      skip: skipWithout(SYSTEMD),
      timeout: 60_000,
    }, async () => {
      const file = temp.file('x.service');
      writeFileSync(file, systemdUnit({ ...parts, scope: 'system', ...more }));
      const { stdout, stderr } = await runProgram('systemd-analyze', [
        ...['security', '--offline=true', '--no-pager', '--threshold=15', file],
      ]);
      const [, exposure] = /Overall exposure level for x\.service: (\d+\.\d)/.exec(stdout) ?? [];
      assert.ok(Number(exposure) <= 1.5, `${stdout}${stderr}`);
    });
  }
});
