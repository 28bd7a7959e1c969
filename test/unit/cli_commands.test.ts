import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { makeIdentity } from '../../src/cli/commands/id.js';
import { hostsOf } from '../../src/cli/commands/node.js';
import type { LocalAddress } from '../../src/cli/process/io.js';
import { run } from '../../src/cli/run.js';
import { TunnelError } from '../../src/core/errors.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { printBind } from '../../src/rules/forward_spec.js';
import { createIdentity, toxIdOf } from '../../src/state/identity.js';
import { openIdentity, readIdentity } from '../../src/state/identity_file.js';
import { CliBench, type FakeTunnel } from '../support/cli_bench.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const TICKET = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(7) });
const KEY = '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';
const PEER = 'abcdef0123456789'.repeat(4);

let bench = new CliBench();
let folder = '';
beforeEach(async () => {
  bench = new CliBench();
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  bench.stateFolder = folder;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const lockIsFree = async (role: 'listener' | 'connector' | 'node'): Promise<boolean> => {
  const opened = await openIdentity({ folder, role, onBusy: 'ephemeral' });
  await opened.release();
  return !opened.ephemeral;
};

describe('listen', () => {
  test('prints the ticket, the command for the other machine and the exposed targets', async () => {
    const { ended } = await bench.start(/Ctrl-C/, 'listen', '--expose', '22', '--expose', 'db.lan:5432');
    assert.equal(bench.stdout.text, '');
    assert.match(bench.stderr.text, new RegExp(`^  ${bench.tunnel.ticket}$`, 'm'));
    assert.match(bench.stderr.text, new RegExp(`^  npx tox-wasm-tunnel ${bench.tunnel.ticket} 22$`, 'm'));
    assert.match(bench.stderr.text, /^Peers may reach: localhost:22, db\.lan:5432$/m);
    bench.signal('SIGTERM');
    assert.equal(await ended, 0);
    assert.equal(bench.tunnel.closes, 1);
    assert.match(bench.stderr.text, /Closed after 0 s: 1\.2 kB in, 56 MB out\n$/);
  });

  test('without rules, warns that the whole loopback is open, lists what answers there, shows how to open less, and leaves PORT open in the command', async () => {
    bench.answeringPorts = [22, 3000, 5432];
    const { ended } = await bench.start(/Ctrl-C/);
    assert.equal(bench.calls[0]?.options.expose, 'loopback');
    assert.match(bench.stderr.text, new RegExp(`npx tox-wasm-tunnel ${bench.tunnel.ticket} PORT$`, 'm'));
    assert.match(
      bench.stderr.text,
      /^OPEN to every ticket holder: ALL TCP and UDP ports of this machine's loopback/m,
    );
    assert.match(
      bench.stderr.text,
      /^TCP ports there that answer now: 22 \(ssh\), 3000, 5432 \(postgres\)$/m,
    );
    assert.match(bench.stderr.text, /^ {2}--expose 22 .*\n {2}--expose none /m);
    bench.signal();
    await ended;
  });

  const narrow: ReadonlyArray<readonly [args: readonly string[], example: string, ...says: RegExp[]]> = [
    [['--expose', 'none'], 'PORT', /^Peers may reach: nothing$/m],
    [['--expose', 'none', '--expose', 'none'], 'PORT', /^Peers may reach: nothing$/m],
    [
      ['--allow-reverse', '8080'],
      '-R 8080:localhost:PORT',
      /^Peers may reach: nothing$/m,
      /^Peers may open with -R on this machine: 8080$/m,
    ],
    [['--expose', 'none', '--allow-reverse', '0'], '-R 0:localhost:PORT', /^Peers may reach: nothing$/m],
  ];
  for (const [args, example, ...says] of narrow) {
    test(`${args.join(' ')} opens only what it names, and says so`, async () => {
      const { ended } = await bench.start(/Ctrl-C/, 'listen', ...args);
      bench.signal();
      assert.equal(await ended, 0);
      assert.deepEqual(bench.calls[0]?.options.expose, []);
      for (const words of says) assert.match(bench.stderr.text, words);
      assert.ok(bench.stderr.lines.includes(`  npx tox-wasm-tunnel ${bench.tunnel.ticket} ${example}`));
      assert.doesNotMatch(bench.stderr.text, /OPEN/);
    });
  }

  test('--json distinguishes the open loopback from a listener that opens nothing', async () => {
    for (const [args, expose, isDefault] of [
      [[], ['localhost:*'], true],
      [['--expose', 'none'], [], false],
    ] as const) {
      const telling = new CliBench();
      telling.answeringPorts = [22];
      const { ended } = await telling.start(/"started"/, 'listen', '--json', ...args);
      const [started] = telling.stdout.events;
      assert.deepEqual(
        { ...started, command: undefined },
        {
          event: 'started',
          toxId: telling.tunnel.toxId,
          ticket: telling.tunnel.ticket,
          ...{ expose, isDefault, allowReverse: [], command: undefined },
          ...(isDefault && { answering: [22] }),
        },
      );
      telling.signal();
      assert.equal(await ended, 0);
    }
  });

  const targets: ReadonlyArray<readonly [expose: string, target: string]> = [
    ['8000-8010', '8000'],
    ['localhost:80,443', '80'],
    ['10.0.0.7:80', '10.0.0.7:80'],
    ['[2001:db8::1]:80', '[2001:db8::1]:80'],
    ['10.0.0.0/24:80', 'HOST:80'],
    ['*:80', 'HOST:80'],
    ['localhost:*', 'PORT'],
  ];
  for (const [expose, target] of targets) {
    test(`--expose ${expose} ends the command for the other machine with ${target}`, async () => {
      const { ended } = await bench.start(/Ctrl-C/, '--expose', expose, '--ephemeral');
      assert.ok(
        bench.stderr.lines.includes(`  npx tox-wasm-tunnel ${bench.tunnel.ticket} ${target}`),
        bench.stderr.text,
      );
      bench.signal();
      await ended;
    });
  }

  test('the command for the other machine names the private bootstrap nodes', async () => {
    const { ended } = await bench.start(/Ctrl-C/, '--bootstrap', `192.0.2.1:1:${KEY.toLowerCase()}`);
    assert.match(bench.stderr.text, new RegExp(` PORT --bootstrap 192\\.0\\.2\\.1:1:${KEY}$`, 'm'));
    bench.signal();
    await ended;
  });

  test('saves the identity of the first start and reuses it', async () => {
    const { ended } = await bench.start(/Ctrl-C/);
    const { identity } = bench.tunnel;
    bench.signal();
    await ended;
    assert.deepEqual(await readIdentity({ folder, role: 'listener' }), identity);
    const { ino } = await stat(join(folder, 'listener.json'));
    const again = new CliBench();
    again.stateFolder = '/nowhere';
    const second = await again.start(/Ctrl-C/, 'listen', '--state', folder);
    assert.deepEqual(again.calls[0]?.options.identity, identity);
    again.signal();
    await second.ended;
    assert.equal(
      (await stat(join(folder, 'listener.json'))).ino,
      ino,
      'the second start does not write the file',
    );
  });

  test('--ephemeral touches no folder', async () => {
    bench.stateFolder = '/nowhere';
    const { ended } = await bench.start(/Ctrl-C/, '--ephemeral');
    assert.equal(bench.calls[0]?.options.identity, undefined);
    bench.signal();
    assert.equal(await ended, 0);
  });

  test('a second listener fails, names the first, and starts nothing', async () => {
    const first = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
    assert.equal(await bench.run(), 1);
    assert.match(
      bench.stderr.text,
      new RegExp(`^tox-wasm-tunnel: another process .*process ${process.pid} .*--state DIR`),
    );
    assert.deepEqual(bench.calls, []);
    await first.release();
  });

  test('exits with 2 for a damaged state file, and does not overwrite it', async () => {
    const file = join(folder, 'listener.json');
    await writeFile(file, 'precious', { mode: 0o600 });
    assert.equal(await bench.run(), 2);
    assert.equal(bench.stderr.lines.length, 1);
    assert.match(bench.stderr.text, /listener\.json: it is not JSON; .*move it away/);
    assert.equal(await readFile(file, 'utf8'), 'precious');
    assert.deepEqual(bench.calls, []);
    assert.ok((await readdir(folder)).every((name) => name === 'listener.json' || name.includes('.lock.')));
  });

  test('a failed start saves nothing, unlocks the identity and exits with 1', async () => {
    bench.onStart = async () => {
      throw new TunnelError('ERR_LISTEN', 'UDP port 1 is in use');
    };
    assert.equal(await bench.run(), 1);
    assert.equal(bench.stderr.text, 'tox-wasm-tunnel: cannot listen: UDP port 1 is in use\n');
    assert.equal(await readIdentity({ folder, role: 'listener' }), undefined);
    assert.ok(await lockIsFree('listener'));
  });

  test('an unexpected error is one line, and -vv adds its stack', async () => {
    bench.onStart = async () => {
      throw new TypeError('x is not\na function');
    };
    assert.equal(await bench.run(), 1);
    assert.equal(bench.stderr.text, 'tox-wasm-tunnel: x is not\\u000aa function\n');
    assert.equal(await bench.run('-vv'), 1);
    assert.match(bench.stderr.text, /\n {4}at /);
  });

  test('text that an error quotes is escaped for the terminal, with -vv too', async () => {
    bench.onStart = async () => {
      throw new TypeError('no', { cause: new Error('it said \u001b]0;title\u0007') });
    };
    assert.equal(await bench.run('-vv'), 1);
    assert.match(bench.stderr.text, /it said \\u001b\]0;title\\u0007\n {4}at /);
  });

  test('a fatal error closes the tunnel and exits with 1', async () => {
    const { ended } = await bench.start(/"started"/, '--json');
    bench.tunnel.emit('error', new TunnelError('ERR_WORKER_DIED', 'out of memory'));
    assert.equal(await ended, 1);
    assert.equal(bench.tunnel.closes, 1);
    assert.deepEqual(bench.stdout.events.at(-1), {
      event: 'error',
      code: 'ERR_WORKER_DIED',
      message: 'the tox worker thread is gone: out of memory',
    });
    assert.ok(await lockIsFree('listener'));
  });

  test('after a failure, the count of repeated lines comes before the error', async () => {
    const { ended } = await bench.start(/Ctrl-C/);
    bench.stderr.text = '';
    for (let each = 0; each < 5; each++)
      bench.tunnel.emit('refused', {
        kind: 'connection',
        target: 'web:80',
        reason: 'limit',
        text: 'full',
        peer: PEER,
      });
    bench.tunnel.emit('error', new TunnelError('ERR_WORKER_DIED', 'out of memory'));
    assert.equal(await ended, 1);
    const [first, ...rest] = bench.stderr.lines;
    assert.match(first ?? '', /^Refused web:80 /);
    assert.deepEqual(rest, [
      `… and 4 more in the last 10 s: ${first}`,
      'tox-wasm-tunnel: the tox worker thread is gone: out of memory',
    ]);
  });
});

describe('the end', () => {
  test('a second signal ends the process at once, with the code of that signal', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const each = new CliBench();
      let closed = (): void => {};
      each.tunnel.onClose = () => new Promise((resolve) => (closed = resolve));
      const { ended } = await each.start(/Ctrl-C/, '--ephemeral');
      each.signal('SIGINT');
      assert.deepEqual(each.exits, []);
      each.signal(signal);
      assert.deepEqual(each.exits, [code]);
      await each.until(() => each.tunnel.closes > 0);
      closed();
      assert.equal(await ended, 0);
      assert.equal(each.handlers.size, 0);
    }
  });

  test('a signal during the start exits with 0, cancels the start, and closes a tunnel that arrives late', async () => {
    let arrive: (tunnel: FakeTunnel) => void = () => {};
    const late = new Promise<FakeTunnel>((resolve) => {
      arrive = resolve;
    });
    bench.onStart = () => late;
    const ended = bench.run();
    await bench.until(() => bench.calls.length > 0);
    const aborted = (): boolean | undefined => bench.calls[0]?.options.signal?.aborted;
    assert.equal(aborted(), false);
    bench.signal();
    assert.equal(aborted(), true);
    assert.equal(await ended, 0);
    arrive(bench.tunnel);
    for (let turn = 0; turn < 10 && bench.tunnel.closes === 0; turn++) await new Promise(setImmediate);
    assert.equal(bench.tunnel.closes, 1);
    assert.equal(await readIdentity({ folder, role: 'listener' }), undefined);
    assert.equal(bench.stderr.text, '');
  });

  test('a start that fails because it was cancelled is not an error', async () => {
    bench.onStart = ({ options }) =>
      new Promise((_resolve, reject) => {
        options.signal?.addEventListener('abort', () => reject(new Error('aborted')));
        bench.signal();
      });
    assert.equal(await bench.run(), 0);
    assert.equal(bench.stderr.text, '');
  });

  test('gives up on a close that hangs after ten seconds, and exits with 1', async () => {
    const hanging = new Promise<void>(() => {});
    bench.tunnel.onClose = () => hanging;
    const { ended } = await bench.start(/Ctrl-C/);
    bench.signal();
    await bench.until(() => bench.timers.length > 0);
    const [timer] = bench.timers;
    assert.equal(timer?.delayMs, 10_000);
    timer.callback();
    assert.equal(await ended, 1);
    assert.match(bench.stderr.text, /the tunnel did not close within 10 s\n$/);
    assert.ok(await lockIsFree('listener'));
  });

  test('a close in time leaves no timer behind, and does not report that peers go offline', async () => {
    const { ended } = await bench.start(/Ctrl-C/);
    bench.tunnel.onClose = async () => {
      bench.tunnel.emit('peer', { status: 'offline', path: 'none', code: 302, publicKey: PEER });
    };
    bench.signal();
    await ended;
    assert.deepEqual(bench.timers, []);
    assert.doesNotMatch(bench.stderr.text, /offline/);
  });

  for (const stream of ['stdout', 'stderr'] as const) {
    test(`exits quietly with 0 when the reader of ${stream} goes away`, async () => {
      const { ended } = await bench.start(/"started"/, '--json', '-v', '--ephemeral');
      bench[stream].failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
      bench.tunnel.emit('waiting', { message: 'no node answers' });
      assert.equal(await ended, 0);
      assert.equal(bench.tunnel.closes, 1);
      assert.doesNotMatch(bench.stderr.text, /EPIPE/);
    });
  }

  test('exits quietly when the reader is gone before the start', async () => {
    bench.stderr.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    assert.equal(await bench.run('--ephemeral'), 0);
    assert.equal(bench.tunnel.closes, 1);
  });

  test('exits when the reader goes away while the command prepares', async () => {
    const { io } = bench;
    const stateFolder = async (): Promise<string> => {
      bench.stdout.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      return folder;
    };
    assert.equal(await run(['listen'], { ...io, stateFolder }), 0);
  });

  test('a stopped reader uses bounded memory, and later gets the number of missed events', async () => {
    const { ended } = await bench.start(/"started"/, '--json', '--ephemeral');
    bench.stdout.stalled = true;
    const message = 'x'.repeat(10_000);
    for (let round = 0; round < 200; round++) bench.tunnel.emit('waiting', { message });
    assert.ok(bench.stdout.writableLength <= 1024 * 1024);
    bench.stdout.resume();
    await bench.until(() => bench.stdout.writableLength === 0);
    bench.signal();
    assert.equal(await ended, 0);
    const events = bench.stdout.events;
    const dropped = events.filter(({ event }) => event === 'dropped');
    assert.equal(dropped.length, 1);
    const told = events.filter(({ event }) => event === 'waiting').length;
    assert.equal(Number(dropped[0]?.count) + told, 200);
    assert.ok(told > 90);
  });
});

describe('events', () => {
  const happen = (tunnel: FakeTunnel): void => {
    tunnel.emit('waiting', { message: 'no node answers yet' });
    tunnel.node.emit('online', { path: 'udp' });
    tunnel.emit('code', { code: 101, peer: PEER });
    tunnel.emit('code', { code: 104, peer: PEER });
    tunnel.emit('code', { code: 204, peer: PEER, detail: 'it left' });
    tunnel.emit('code', { code: 201 });
    tunnel.emit('code', { code: 301, peer: PEER });
    tunnel.emit('peer', { status: 'online', path: 'relay', code: 301, publicKey: PEER });
    bench.nowMs += 30_000;
    tunnel.emit('peer', { status: 'online', path: 'udp', code: 301, publicKey: PEER });
    bench.nowMs += 95_000;
    tunnel.emit('peer', { status: 'online', path: 'udp', code: 301, publicKey: PEER, roundTripMs: 41.26 });
    tunnel.emit('peer', { status: 'offline', path: 'none', code: 302, publicKey: PEER });
    tunnel.emit('peer', { status: 'offline', path: 'none', code: 302, publicKey: PEER });
    tunnel.emit('refused', {
      kind: 'connection',
      target: 'db\u001b[2J:1',
      reason: 'not-allowed',
      text: 'not open to peers',
      peer: PEER,
    });
  };

  test('--json prints one JSON object per line, and nothing for people', async () => {
    const { ended } = await bench.start(/"started"/, 'listen', '--json', '--expose', '22');
    happen(bench.tunnel);
    bench.signal();
    assert.equal(await ended, 0);
    assert.equal(bench.stderr.text, '');
    const { toxId, ticket } = bench.tunnel;
    const command = `npx tox-wasm-tunnel ${ticket} 22`;
    assert.deepEqual(bench.stdout.events, [
      {
        event: 'started',
        toxId,
        ticket,
        expose: ['localhost:22'],
        isDefault: false,
        allowReverse: [],
        command,
      },
      { event: 'waiting', message: 'no node answers yet' },
      { event: 'ready', toxId, ticket },
      { event: 'friend', code: 101, message: 'friend added', peer: PEER },
      {
        event: 'friend',
        code: 104,
        message: 'friend request sent; the listener answers once it is online',
        peer: PEER,
      },
      { event: 'message', code: 204, message: 'the target is offline: it left', peer: PEER },
      { event: 'message', code: 201, message: 'message sent' },
      { event: 'peer', status: 'online', path: 'relay', code: 301, peer: PEER },
      { event: 'peer', status: 'online', path: 'udp', code: 301, peer: PEER },
      { event: 'peer', status: 'online', path: 'udp', code: 301, peer: PEER, roundTripMs: 41.3 },
      { event: 'peer', status: 'offline', path: 'none', code: 302, peer: PEER, onlineMs: 125_000 },
      { event: 'peer', status: 'offline', path: 'none', code: 302, peer: PEER },
      {
        event: 'refused',
        target: 'db\u001b[2J:1',
        reason: 'not-allowed',
        message: 'not open to peers',
        peer: PEER,
      },
      { event: 'closed', durationMs: 125_000, bytesIn: 1234, bytesOut: 56_000_000 },
    ]);
    for (const line of bench.stdout.lines)
      assert.match(line, /^\{"event":"[a-z]+","time":"2026-01-02T03:04:05\.678Z"/);
  });

  test('people get one line per event, with text of peers escaped', async () => {
    const { ended } = await bench.start(/Ctrl-C/);
    bench.stderr.text = '';
    happen(bench.tunnel);
    bench.signal();
    await ended;
    assert.equal(bench.stdout.text, '');
    assert.deepEqual(bench.stderr.lines, [
      'Waiting: no node answers yet',
      'Joined the Tox network',
      'peer abcdef01: the target is offline: it left (204)',
      'Peer abcdef01 is online, through a relay (TCP)',
      'Peer abcdef01 is online, directly (UDP)',
      'Peer abcdef01 went offline after 2 min 5 s',
      'Peer abcdef01 went offline',
      'Refused db\\u001b[2J:1 (peer abcdef01): not open to peers',
      'Closed after 2 min 5 s: 1.2 kB in, 56 MB out',
    ]);
  });

  test('-v adds the routine codes, --json -v prints both forms, -q prints none', async () => {
    for (const [flags, stderr, stdout] of [
      [['-v'], true, false],
      [['--json', '-v'], true, true],
      [['-q'], false, false],
    ] as const) {
      bench = new CliBench();
      const ended = bench.run('--ephemeral', ...flags);
      await bench.until(() => bench.tunnel.listenerCount('code') > 0);
      happen(bench.tunnel);
      bench.signal();
      await ended;
      assert.equal(/friend added \(101\)/.test(bench.stderr.text), stderr);
      assert.equal(bench.stderr.text !== '', stderr);
      assert.equal(bench.stdout.text !== '', stdout);
    }
  });

  test('each log level needs its number of -v', async () => {
    for (const [flags, levels] of [
      [[], ['error']],
      [['-v'], ['error', 'warn', 'info']],
      [['-vv'], ['error', 'warn', 'info', 'debug']],
      [['-vvv'], ['error', 'warn', 'info', 'debug', 'trace']],
      [['-q'], ['error']],
      [['--json'], ['error']],
    ] as const) {
      bench = new CliBench();
      const ended = bench.run('--ephemeral', ...flags);
      await bench.until(() => bench.tunnel.listenerCount('code') > 0);
      bench.stderr.text = '';
      const logger = bench.calls[0]?.options.logger;
      for (const level of ['error', 'warn', 'info', 'debug', 'trace'] as const)
        logger?.log(level, 'it\u0007 is', { at: 1 });
      const lines = bench.stderr.lines;
      bench.signal();
      await ended;
      assert.deepEqual(
        lines.filter((each) => each.includes('it')),
        levels.map((level) => `${level}: it\\u0007 is {"at":1}`),
      );
    }
  });
});

describe('connect', () => {
  const busy = (code: string) => () => {
    throw new TunnelError('ERR_LISTEN', '127.0.0.1:22', { cause: Object.assign(new Error(code), { code }) });
  };

  test('opens the forwards in the given order, and prints where they listen', async () => {
    const { ended } = await bench.start(
      /5432/,
      ...['connect', ID, '22', '-p', '2222', '-L', '8080:intra.lan:80', '-L', '[::1]:0:[::1]:5432'],
    );
    assert.deepEqual(bench.tunnel.forwards, [
      { bind: { host: '127.0.0.1', port: 2222, isDefault: true }, target: { host: 'localhost', port: 22 } },
      { bind: { host: '127.0.0.1', port: 8080, isDefault: true }, target: { host: 'intra.lan', port: 80 } },
      { bind: { host: '::1', port: 0 }, target: { host: '::1', port: 5432 } },
    ]);
    assert.match(bench.stderr.text, /^Forwarding 127\.0\.0\.1:2222 to localhost:22 at the listener$/m);
    bench.signal();
    assert.equal(await ended, 0);
  });

  test('--json reports its own Tox ID and each forward', async () => {
    const { ended } = await bench.start(/"forward"/, ID, 'db.lan:5432', '--json');
    bench.signal();
    await ended;
    assert.deepEqual(bench.stdout.events.slice(0, 2), [
      { event: 'started', toxId: bench.tunnel.toxId },
      { event: 'forward', local: '127.0.0.1:5432', target: 'db.lan:5432' },
    ]);
  });

  for (const code of ['EADDRINUSE', 'EACCES']) {
    test(`without -p, replaces a port that fails with ${code} with a free one, and says so`, async () => {
      bench.tunnel.onForward = ({ bind }) =>
        printBind(bind) === '22' ? busy(code)() : { local: '127.0.0.1:40001', target: 'x:22' };
      const { ended } = await bench.start(/Forwarding/, ID, '22');
      assert.match(
        bench.stderr.text,
        /Forwarding 127\.0\.0\.1:40001 .*\(port 22 is not available here; choose one with -p\)/,
      );
      assert.deepEqual(
        bench.tunnel.forwards.map(({ bind }) => printBind(bind)),
        ['0'],
      );
      bench.signal();
      assert.equal(await ended, 0);
    });
  }

  for (const [name, args, code, why] of [
    ['with -p', [ID, '22', '-p', '22'], 'EADDRINUSE', /22 is in use .*, for example -p 8022, or -p 0 for/],
    [
      'with -L',
      ['connect', ID, '-L', '22:localhost:22'],
      'EADDRINUSE',
      /22 is in use .*, for example -L 8022:localhost:22, or -L 0:/,
    ],
    ['for another reason', [ID, '22'], 'EADDRNOTAVAIL', /127\.0\.0\.1:22 is not an address of this machine/],
  ] as const) {
    test(`a port that is not available ${name} is an error, and closes the connector`, async () => {
      let tries = 0;
      bench.tunnel.onForward = () => {
        tries++;
        return busy(code)();
      };
      assert.equal(await bench.run(...args), 1);
      assert.equal(tries, 1);
      assert.match(bench.stderr.text, why);
      assert.equal(bench.stderr.lines.length, 1);
      assert.equal(bench.tunnel.closes, 1);
    });
  }

  test('does not try another port after other errors', async () => {
    let tries = 0;
    bench.tunnel.onForward = () => {
      tries++;
      throw new Error('no');
    };
    assert.equal(await bench.run(ID, '22'), 1);
    assert.equal(tries, 1);
  });

  test('rejects its own Tox ID', async () => {
    const identity = createIdentity();
    const opened = await openIdentity({ folder, role: 'connector', onBusy: 'fail' });
    await opened.save(identity);
    await opened.release();
    const own = toxIdOf({ secretKey: identity.secretKey, nospam: Uint8Array.of(9, 9, 9, 9) });
    for (const words of [
      [own, '22'],
      ['ping', own],
    ]) {
      bench.stderr.text = '';
      assert.equal(await bench.run(...words), 2);
      assert.match(bench.stderr.text, /this is the Tox ID of this machine/);
    }
    assert.deepEqual(bench.calls, []);
  });

  test('a second connector uses a temporary identity, and says so unless it is quiet', async () => {
    const first = await openIdentity({ folder, role: 'connector', onBusy: 'fail' });
    await first.save(createIdentity());
    const { ended } = await bench.start(/Forwarding/, TICKET, '22');
    assert.equal(bench.calls[0]?.options.identity, undefined);
    assert.match(bench.stderr.text, /Another connector uses the identity/);
    bench.signal();
    assert.equal(await ended, 0);
    const quiet = new CliBench();
    quiet.stateFolder = folder;
    const second = await quiet.start(/"forward"/, TICKET, '22', '--quiet', '--json');
    assert.doesNotMatch(quiet.stderr.text, /Another connector/);
    quiet.signal();
    await second.ended;
    assert.notDeepEqual(
      (await readIdentity({ folder, role: 'connector' }))?.secretKey,
      bench.tunnel.identity.secretKey,
    );
    await first.release();
  });
});

describe('node', () => {
  const v4 = (address: string, internal = false): LocalAddress => ({ address, family: 'IPv4', internal });
  const v6 = (address: string, internal = false): LocalAddress => ({ address, family: 'IPv6', internal });

  test('prints only its line on stdout, with the first address that others can reach', async () => {
    bench.addresses = [
      v4('127.0.0.1', true),
      v6('fe80::1'),
      v6('2001:db8::5'),
      v4('192.0.2.5'),
      v4('192.0.2.6'),
    ];
    const { ended } = await bench.start(/Ctrl-C/, 'node');
    const key = bench.tunnel.publicKey.toUpperCase();
    assert.equal(bench.stdout.text, `192.0.2.5:33445:${key}\n`);
    assert.match(bench.stderr.text, /UDP port 33445, TCP relay on port 33446/);
    assert.match(
      bench.stderr.text,
      new RegExp(`^  192\\.0\\.2\\.6:33445:${key}\n {2}\\[2001:db8::5\\]:33445:${key}$`, 'm'),
    );
    bench.signal();
    assert.equal(await ended, 0);
    assert.deepEqual(await readIdentity({ folder, role: 'node' }), bench.tunnel.identity);
  });

  test('--json reports the same', async () => {
    const { ended } = await bench.start(/"node"/, 'node', '--json', '--bind', '2001:db8::9');
    bench.signal();
    await ended;
    const bootstrap = `[2001:db8::9]:33445:${bench.tunnel.publicKey.toUpperCase()}`;
    assert.deepEqual(bench.stdout.events[0], {
      event: 'node',
      bootstrap,
      all: [bootstrap],
      udpPort: 33445,
      tcpPort: 33446,
    });
    assert.equal(bench.stderr.text, '');
  });

  const all = [v4('127.0.0.1', true), v6('::1', true), v6('2001:db8::5'), v4('192.0.2.5')];
  for (const [bind, addresses, hosts] of [
    ['192.0.2.77', all, ['192.0.2.77']],
    ['127.0.0.1', all, ['127.0.0.1']],
    [undefined, all, ['192.0.2.5', '2001:db8::5']],
    ['::', all, ['192.0.2.5', '2001:db8::5']],
    ['0.0.0.0', all, ['192.0.2.5']],
    [undefined, all.slice(0, 3), ['127.0.0.1', '2001:db8::5']],
    [undefined, [], ['127.0.0.1']],
  ] as const) {
    test(`bound to ${bind ?? 'all'} with ${addresses.length} addresses, it is reachable at ${hosts.join(', ')}`, () => {
      assert.deepEqual(hostsOf(bind, addresses), hosts);
    });
  }
});

describe('id', () => {
  test('creates an identity, and prints the same Tox ID from then on, even while the listener runs', async () => {
    assert.equal(await bench.run('id'), 0);
    const identity = await readIdentity({ folder, role: 'listener' });
    assert.ok(identity);
    assert.equal(bench.stdout.text, `${toxIdOf(identity)}\n`);
    assert.match(bench.stderr.text, /^There is no identity yet; creating .*listener\.json\.\n$/);
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
    const again = new CliBench();
    assert.equal(await again.run('id', '--state', folder, '--json'), 0);
    assert.deepEqual(again.stdout.events, [
      { event: 'identity', toxId: toxIdOf(identity), file: join(folder, 'listener.json') },
    ]);
    await opened.release();
    assert.deepEqual(bench.calls, []);
  });

  test('fails while a listener is starting for the first time', async () => {
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
    assert.equal(await bench.run('id'), 1);
    assert.match(bench.stderr.text, /another process uses this identity/);
    await opened.release();
    assert.ok(await lockIsFree('listener'));
  });

  test('returns the identity that another process has created in the meantime', async () => {
    const made = await makeIdentity({ folder, role: 'listener' });
    assert.deepEqual(await makeIdentity({ folder, role: 'listener' }), made);
    assert.ok(await lockIsFree('listener'));
  });

  test('exits with 2 for a damaged file', async () => {
    await writeFile(join(folder, 'listener.json'), '{', { mode: 0o600 });
    assert.equal(await bench.run('id', '--json'), 2);
    assert.equal(bench.stdout.events[0]?.code, 'ERR_STATE_INVALID');
  });
});
