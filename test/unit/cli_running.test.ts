import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { hasTerminal } from '../../src/cli/process/terminal.js';
import { TunnelError } from '../../src/core/errors.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { parseReverseSpec, printBind } from '../../src/rules/forward_spec.js';
import { CliBench } from '../support/cli_bench.js';
import { SOME_PEER } from '../support/some_peer.js';
import { TempFolder } from '../support/temp_folder.js';

const TICKET = formatTicket({
  toxId: parseToxId('56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5'),
  secret: new Uint8Array(32).fill(3),
});
const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

const temp = new TempFolder();
after(() => temp.remove());

let bench = new CliBench();
let folder = '';
let count = 0;
beforeEach(() => {
  bench = new CliBench();
  folder = temp.file(String(count++));
  bench.stateFolder = folder;
});

describe('SIGHUP', () => {
  beforeEach(() => {
    bench.onStart = async () => bench.tunnel;
  });

  for (const args of [['listen'], ['node'], [ID, '22', '-p', '2222']]) {
    test(`ends ${args[0] === ID ? 'connect' : args[0]} gracefully when its terminal closes, which sends it twice`, async () => {
      const { ended } = await bench.start(/Forwarding|Listening|Bootstrap node/, ...args);
      bench.signal('SIGHUP');
      bench.signal('SIGHUP');
      assert.equal(await ended, 0);
      assert.equal(bench.tunnel.closes, 1);
      assert.deepEqual(bench.exits, []);
    });

    test(`does not end ${args[0] === ID ? 'connect' : args[0]} without a terminal`, async () => {
      bench.hasTerminal = false;
      const { ended } = await bench.start(/Forwarding|Listening|Bootstrap node/, ...args, '-v');
      bench.signal('SIGHUP');
      await bench.shown(/Reloaded/);
      assert.equal(bench.tunnel.closes, 0);
      bench.signal('SIGTERM');
      assert.equal(await ended, 0);
    });
  }

  test('ends -W even without a terminal, because ssh asks it to', async () => {
    bench.hasTerminal = false;
    const { ended } = await bench.start(/Started/, 'connect', ID, '-W', 'localhost:22', '-v');
    await bench.until(() => bench.tunnel.dials.length > 0);
    bench.signal('SIGHUP');
    assert.equal(await ended, 0);
  });

  test('means a closed terminal only where one was open, and not under nohup', () => {
    const stderrOnly = (descriptor: number): boolean => descriptor === 2;
    assert.equal(hasTerminal({}, stderrOnly), true);
    assert.equal(
      hasTerminal({}, () => false),
      false,
    );
    assert.equal(hasTerminal({ _: '/usr/bin/nohup' }, stderrOnly), false);
    assert.equal(hasTerminal({ _: '/usr/bin/node' }, stderrOnly), true);
  });
});

describe('a program that runs while the tunnel is up', () => {
  beforeEach(() => {
    bench.onStart = async () => bench.tunnel;
  });
  const forward = [ID, '22', '-p', '2222'];

  test('starts when the listener is online, and its exit code is the exit code of the command', async () => {
    const { ended } = await bench.start(/Forwarding/, ...forward, '--', 'job', '-x', '--wait');
    assert.equal(bench.programs.length, 0);
    bench.tunnel.comeOnline(SOME_PEER);
    await bench.until(() => bench.programs.length > 0);
    const [program] = bench.programs;
    assert.deepEqual(program?.call, { words: ['job', '-x', '--wait'] });
    assert.deepEqual(program.variables, {
      TOX_WASM_TUNNEL_ADDRESS: '127.0.0.1:2222',
      TOX_WASM_TUNNEL_HOST: '127.0.0.1',
      TOX_WASM_TUNNEL_PORT: '2222',
    });
    assert.equal(bench.tunnel.closes, 0);
    program.end(7);
    assert.equal(await ended, 7);
    assert.equal(bench.tunnel.closes, 1);
  });

  test('gets variables for each forward, and none for the port of a path', async () => {
    const more = ['-L', '[::1]:5000:db:1', '-L', '/tmp/x.sock:db:1', '--exec', 'job | cat'];
    const { ended } = await bench.start(/x\.sock/, ...forward, ...more);
    bench.tunnel.comeOnline(SOME_PEER);
    await bench.until(() => bench.programs.length > 0);
    const [program] = bench.programs;
    assert.deepEqual(program?.call, { shell: 'job | cat' });
    const { variables } = program;
    assert.equal(variables['TOX_WASM_TUNNEL_HOST_2'], '::1');
    assert.equal(variables['TOX_WASM_TUNNEL_PORT_2'], '5000');
    assert.equal(variables['TOX_WASM_TUNNEL_ADDRESS_3'], '/tmp/x.sock');
    assert.equal(variables['TOX_WASM_TUNNEL_PORT_3'], undefined);
    program.end(0);
    assert.equal(await ended, 0);
  });

  test('waits for the ports of -R too, and a final refusal ends the command', async () => {
    const { ended } = await bench.start(/Forwarding/, ...forward, '-R', '8080:localhost:80', '--', 'job');
    bench.tunnel.comeOnline(SOME_PEER);
    await new Promise(setImmediate);
    assert.equal(bench.programs.length, 0);
    bench.tunnel.openReverse(bench.tunnel.reverses[0]!, '127.0.0.1:8080');
    await bench.until(() => bench.programs.length > 0);
    bench.programs[0]?.end(0);
    assert.equal(await ended, 0);

    const other = new CliBench();
    other.stateFolder = folder;
    const second = await other.start(/Forwarding/, ...forward, '-R', '8080:localhost:80', '--', 'job');
    other.tunnel.comeOnline(SOME_PEER);
    other.tunnel.emit('refused', {
      kind: 'reverse',
      target: '8080',
      reason: 'not-allowed',
      text: 'not this',
      peer: '',
    });
    assert.equal(await second.ended, 1);
    assert.match(other.stderr.text, /does not open the port of -R: not this/);
  });

  test('gets the signals instead of the tunnel; only errors are printed while it runs', async () => {
    const { ended } = await bench.start(/Forwarding/, ...forward, '--', 'job');
    bench.tunnel.comeOnline(SOME_PEER);
    await bench.until(() => bench.programs.length > 0);
    const [program] = bench.programs;
    const told = bench.stderr.text;
    bench.tunnel.emit('waiting', { message: 'something' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGTERM'] as const) bench.signal(signal);
    assert.deepEqual(program?.signals, ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGTERM']);
    assert.deepEqual([bench.exits, bench.tunnel.closes, bench.stdout.text], [[], 0, '']);
    program.end(143);
    assert.equal(await ended, 143);
    assert.equal(bench.stderr.text, told);
  });

  test('a signal before its start exits with 128 plus the number of the signal', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      const each = new CliBench();
      each.stateFolder = folder;
      const { ended } = await each.start(/Forwarding/, ...forward, '--exec', 'job');
      each.signal(signal);
      assert.equal(await ended, code);
      assert.equal(each.programs.length, 0);
    }
  });

  test('gets SIGTERM when the tunnel fails, and the command exits with the failure', async () => {
    const { ended } = await bench.start(/Forwarding/, ...forward, '--', 'job');
    bench.tunnel.comeOnline(SOME_PEER);
    await bench.until(() => bench.programs.length > 0);
    const [program] = bench.programs;
    const gone = new TunnelError('ERR_HANDSHAKE_REFUSED', 'shut out', { returnCode: 202 });
    bench.tunnel.emit('error', gone);
    assert.deepEqual(program?.signals, ['SIGTERM']);
    assert.equal(bench.tunnel.closes, 0);
    program.end(143);
    assert.equal(await ended, 202);
    assert.match(bench.stderr.text, /shut out/);
  });

  for (const [code, exit, why] of [
    ['ENOENT', 127, /"job": no such program/],
    ['EACCES', 126, /"job": it is not executable \(EACCES\); run chmod \+x on it/],
    ['E2BIG', 126, /"job": .*spawn job E2BIG/],
  ] as const) {
    test(`exits with ${exit} when the program fails to start with ${code}`, async () => {
      bench.programError = Object.assign(new Error(`spawn job ${code}`), { code });
      const { ended } = await bench.start(/Forwarding/, ...forward, '--', 'job');
      bench.tunnel.comeOnline(SOME_PEER);
      assert.equal(await ended, exit);
      assert.match(bench.stderr.text, why);
    });
  }
});

describe('--wait', () => {
  const args = [ID, '22', '-p', '2222', '--wait', '9'];

  for (const [last, code] of [
    [undefined, 204],
    [201, 204],
    [202, 202],
    [203, 203],
  ] as const) {
    test(`exits with ${code} when the time is up and the last message ended with ${last ?? 'nothing'}`, async () => {
      const { ended } = await bench.start(/Forwarding/, ...args, '--ephemeral');
      // Only the last message counts.
      if (last === 201) bench.tunnel.emit('code', { code: 203 });
      if (last !== undefined) bench.tunnel.emit('code', { code: last });
      await bench.until(() => bench.timers.some(({ delayMs }) => delayMs === 9_000));
      bench.pass(8_999);
      assert.equal(bench.tunnel.closes, 0);
      bench.pass(1);
      assert.equal(await ended, code);
      assert.match(bench.stderr.text, /waited 9 s/);
    });
  }

  test('has no effect once the listener is online', async () => {
    const { ended } = await bench.start(/Forwarding/, ...args, '--ephemeral');
    bench.tunnel.comeOnline(SOME_PEER);
    await bench.until(() => bench.timers.length === 0);
    assert.equal(bench.tunnel.closes, 0);
    bench.signal();
    assert.equal(await ended, 0);
  });

  test('exits with 1 and the reason when a port of -R is not open in time', async () => {
    const { ended } = await bench.start(/Forwarding/, ...args, '-R', '80:localhost:80', '--ephemeral');
    bench.tunnel.comeOnline(SOME_PEER);
    bench.tunnel.emit('refused', {
      kind: 'reverse',
      target: '80',
      reason: 'limit',
      text: 'in use; asking again',
      peer: '',
    });
    bench.tick();
    assert.equal(await ended, 1);
    assert.match(bench.stderr.text, /does not open the port of -R: in use/);
  });

  test('return code 102 is an exit code too', async () => {
    const { ended } = await bench.start(/"forward"/, ...args, '--json', '--ephemeral');
    bench.tunnel.emit('error', new TunnelError('ERR_FRIEND_ADD', 'bad key', { returnCode: 102 }));
    assert.equal(await ended, 102);
    assert.deepEqual(bench.stdout.events.at(-1), {
      event: 'error',
      code: 'ERR_FRIEND_ADD',
      message: 'the peer could not be added as a friend: bad key',
      returnCode: 102,
    });
  });
});

describe('a running connector', () => {
  let connector = new CliBench();
  let ended: Promise<number> = Promise.resolve(0);
  beforeEach(async () => {
    connector = new CliBench();
    connector.stateFolder = folder;
    connector.pid = 4711;
    ({ ended } = await connector.start(/"forward"/, ID, '-L', '2222:localhost:22', '--json'));
  });
  afterEach(async () => {
    connector.signal();
    await ended;
  });

  async function ask(...args: string[]): Promise<{ code: number; asker: CliBench }> {
    const asker = new CliBench();
    asker.stateFolder = folder;
    return { code: await asker.run(...args), asker };
  }

  test('lists, adds and removes forwards in the syntax of -L, -D and -R', async () => {
    const added = await ask('forward', 'add', '-L', '0:db:5432', '-D', '1080');
    assert.equal(added.code, 0, added.asker.stderr.text);
    assert.equal(added.asker.stdout.text, '-L 40001:db:5432\n-D 1080\n');
    assert.equal(connector.tunnel.forwards.length, 2);
    assert.match(connector.stdout.text, /"local":"127.0.0.1:40001","target":"db:5432"/);
    assert.equal((await ask('forward', 'rm', '-L', '40001', '-D', '1080')).code, 0);
    assert.deepEqual(connector.tunnel.closed, ['127.0.0.1:40001', '127.0.0.1:1080']);
    assert.deepEqual(
      connector.stdout.events.filter(({ event }) => event === 'removed'),
      [
        { event: 'removed', kind: 'local', local: '127.0.0.1:40001', target: 'db:5432' },
        { event: 'removed', kind: 'dynamic', local: '127.0.0.1:1080', target: '*' },
      ],
    );
    assert.equal((await ask('forward', 'list')).asker.stdout.text, '-L 2222:localhost:22\n');
    assert.equal((await ask('forward', 'rm', '-L', '2222:localhost:22')).code, 0);
    const { asker } = await ask('forward', 'list', '--json');
    assert.deepEqual(asker.stdout.events, [{ event: 'forwards', pid: 4711, forwards: [] }]);
  });

  test('rejects unknown forwards, other targets and unavailable ports', async () => {
    connector.tunnel.onForward = () => {
      throw new TunnelError('ERR_LISTEN', '127.0.0.1:2222 is in use');
    };
    for (const [args, exit, why] of [
      [['rm', '-L', '23'], 2, /there is no forward -L 23; forward list shows/],
      [['rm', '-L', '2222:localhost:23'], 2, /there is no forward -L 2222:localhost:23/],
      [['rm', '-D', '2222'], 2, /there is no forward -D 2222/],
      [['add', '-L', '2223:localhost:22'], 1, /2222 is in use/],
      [['list', '--pid', '12'], 2, /no connector 12 is running.*running: 4711/],
    ] as const) {
      const { code, asker } = await ask('forward', ...args);
      assert.equal(code, exit);
      assert.match(asker.stderr.text, why);
    }
    assert.deepEqual(connector.tunnel.closed, []);
  });

  test('does not add a port of -R that the listener refuses, and gives the reason', async () => {
    connector.tunnel.comeOnline(SOME_PEER);
    const asked = ask('forward', 'add', '-R', '8080:localhost:80');
    await connector.until(() => connector.tunnel.reverses.length > 0);
    connector.tunnel.emit('refused', {
      kind: 'reverse',
      target: '8080',
      reason: 'not-allowed',
      text: 'no such',
      peer: '',
    });
    const { code, asker } = await asked;
    assert.equal(code, 1);
    assert.match(asker.stderr.text, /does not open 8080:localhost:80: no such; nothing was added/);
    assert.deepEqual(connector.tunnel.closed, ['-R 8080']);
  });

  test('a port of -R is open once the listener confirms it, and asked while the listener is offline', async () => {
    const away = await ask('forward', 'add', '-R', '8080:localhost:80');
    assert.equal(away.asker.stdout.text, '-R 8080:localhost:80  asked\n');
    assert.equal((await ask('forward', 'add', '-R', '8080:localhost:81')).code, 2);
    connector.tunnel.comeOnline(SOME_PEER);
    const asked = ask('forward', 'add', '-R', '0:localhost:81');
    await connector.until(() => connector.tunnel.reverses.length > 1);
    connector.tunnel.openReverse(connector.tunnel.reverses[1]!, '127.0.0.1:40009');
    assert.equal((await asked).asker.stdout.text, '-R 40009:localhost:81  open\n');
    assert.deepEqual(parseReverseSpec('0:localhost:81'), connector.tunnel.reverses[1]);
  });

  test('status shows it together with the listener', async () => {
    const listener = new CliBench();
    listener.stateFolder = folder;
    const other = await listener.start(/Ctrl-C/);
    connector.tunnel.comeOnline(SOME_PEER);
    const asked = ask('status');
    for (const each of [listener, connector]) {
      await each.until(() => each.timers.some(({ delayMs }) => delayMs === 500));
      each.tick();
    }
    const { code, asker } = await asked;
    assert.equal(code, 0, asker.stderr.text);
    const [first, nobody, second, peer, forward] = asker.stdout.lines;
    assert.match(first ?? '', /^listener \d+: up 0 s, joined over UDP, in 1\.2 kB \(0 B\/s\), out 56 MB/);
    assert.equal(nobody, '  no peer is connected');
    assert.match(second ?? '', /^connector 4711: up 0 s, joined over UDP/);
    assert.match(peer ?? '', /^ {2}ABAB.*udp, 1 min 5 s, 12\.5 ms {2}2 open {2}/);
    assert.equal(forward, '  -L 2222:localhost:22');
    listener.signal();
    await other.ended;
  });

  for (const [code, what, network, status] of [
    [0, 'its listener is online', 'udp', 'online'],
    [0, 'a peer that is online proves the network', 'none', 'online'],
    [3, 'it is not joined to the network', 'none', 'away'],
    [204, 'its listener is not online', 'relay', 'away'],
  ] as const) {
    test(`status exits with ${code} when ${what}`, async () => {
      connector.tunnel.node.path = network;
      connector.tunnel.friends = [{ ...SOME_PEER, status }];
      const asked = ask('status');
      await connector.until(() => connector.timers.some(({ delayMs }) => delayMs === 500));
      connector.tick();
      const { code: got, asker } = await asked;
      assert.equal(got, code, asker.stderr.text);
    });
  }

  test('a second forward at the same place is refused as ours, not as one of another program', async () => {
    const { code, asker } = await ask('forward', 'add', '-L', '2222:db:1');
    assert.equal(code, 2);
    assert.match(asker.stderr.text, /already a forward -L 2222:localhost:22; remove it first/);
  });

  test('--pid chooses one of several', async () => {
    const second = new CliBench();
    second.stateFolder = folder;
    second.pid = 4712;
    // Another ticket: with the same one, the first connector would take the forward.
    const other = await second.start(/Forwarding/, TICKET, '-L', '23:localhost:23');
    const { code, asker } = await ask('forward', 'list');
    assert.equal(code, 2);
    assert.match(asker.stderr.text, /several connectors are running: 4711, 4712; choose one with --pid/);
    assert.equal((await ask('forward', 'list', '--pid', '4712')).asker.stdout.text, '-L 23:localhost:23\n');
    second.signal();
    await other.ended;
    assert.equal((await ask('forward', 'list')).code, 0);
  });
});

describe('two options for one local port', () => {
  for (const [args, says] of [
    [['-L', '8080:a:1', '-L', '8080:b:2'], /-L 8080:a:1 and -L 8080:b:2 name the same local port 8080/],
    [['8080', '-L', '8080:b:2'], /PORT 8080 and -L 8080:b:2 name/],
    [['22', '-p', '8080', '-D', '8080'], /-p 8080 and -D 8080 name/],
    [['-D', '0.0.0.0:8080', '-L', '8080:b:2'], /name the same local port 8080/],
    [['-L', '8080:a:1', '-L', 'localhost:8080:b:2'], /name the same local port 8080/],
    [['-L', '/tmp/x.sock:a:1', '-L', '/tmp/x.sock:b:2'], /name the same local path \/tmp\/x\.sock/],
    [['--udp-forward', '53:a:1', '--udp-forward', '53:b:2'], /--udp-forward 53:a:1 and/],
    [['-L', '9100:a:1', '--metrics', '9100'], /and --metrics name/],
  ] as const) {
    test(`${args.join(' ')} is an error that names both`, async () => {
      assert.equal(await bench.run('connect', ID, ...args), 2);
      assert.match(bench.stderr.text, says);
      assert.deepEqual(bench.calls, []);
    });
  }

  test('free ports, other addresses, and UDP beside TCP do not collide', async () => {
    bench.onStart = async () => bench.tunnel;
    const args = [
      '-L',
      '0:a:1',
      '-L',
      '0:b:2',
      '-L',
      '53:a:1',
      '-L',
      '[::1]:53:a:1',
      '--udp-forward',
      '53:a:1',
    ];
    const { ended } = await bench.start(/UDP/, 'connect', ID, ...args);
    // The default loopback would take ::1 if it came first.
    const binds = bench.tunnel.forwards.map(({ bind }) => printBind(bind));
    assert.deepEqual(binds, ['[::1]:53', '0', '0', '53']);
    bench.signal();
    assert.equal(await ended, 0);
  });
});
