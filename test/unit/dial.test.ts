import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DescriptorBudget, type DescriptorShare, Descriptors } from '../../src/core/descriptors.js';
import { Dialer, type DialerOptions, type DialResult } from '../../src/forward/exit/dial.js';
import { ATTEMPT_DELAY_MS } from '../../src/forward/exit/dial_race.js';
import { dialReason, resolveReason } from '../../src/forward/exit/dial_reason.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { freePort } from '../support/loopback.js';
import { Target } from '../support/target.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** A dialer with sockets and time that the test controls. */
class Bench {
  readonly timers = new VirtualTimers();
  readonly dialled: string[] = [];
  readonly sockets: Socket[] = [];
  readonly dialer: Dialer;

  constructor(options: Partial<DialerOptions> = {}) {
    this.dialer = new Dialer({
      // A rule for the name has it looked up; its addresses need their own rule.
      rules: new AllowRules([LOOPBACK_ONLY, parseExposeSpec('a.example:*')]),
      timers: this.timers,
      resolve: async () => ['127.0.0.1', '127.0.0.2', '127.0.0.3'],
      connect: (address) => {
        const socket = new Socket();
        this.dialled.push(address.text);
        this.sockets.push(socket);
        return socket;
      },
      ...options,
    });
  }

  fail(index: number, code: string, fields: object = {}): void {
    this.sockets[index]?.destroy(Object.assign(failure(code), fields));
  }

  get open(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length;
  }
}

test('a listening target is dialled, half-open and without delay', async () => {
  const target = await Target.start();
  const dialer = new Dialer({ rules: new AllowRules([LOOPBACK_ONLY]), resolve: async () => [] });
  const result = await dialer.dial({ host: '127.0.0.1', port: target.port });
  assert.ok(result.kind === 'connected');
  assert.equal(result.socket.allowHalfOpen, true);
  assert.equal(dialer.dialing, 0);
  (await target.connection()).end('hello');
  const [bytes] = await once(result.socket, 'data');
  assert.equal(String(bytes), 'hello');
  result.socket.destroy();
  await target.stop();
});

test('a port without a listener is refused', async () => {
  const port = await freePort();
  const result = await new Dialer({ rules: new AllowRules([LOOPBACK_ONLY]), resolve: async () => [] }).dial({
    host: 'localhost',
    port,
  });
  assertFailed(result, 'refused', `localhost port ${port}: ECONNREFUSED`);
});

test('localhost is dialled as ::1 when 127.0.0.1 refuses', async () => {
  const bench = new Bench();
  const dial = bench.dialer.dial({ host: 'localhost', port: 80 });
  await turn();
  bench.fail(0, 'ECONNREFUSED');
  await turn();
  assert.deepEqual(bench.dialled, ['127.0.0.1', '::1']);
  bench.sockets[1]?.emit('connect');
  assert.deepEqual(await dial, { kind: 'connected', socket: bench.sockets[1] });
});

test('after its head start a slow address gets competition, and loses to the first that answers', async () => {
  const bench = new Bench();
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(ATTEMPT_DELAY_MS - 1);
  assert.equal(bench.dialled.length, 1);
  bench.timers.advance(1);
  assert.equal(bench.dialled.length, 2);
  bench.timers.advance(ATTEMPT_DELAY_MS);
  assert.deepEqual(bench.dialled, ['127.0.0.1', '127.0.0.2', '127.0.0.3']);
  bench.sockets[1]?.emit('connect');
  const result = await dial;
  assert.ok(result.kind === 'connected' && result.socket === bench.sockets[1]);
  assert.equal(bench.open, 1);
  assert.equal(bench.timers.running, 0);
});

test('the next address follows a failure at once, and the race ends with the last failure', async () => {
  const bench = new Bench();
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(100);
  bench.fail(0, 'ENETUNREACH');
  await turn();
  assert.equal(bench.dialled.length, 2);
  // The second address gets a full head start of its own, even though the first has failed.
  bench.timers.advance(ATTEMPT_DELAY_MS - 1);
  assert.equal(bench.dialled.length, 2);
  bench.timers.advance(1);
  assert.equal(bench.dialled.length, 3);
  bench.fail(2, 'ECONNREFUSED');
  await turn();
  bench.fail(1, 'ETIMEDOUT');
  assertFailed(await dial, 'refused', 'a.example port 80: ENETUNREACH, ECONNREFUSED, ETIMEDOUT');
  assert.equal(bench.timers.running, 0);
});

test('without an answer the dial ends at its deadline, and leaves no socket', async () => {
  const bench = new Bench({ timeoutMs: 5000 });
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(4999);
  assert.equal(bench.open, 3);
  bench.timers.advance(1);
  assertFailed(await dial, 'timeout', 'a.example port 80: no answer within 5 s');
  assert.equal(bench.open, 0);
  assert.equal(bench.timers.running, 0);
});

test('a dial takes at most 10 seconds by default', async () => {
  const bench = new Bench();
  const dial = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
  await turn();
  bench.timers.advance(9999);
  assert.equal(bench.open, 1);
  bench.timers.advance(1);
  assertFailed(await dial, 'timeout', '127.0.0.1 port 80: no answer within 10 s');
});

test('a resolver that does not answer uses up the time, and the dial counts until it has answered', async () => {
  let answer: (addresses: readonly string[]) => void = () => {};
  const bench = new Bench({ resolve: () => new Promise((resolve) => (answer = resolve)) });
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(10_000);
  assertFailed(await dial, 'timeout', 'a.example port 80: no answer within 10 s');
  assert.equal(bench.dialer.dialing, 1);
  answer(['127.0.0.1']);
  await turn();
  assert.equal(bench.dialer.dialing, 0);
  assert.deepEqual(bench.dialled, []);
});

test('a resolver that fails after the dial was cancelled has no effect', async () => {
  let fail: (error: Error) => void = () => {};
  const bench = new Bench({ resolve: () => new Promise((_, reject) => (fail = reject)) });
  const cancel = new AbortController();
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 }, cancel.signal);
  cancel.abort();
  assertFailed(await dial, 'cancelled', 'a.example port 80: no longer wanted');
  fail(failure('ENOTFOUND'));
  await turn();
  assert.equal(bench.dialer.dialing, 0);
});

test('a cancelled dial stops at any stage', async () => {
  const bench = new Bench();
  const cancel = new AbortController();
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 }, cancel.signal);
  await turn();
  assert.equal(bench.open, 1);
  cancel.abort();
  assertFailed(await dial, 'cancelled', 'a.example port 80: no longer wanted');
  assert.equal(bench.open, 0);
  assert.equal(bench.timers.running, 0);

  const late = await bench.dialer.dial({ host: '127.0.0.1', port: 80 }, cancel.signal);
  assertFailed(late, 'cancelled', '127.0.0.1 port 80: no longer wanted');
  assert.equal(bench.open, 0);
});

test('a dial beyond the limit waits for its turn; denials need none', async () => {
  const bench = new Bench({ maxDials: 2 });
  const dials = [1, 2, 3].map((port) => bench.dialer.dial({ host: '127.0.0.1', port }));
  assert.equal(bench.dialer.dialing, 2);
  const denied = await bench.dialer.dial({ host: '10.0.0.1', port: 3 });
  assert.equal(denied.kind === 'failed' && denied.reason, 'not-allowed');
  await turn();
  assert.equal(bench.open, 2);
  bench.fail(0, 'ECONNREFUSED');
  await dials[0];
  await turn();
  assert.equal(bench.sockets.length, 3);
  assert.equal(bench.dialer.dialing, 2);
  bench.sockets[2]?.emit('connect');
  assert.deepEqual(await dials[2], { kind: 'connected', socket: bench.sockets[2] });
  bench.timers.advance(10_000);
  await Promise.all(dials);
  await turn();
  assert.equal(bench.dialer.dialing, 0);
  assert.equal(bench.timers.running, 0);
});

test('a dial waits for its turn while others end, for five minutes at most, and then names the limit', async () => {
  const bench = new Bench({ maxDials: 1, timeoutMs: 5000 });
  const dials = Array.from({ length: 70 }, (_, index) =>
    bench.dialer.dial({ host: '127.0.0.1', port: index + 1 }),
  );
  for (let ended = 0; ended < 60; ended++) {
    for (let turns = 0; turns < 3; turns++) await turn();
    assert.equal(bench.open, 1, `dial ${ended + 1}`);
    bench.timers.advance(5000);
    assertFailed(await dials[ended]!, 'timeout', `127.0.0.1 port ${ended + 1}: no answer within 5 s`);
  }
  await turn();
  bench.timers.advance(6000);
  assertFailed(
    await dials[69]!,
    'limit',
    '127.0.0.1 port 70: no turn in the dial queue, because no other dial ended for 6 s or the wait took 300 s: 1 of 1 dials in progress (--max-dials; at most half to one target)',
  );
  await Promise.all(dials);
  assert.equal(bench.timers.running, 0);
});

test('a dial is refused when no other has ended while it waited', async () => {
  const cancel = new AbortController();
  const bench = new Bench({ maxDials: 1, timeoutMs: 5000, resolve: () => new Promise(() => {}) });
  const stuck = bench.dialer.dial({ host: 'a.example', port: 1 }, cancel.signal);
  await turn();
  const second = bench.dialer.dial({ host: '127.0.0.1', port: 2 });
  await turn();
  bench.timers.advance(6000);
  assert.equal((await stuck).kind, 'failed');
  assert.match(JSON.stringify(await second), /no other dial ended for 6 s/);
});

test('a target that never answers leaves room for the others', async () => {
  const bench = new Bench({ maxDials: 16 });
  const cancels = Array.from({ length: 300 }, () => new AbortController());
  const stuck = cancels.map(({ signal }) => bench.dialer.dial({ host: '127.0.0.1', port: 1 }, signal));
  await turn();
  assert.equal(bench.open, 8);
  for (let port = 2; port < 50; port++) {
    const dial = bench.dialer.dial({ host: '127.0.0.1', port });
    await turn();
    bench.sockets.at(-1)?.emit('connect');
    assert.equal((await dial).kind, 'connected');
  }
  for (const cancel of cancels) cancel.abort();
  for (const dial of stuck) assertFailed(await dial, 'cancelled', '127.0.0.1 port 1: no longer wanted');
  await turn();
  assert.equal(bench.dialer.dialing, 0);
  assert.equal(bench.timers.running, 0);
});

test('a path that is no longer exposed at its turn is not dialled', async () => {
  const rules = new AllowRules(['/run/app.sock', '1'].map(parseExposeSpec));
  const bench = new Bench({ maxDials: 1, rules });
  const first = bench.dialer.dial({ host: '127.0.0.1', port: 1 });
  const second = bench.dialer.dial({ path: '/run/app.sock' });
  await turn();
  rules.permitsPath = () => false;
  bench.fail(0, 'ECONNREFUSED');
  await first;
  const result = await second;
  assert.equal(result.kind === 'failed' && result.reason, 'not-allowed');
});

test('a name that is no longer exposed at its turn is not even resolved', async () => {
  const resolved: string[] = [];
  const rules = new AllowRules(['1', 'a.example:2', 'b.example:3'].map(parseExposeSpec));
  const bench = new Bench({
    maxDials: 1,
    rules,
    resolve: async (name) => {
      resolved.push(name);
      return ['127.0.0.1'];
    },
  });
  const first = bench.dialer.dial({ host: '127.0.0.1', port: 1 });
  const second = bench.dialer.dial({ host: 'a.example', port: 2 });
  const third = bench.dialer.dialUdp({ host: 'b.example', port: 3 });
  await turn();
  rules.mayPermit = () => false;
  bench.fail(0, 'ECONNREFUSED');
  await first;
  for (const result of await Promise.all([second, third]))
    assert.equal(result.kind === 'failed' && result.reason, 'not-allowed');
  assert.deepEqual(resolved, []);
  assert.equal(bench.dialer.dialing, 0);
  assert.equal(bench.timers.running, 0);
});

test('a name with very many addresses uses at most eight sockets', async () => {
  const many = Array.from({ length: 100 }, (_, index) => `127.0.0.${index}`);
  const bench = new Bench({ resolve: async () => many });
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(9000);
  assert.deepEqual(bench.dialled, many.slice(0, 8));
  bench.timers.advance(1000);
  assertFailed(await dial, 'timeout', 'a.example port 80: no answer within 10 s');
});

test('a name without an address is not found', async () => {
  const bench = new Bench({ resolve: async () => [] });
  const result = await bench.dialer.dial({ host: 'a.example', port: 80 });
  assertFailed(result, 'name-not-found', 'a.example port 80: the name has no address');
});

const connectCodes = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  ETIMEDOUT: 'timeout',
  EWHATEVER: 'internal',
};
for (const [code, reason] of Object.entries(connectCodes)) {
  test(`${code} of the kernel is reported as ${reason}`, async () => {
    const bench = new Bench();
    const dial = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
    await turn();
    bench.fail(0, code);
    assertFailed(await dial, reason, `127.0.0.1 port 80: ${code}`);
  });
}

test('a dial for which the system has no local port is reported as a limit', async () => {
  const bench = new Bench();
  const dial = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
  await turn();
  bench.fail(0, 'EADDRNOTAVAIL', { syscall: 'connect', address: '127.0.0.1', port: 80 });
  assertFailed(
    await dial,
    'limit',
    '127.0.0.1 port 80: the far end has no free local port (EADDRNOTAVAIL); try again when some connections have closed',
  );
});

const resolveCodes = {
  ENOTFOUND: 'name-not-found',
  EAI_AGAIN: 'name-not-found',
  EX: 'internal',
};
for (const [code, reason] of Object.entries(resolveCodes)) {
  test(`${code} of the resolver is reported as ${reason}`, async () => {
    const bench = new Bench({
      resolve: async () => {
        throw failure(code);
      },
    });
    assertFailed(
      await bench.dialer.dial({ host: 'a.example', port: 1 }),
      reason,
      `a.example port 1: ${code}`,
    );
    assert.equal(bench.timers.running, 0);
  });
}

for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']) {
  test(`${code} of the kernel is reported as a limit, in words, and also to our own user`, async () => {
    const lines: string[] = [];
    const bench = new Bench({ descriptors: share(9, lines) });
    const dial = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
    await turn();
    bench.fail(0, code);
    const what = code.endsWith('FILE') ? 'no free file descriptor' : 'no memory for sockets';
    const text = `the far end has ${what} (${code}); try again when some connections have closed`;
    assertFailed(await dial, 'limit', `127.0.0.1 port 80: ${text}`);
    assert.equal(lines.length, 1);
  });
}

test('a resolver that cannot open a file is reported as a limit, and also to our own user', async () => {
  const lines: string[] = [];
  const bench = new Bench({
    descriptors: share(9, lines),
    resolve: async () => {
      throw failure('EMFILE');
    },
  });
  const result = await bench.dialer.dial({ host: 'a.example', port: 1 });
  assert.ok(result.kind === 'failed' && result.reason === 'limit');
  assert.equal(lines.length, 1);
});

test('without a descriptor nothing is dialled until a connection has closed', async () => {
  const lines: string[] = [];
  const bench = new Bench({ descriptors: share(1, lines) });
  const first = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
  await turn();
  bench.sockets[0]?.emit('connect');
  assert.equal((await first).kind, 'connected');
  assertFailed(
    await bench.dialer.dial({ host: '127.0.0.1', port: 80 }),
    'limit',
    '127.0.0.1 port 80: the far end has no free file descriptor (EMFILE); try again when some connections have closed',
  );
  assert.equal((await bench.dialer.dial({ path: '/run/app.sock' })).kind, 'failed');
  assert.deepEqual(bench.dialled, ['127.0.0.1']);
  assert.equal(lines.length, 1);
  bench.sockets[0]?.destroy();
  await turn();
  const again = bench.dialer.dial({ host: '127.0.0.1', port: 80 });
  await turn();
  bench.sockets[1]?.emit('connect');
  assert.equal((await again).kind, 'connected');
});

test('an address without a descriptor leaves the race to one that has one', async () => {
  const bench = new Bench({ descriptors: share(1, []) });
  const dial = bench.dialer.dial({ host: 'a.example', port: 80 });
  await turn();
  bench.timers.advance(ATTEMPT_DELAY_MS);
  assert.deepEqual(bench.dialled, ['127.0.0.1']);
  bench.sockets[0]?.emit('connect');
  assert.equal((await dial).kind, 'connected');
  assert.equal(bench.timers.running, 0);
});

test('a datagram socket also takes a descriptor until it is closed', { timeout: 20_000 }, async () => {
  const dialer = new Dialer({
    rules: new AllowRules([LOOPBACK_ONLY]),
    resolve: async () => [],
    descriptors: share(1, []),
  });
  const target = { host: '127.0.0.1', port: await freePort() };
  const first = await dialer.dialUdp(target);
  assert.ok(first.kind === 'connected');
  const second = await dialer.dialUdp(target);
  assert.ok(second.kind === 'failed' && second.reason === 'limit');
  first.socket.close();
  await once(first.socket, 'close');
  const third = await dialer.dialUdp(target);
  assert.ok(third.kind === 'connected');
  third.socket.close();
});

test('the most informative of several failures is reported', () => {
  const reasons = (...codes: string[]): string => dialReason(codes.map(failure));
  assert.equal(reasons('ENETUNREACH', 'ECONNREFUSED'), 'refused');
  assert.equal(reasons('ENETUNREACH', 'ETIMEDOUT'), 'timeout');
  assert.equal(reasons('ETIMEDOUT', 'EMFILE'), 'limit');
  assert.equal(reasons('EWHATEVER', 'ENETUNREACH'), 'unreachable');
  assert.equal(reasons(), 'internal');
  assert.equal(dialReason(['no error']), 'internal');
  assert.equal(resolveReason(new Error('without a code')), 'internal');
});

function share(most: number, lines: string[]): DescriptorShare {
  const logger = { log: (_level: string, message: string) => void lines.push(message) };
  return new Descriptors(new DescriptorBudget(most, 100), logger, new VirtualTimers()).share();
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function assertFailed(result: DialResult, reason: string, text: string): void {
  assert.deepEqual(result, { kind: 'failed', reason, text });
}
