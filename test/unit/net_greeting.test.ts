import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpConnectHandshake } from '../../src/forward/proxy/http_connect.js';
import { authorizer, type ProxyHandshake } from '../../src/forward/proxy/proxy_handshake.js';
import { SocksHandshake } from '../../src/forward/proxy/socks.js';
import { isPlaceholder, ProxiedNames } from '../../src/worker/net/proxied_names.js';
import {
  type Greeting,
  type GreetingStep,
  greetingFor,
  HttpGreeting,
  SocksGreeting,
} from '../../src/worker/net/proxy_greeting.js';

const TARGETS = [
  { host: 'node.example', port: 443 },
  { host: '192.0.2.7', port: 33445 },
  { host: '2001:db8::1', port: 65535 },
] as const;
const ME = { user: 'jürgen', password: 'pa:ss %' };
const text = (words: string): Buffer => Buffer.from(words, 'latin1');

/** Lets a proxy of ours answer byte by byte, followed by some bytes of the target. */
function talk(greeting: Greeting, proxy: ProxyHandshake): { step: GreetingStep; asked: unknown } {
  let step: GreetingStep = { kind: 'more', say: greeting.begin() };
  let asked: unknown;
  while (step.kind === 'more' && step.say.length > 0) {
    const heard = proxy.take(step.say);
    if (heard.kind === 'target') asked = heard.target;
    const opened = heard.kind === 'target' ? proxy.opened() : new Uint8Array(0);
    for (const byte of Buffer.concat([heard.answer, opened])) {
      step = greeting.take(Uint8Array.of(byte));
      if (step.kind !== 'more' || step.say.length > 0) break;
    }
  }
  return { step, asked };
}

for (const protocol of ['socks5', 'http'] as const) {
  const proxyOf = (credentials?: typeof ME): ProxyHandshake => {
    const authorize = credentials && authorizer(credentials);
    return protocol === 'http' ? new HttpConnectHandshake(authorize) : new SocksHandshake(authorize);
  };
  const at = { protocol, host: 'proxy', port: 1 } as const;

  test(`${protocol}: requests a name, an IPv4 and an IPv6 address, with a password and without`, () => {
    for (const target of TARGETS) {
      assert.deepEqual(talk(greetingFor(at, target), proxyOf()), {
        step: { kind: 'done', rest: Buffer.alloc(0) },
        asked: target,
      });
      assert.deepEqual(talk(greetingFor({ ...at, credentials: ME }, target), proxyOf(ME)).asked, target);
    }
  });

  test(`${protocol}: reports a proxy that requires a password, or another one`, () => {
    const target = TARGETS[0];
    const other = { ...ME, password: 'x' };
    assert.deepEqual(talk(greetingFor(at, target), proxyOf(ME)).step, {
      kind: 'failed',
      why: 'requires a user name and password',
    });
    assert.deepEqual(talk(greetingFor({ ...at, credentials: other }, target), proxyOf(ME)).step, {
      kind: 'failed',
      why: 'refused the user name or password',
    });
  });
}

test('socks5: the bytes after the answer belong to the target, whatever address the answer has', () => {
  for (const address of ['01 7f000001', '04 20010db8000000000000000000000001', '03 02 6162']) {
    const greeting = new SocksGreeting(TARGETS[0], undefined);
    greeting.begin();
    greeting.take(Uint8Array.of(5, 0));
    const answer = Buffer.from(`050000${address}1f90`.replaceAll(' ', ''), 'hex');
    assert.deepEqual(greeting.take(Buffer.concat([answer, text('early')])), {
      kind: 'done',
      rest: text('early'),
    });
  }
});

test('socks5: each refusal has its own text, and another protocol is reported as such', () => {
  const answered = (...bytes: number[]): GreetingStep => {
    const greeting = new SocksGreeting(TARGETS[0], undefined);
    greeting.take(Uint8Array.of(5, 0));
    return greeting.take(Uint8Array.from(bytes));
  };
  for (const [code, why] of [
    [2, 'does not allow this connection'],
    [5, 'reports that the connection was refused'],
    [99, 'refused with the unknown code 99'],
  ] as const) {
    assert.deepEqual(answered(5, code), { kind: 'failed', why });
  }
  assert.deepEqual(answered(4), { kind: 'failed', why: 'does not speak SOCKS5' });
  assert.deepEqual(answered(5, 0, 0, 9, 0), { kind: 'failed', why: 'does not speak SOCKS5' });
  assert.deepEqual(new SocksGreeting(TARGETS[0], undefined).take(text('HTTP/1.1 400 Bad Request\r\n')), {
    kind: 'failed',
    why: 'does not speak SOCKS5',
  });
  assert.deepEqual(new SocksGreeting(TARGETS[0], undefined).take(Uint8Array.of(5, 0, 5, 0)), {
    kind: 'failed',
    why: 'answered before it was asked',
  });
});

test('http: any success status opens, the bytes after it belong to the target, and other statuses are reported', () => {
  const answered = (words: string): GreetingStep => new HttpGreeting(TARGETS[0], undefined).take(text(words));
  assert.deepEqual(answered('HTTP/1.0 200 OK\r\nVia: x\r\n\r\nearly'), { kind: 'done', rest: text('early') });
  assert.deepEqual(answered('HTTP/1.1 204\r\n\r\n'), { kind: 'done', rest: text('') });
  assert.deepEqual(answered('HTTP/1.1 403 Filtered\r\n\r\n'), {
    kind: 'failed',
    why: 'answered 403 Filtered',
  });
  assert.deepEqual(answered('SSH-2.0-x\r\n\r\n'), { kind: 'failed', why: 'does not speak HTTP' });
  assert.equal(answered('HTTP/1.1 200 OK\r\n').kind, 'more');
  assert.deepEqual(answered(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(16 * 1024)}`), {
    kind: 'failed',
    why: 'sent an endless answer',
  });
});

test('a name has one unguessable placeholder address, and the number of names is bounded', () => {
  let next = 0;
  const names = new ProxiedNames((into) => into.fill(++next));
  const address = '100:0:0:0:101:101:101:101';
  assert.equal(names.addressOf('node.example'), address);
  assert.equal(names.addressOf('node.example'), address);
  assert.ok(isPlaceholder(address));
  assert.equal(names.nameOf(address), 'node.example');
  assert.equal(names.nameOf('100:0:0:0:0:0:0:1'), undefined);
  assert.ok(!isPlaceholder('2001:db8:0:0:0:0:0:1'));
  for (let i = 0; i < 2000; i++) names.addressOf(`${i}.example`);
  assert.equal(names.addressOf('late.example'), undefined);
});
