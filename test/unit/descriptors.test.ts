import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import test from 'node:test';
import {
  DescriptorBudget,
  DescriptorShare,
  Descriptors,
  fileLimit,
  filePlan,
  type ShareOptions,
} from '../../src/core/descriptors.js';
import { ExhaustionLog, exhaustionOf, UsedUpError } from '../../src/core/exhaustion.js';
import { interfacesNow } from '../../src/core/ip.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** Holds a descriptor until the test emits `close`. */
class FakeSocket extends EventEmitter {
  readonly remoteAddress: string | undefined;

  constructor(remoteAddress?: string) {
    super();
    this.remoteAddress = remoteAddress;
  }
}

function bench(most: number, limit = Number.POSITIVE_INFINITY) {
  const timers = new VirtualTimers();
  const lines: string[] = [];
  const logger = { log: (level: string, message: string) => void lines.push(`${level} ${message}`) };
  const budget = new DescriptorBudget(most, limit);
  const descriptors = new Descriptors(budget, logger, timers);
  return {
    budget,
    lines,
    timers,
    share: (options?: ShareOptions) => descriptors.share(options),
    flush: () => descriptors.flush(),
  };
}

const errno = (code: string): Error => Object.assign(new Error(code), { code });

const open = (share: ReturnType<ReturnType<typeof bench>['share']>): FakeSocket =>
  share.open(() => new FakeSocket());

test('a descriptor is taken when a socket is created, and returned when it closes', () => {
  const { budget, share } = bench(2);
  const all = share();
  const first = open(all);
  open(all);
  assert.equal(budget.free, 0);
  assert.throws(() => open(all), { code: 'EMFILE' });
  first.emit('close');
  assert.equal(budget.free, 1);
  open(all);
});

test('the first Tox node is free; each further one takes descriptors from connections until it ends', () => {
  const budget = new DescriptorBudget(100, 1024, 40);
  const ends = [budget.addNode(), budget.addNode()];
  assert.equal(budget.free, 60);
  ends.push(budget.addNode(), budget.addNode());
  assert.equal(budget.free, 0, 'it never falls below 0');
  const share = new DescriptorShare(budget);
  assert.throws(() => share.open(() => assert.fail('made')), UsedUpError);
  for (const end of ends.slice(0, 2)) {
    end();
    end();
  }
  assert.equal(budget.free, 60, 'whichever ends, the last one is free, and an end counts once');
  for (const end of ends) end();
  assert.equal(budget.free, 100);
});

test('nothing is created when no descriptor is left', () => {
  const all = bench(0).share();
  assert.throws(() => all.open(() => assert.fail('made')), UsedUpError);
});

test('a socket in creation holds its descriptor, and returns it when creation fails', async () => {
  const { budget, share } = bench(1);
  const all = share();
  const failing = all.openSoon<FakeSocket>(() => Promise.reject(errno('ECONNREFUSED')));
  assert.equal(budget.free, 0);
  await assert.rejects(
    all.openSoon(async () => new FakeSocket()),
    { code: 'EMFILE' },
  );
  await assert.rejects(failing, { code: 'ECONNREFUSED' });
  const made = await all.openSoon(async () => new FakeSocket());
  assert.equal(budget.free, 0);
  made.emit('close');
  assert.equal(budget.free, 1);
});

test('a peer may hold three times the descriptors it leaves free, so the next peer always gets one', () => {
  const { budget, share } = bench(100);
  const takeAll = (): number => {
    const peer = share({ ratioToFree: 3 });
    let count = 0;
    try {
      for (; ; count++) open(peer);
    } catch {
      return count;
    }
  };
  assert.equal(takeAll(), 75);
  assert.equal(takeAll(), 19);
  assert.ok(takeAll() > 0);
  assert.ok(budget.free > 0);
});

test('a peer that has closed its connections may open as many again', () => {
  const peer = bench(4).share({ ratioToFree: 1 });
  for (let round = 0; round < 3; round++) {
    const sockets = [open(peer), open(peer)];
    assert.throws(() => open(peer), UsedUpError);
    for (const socket of sockets) socket.emit('close');
  }
});

test('an address may hold its share and other addresses the rest; a whole IPv6 network counts as one address', () => {
  const all = bench(64).share({ perAddress: { ratioToFree: 1 / 2, most: 1000 } });
  const accepted = (address: string): number => {
    let count = 0;
    while (count < 1000 && all.accept(new FakeSocket(address))) count++;
    return count;
  };
  assert.equal(accepted('192.0.2.1'), 22);
  assert.equal(accepted('::ffff:192.0.2.1'), 0);
  assert.equal(accepted('192.0.2.2'), 14);
  assert.equal(accepted('2001:db8:0:1::1'), 10);
  assert.equal(accepted('2001:db8::1:ffff:0:0:2'), 0);
  assert.equal(accepted('2001:db8:0:2::1'), 8);
});

test('an address has a maximum, however many are free, and may open more when it has closed some', () => {
  const { lines, share } = bench(Number.POSITIVE_INFINITY);
  const all = share({ perAddress: { ratioToFree: 1, most: 2 } });
  const first = new FakeSocket('192.0.2.1');
  assert.ok(all.accept(first));
  assert.ok(all.accept(new FakeSocket('192.0.2.1')));
  assert.ok(!all.accept(new FakeSocket('192.0.2.1')));
  assert.ok(all.accept(new FakeSocket('192.0.2.3')));
  assert.deepEqual(lines, [
    'warn a connection was refused: 192.0.2.1 has 2 connections, the most that one address may have now',
  ]);
  first.emit('close');
  assert.ok(all.accept(new FakeSocket('192.0.2.1')));
});

test('the loopback, and connections without an address, count only against the budget', () => {
  const all = bench(40).share({ perAddress: { ratioToFree: 1 / 16, most: 2 } });
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', undefined]) {
    for (let i = 0; i < 8; i++) assert.ok(all.accept(new FakeSocket(address)), String(address));
  }
  assert.ok(!all.accept(new FakeSocket('127.0.0.1')));
});

test('an exhausted limit is reported at once, then every minute with a count, and a last time at the end', () => {
  const { lines, timers, share, flush } = bench(0, 1024);
  const all = share();
  for (let i = 0; i < 500; i++) assert.ok(!all.accept(new FakeSocket()));
  const why =
    'there is no free file descriptor (EMFILE); this process may have 1024 files open; raise the limit with ulimit -n, or with LimitNOFILE= in a systemd unit';
  assert.deepEqual(lines, [`error a connection was refused: ${why}`]);
  timers.advance(60_000);
  const more = (count: number): string =>
    `error … and ${count} more in the last 60 s: a connection was refused: ${why}`;
  assert.deepEqual(lines.slice(1), [more(499)], 'the last burst is reported without a later refusal');
  all.accept(new FakeSocket());
  all.accept(new FakeSocket());
  assert.equal(lines.length, 2);
  flush();
  assert.deepEqual(lines.slice(2), [more(2)]);
  assert.equal(timers.running, 0);
});

test('each kind of exhaustion has its own advice, and other errors are not reported', () => {
  const lines: string[] = [];
  const logger = { log: (_level: string, message: string) => void lines.push(message) };
  const log = new ExhaustionLog(logger, new VirtualTimers(), { most: 9, limit: Number.POSITIVE_INFINITY });
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']) assert.ok(log.note(errno(code)), code);
  for (const error of [errno('ECONNREFUSED'), new Error('plain'), 'text']) assert.ok(!log.note(error));
  assert.match(lines[0] ?? '', /EMFILE.*ulimit -n/);
  assert.match(lines[1] ?? '', /ENFILE.*fs\.file-max/);
  assert.match(lines[2] ?? '', /no memory for sockets \(ENOBUFS\)/);
  assert.equal(lines.length, 4);
  assert.equal(exhaustionOf(errno('EACCES')), undefined);
});

/** An error as Node.js makes it, which leaves out port 0. */
const callFailed = (syscall: string, code: string, address: string, port = 0): Error =>
  Object.assign(errno(code), { syscall, address, ...(port > 0 && { port }) });

test('a lack of local ports is exhaustion, with its own advice; an address that is taken or missing is not', () => {
  const { lines, share } = bench(10, 64);
  assert.ok(share().note(callFailed('connect', 'EADDRNOTAVAIL', '127.0.0.1', 80)));
  assert.match(lines[0] ?? '', /there is no free local port \(EADDRNOTAVAIL\); .*ip_local_port_range/);
  for (const syscall of ['bind', 'listen'])
    assert.equal(
      exhaustionOf(callFailed(syscall, 'EADDRINUSE', '127.0.0.1')),
      'no free local port (EADDRINUSE)',
    );
  for (const other of [
    callFailed('connect', 'EADDRNOTAVAIL', '::1', 80),
    callFailed('listen', 'EADDRNOTAVAIL', '192.0.2.1'),
    callFailed('listen', 'EADDRINUSE', '127.0.0.1', 22),
    callFailed('listen', 'EADDRINUSE', '/run/door'),
    errno('EADDRINUSE'),
  ])
    assert.equal(exhaustionOf(other), undefined);
});

test('a limit that does not concern files is named with its number instead of ulimit', () => {
  const { lines, share } = bench(0);
  share().accept(new FakeSocket());
  assert.deepEqual(lines, ['error a connection was refused: the limit of 0 connections is reached']);
});

test("the limit on open files comes from the kernel or from Node's report", () => {
  const text = (soft: string): string =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}                 4096                 files\n`;
  assert.equal(
    fileLimit(() => text('1024')),
    1024,
  );
  assert.equal(
    fileLimit(() => text('unlimited')),
    Number.POSITIVE_INFINITY,
  );
  const reported = fileLimit(() => {
    throw errno('ENOENT');
  });
  if (process.platform === 'linux') assert.equal(reported, fileLimit());
  else assert.ok(reported > 0);
});

test('a reserve stays free for our own work, relays are taken from it, and without a limit there is no budget', () => {
  assert.deepEqual(filePlan(1024), { limit: 1024, connections: 768, relays: 64, node: 96 });
  assert.deepEqual(filePlan(256), { limit: 256, connections: 160, relays: 24, node: 56 });
  assert.deepEqual(filePlan(100), { limit: 100, connections: 50, relays: 12, node: 44 });
  assert.deepEqual(filePlan(1_048_576), { limit: 1_048_576, connections: 1_048_064, relays: 128, node: 160 });
  assert.equal(filePlan(Number.POSITIVE_INFINITY).connections, Number.POSITIVE_INFINITY);
});

test('a system that cannot list its network interfaces causes no error', () => {
  assert.equal(
    interfacesNow(() => {
      throw Object.assign(new Error('uv_interface_addresses'), { code: 'ERR_SYSTEM_ERROR' });
    }),
    undefined,
  );
  assert.ok(interfacesNow() !== undefined);
});
