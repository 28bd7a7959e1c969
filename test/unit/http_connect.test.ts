import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { HttpConnectHandshake, MAX_HEADER_BYTES } from '../../src/forward/proxy/http_connect.js';
import { authorizer, type ProxyStep } from '../../src/forward/proxy/proxy_handshake.js';
import type { Reason } from '../../src/mux/wire/reasons.js';

const take = (text: string, handshake = new HttpConnectHandshake()): ProxyStep =>
  handshake.take(Buffer.from(text, 'latin1'));
const statusLine = (bytes: Uint8Array): string => Buffer.from(bytes).toString().split('\r\n')[0] ?? '';

const REQUEST = 'CONNECT db.lan:5432 HTTP/1.1\r\nHost: db.lan:5432\r\nUser-Agent: x\r\n\r\n';

test('a request is parsed, and the bytes after it are kept for the target', () => {
  const step = take(`${REQUEST}early\r\n\r\n`);
  assert.ok(step.kind === 'target');
  assert.deepEqual(step.target, { host: 'db.lan', port: 5432 });
  assert.equal(Buffer.from(step.rest).toString(), 'early\r\n\r\n');
  assert.equal(step.answer.length, 0);
});

test('every prefix of a request waits for more, wherever it is cut', () => {
  for (let cut = 0; cut < REQUEST.length; cut++) {
    const handshake = new HttpConnectHandshake();
    assert.equal(take(REQUEST.slice(0, cut), handshake).kind, 'more', `after ${cut} bytes`);
    const step = take(REQUEST.slice(cut), handshake);
    assert.ok(step.kind === 'target', `cut at ${cut}`);
    assert.deepEqual(step.target, { host: 'db.lan', port: 5432 });
  }
});

const authorities: ReadonlyArray<readonly [authority: string, host: string, port: number]> = [
  ['10.0.0.7:80', '10.0.0.7', 80],
  ['[2001:DB8::0:1]:443', '2001:db8::1', 443],
  ['Example.ORG.:1', 'example.org', 1],
  ['localhost:65535', 'localhost', 65535],
];
for (const [authority, host, port] of authorities) {
  test(`CONNECT ${authority} requests ${host} port ${port}`, () => {
    const step = take(`CONNECT ${authority} HTTP/1.0\r\n\r\n`);
    assert.ok(step.kind === 'target');
    assert.deepEqual(step.target, { host, port });
  });
}

const failures: ReadonlyArray<readonly [request: string, status: number]> = [
  ['CONNECT db.lan HTTP/1.1\r\n\r\n', 400],
  ['CONNECT db.lan:0 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT db.lan:65536 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT :80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT 2001:db8::1:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT [db.lan]:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT [fe80::1%1]:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT user@db.lan:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT http://db.lan:80/ HTTP/1.1\r\n\r\n', 400],
  ['CONNECT 127.1:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT  db.lan:80 HTTP/1.1\r\n\r\n', 400],
  ['CONNECT db.lan:80\r\n\r\n', 400],
  ['CONNECT db.lan:80 HTTP/1.1\r\nno colon\r\n\r\n', 400],
  ['CONNECT db.lan:80 HTTP/1.1\r\nBlank : x\r\n\r\n', 400],
  ['CONNECT db.lan:80 HTTP/1.1\r\nA: x\r\n folded: y\r\n\r\n', 400],
  ['CONNECT db.lan:80 HTTP/1.1\n', 400],
  ['CONNECT db.lan:80 HTTP/1.1\rX', 400],
  ['CONNECT db.lan:80 HTTP/1.1\r\nA: \0', 400],
  ['CONNECT db.lan:80 HTTP/1.1\r\nA: \x7f', 400],
  ['CONNECT db.lan:80 HTTP/2.0\r\n\r\n', 505],
  ['GET http://db.lan/ HTTP/1.1\r\n\r\n', 405],
  ['PRI * HTTP/2.0\r\n\r\n', 505],
];
for (const [request, status] of failures) {
  test(`${JSON.stringify(request)} is answered with ${status}`, () => {
    const step = take(request);
    assert.equal(step.kind, 'failed');
    assert.match(statusLine(step.answer), new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(Buffer.from(step.answer).toString(), /\r\nConnection: close\r\n/);
  });
}

test('an endless header is refused at the limit, and not kept beyond it', () => {
  const handshake = new HttpConnectHandshake();
  take('CONNECT a:1 HTTP/1.1\r\nA: ', handshake);
  let step = take('x'.repeat(MAX_HEADER_BYTES - 25), handshake);
  assert.equal(step.kind, 'more');
  step = take('xx', handshake);
  assert.equal(step.kind, 'failed');
  assert.match(statusLine(step.answer), /^HTTP\/1\.1 431 /);
  const exact = REQUEST.replace('x\r\n', `${'x'.repeat(MAX_HEADER_BYTES - REQUEST.length + 1)}\r\n`);
  assert.equal(exact.length, MAX_HEADER_BYTES);
  assert.equal(take(exact).kind, 'target');
  assert.equal(take(exact.replace('xx', 'xxx')).kind, 'failed');
});

test('with a password configured, only the right one is accepted', () => {
  const attempt = (line: string): string => {
    const handshake = new HttpConnectHandshake(authorizer({ user: 'joe', password: 'se:cret' }));
    const step = take(`CONNECT a:1 HTTP/1.1\r\n${line}\r\n`, handshake);
    return step.kind === 'target' ? 'let in' : Buffer.from(step.answer).toString();
  };
  const basic = (pair: string): string => Buffer.from(pair).toString('base64');
  assert.equal(attempt(`Proxy-Authorization: Basic ${basic('joe:se:cret')}\r\n`), 'let in');
  assert.equal(attempt(`pROXY-aUTHORIZATION:basic ${basic('joe:se:cret')}\r\n`), 'let in');
  for (const line of [
    '',
    `Proxy-Authorization: Basic ${basic('joe:se:creT')}\r\n`,
    `Proxy-Authorization: Basic ${basic('jo:e:se:cret')}\r\n`,
    `Proxy-Authorization: Basic ${basic('joe')}\r\n`,
    'Proxy-Authorization: Bearer x\r\n',
    `Authorization: Basic ${basic('joe:se:cret')}\r\n`,
  ]) {
    const answer = attempt(line);
    assert.match(answer, /^HTTP\/1\.1 407 /, line);
    assert.match(answer, /\r\nProxy-Authenticate: Basic realm="tox-wasm-tunnel"\r\n/);
  }
});

test('status codes report the outcome, and the body gives the reason', () => {
  const told = (reason: Reason): string => statusLine(new HttpConnectHandshake().refused(reason, ''));
  assert.equal(
    Buffer.from(new HttpConnectHandshake().opened()).toString(),
    'HTTP/1.1 200 Connection Established\r\n\r\n',
  );
  assert.equal(told('not-allowed'), 'HTTP/1.1 403 Forbidden');
  for (const reason of ['timeout', 'peer-silent'] as const)
    assert.equal(told(reason), 'HTTP/1.1 504 Gateway Timeout');
  for (const reason of ['limit', 'busy', 'peer-shutdown'] as const)
    assert.equal(told(reason), 'HTTP/1.1 503 Service Unavailable');
  for (const reason of ['refused', 'unreachable', 'name-not-found', 'internal'] as const)
    assert.equal(told(reason), 'HTTP/1.1 502 Bad Gateway');
  const answer = Buffer.from(new HttpConnectHandshake().refused('refused', 'é')).toString();
  assert.match(answer, /\r\nContent-Length: 3\r\n\r\né\n$/);
});

test('any bytes in any pieces give the same result', () => {
  const line = fc.string({ maxLength: 20 });
  const text = fc.oneof(
    line,
    fc.tuple(line, line).map(([a, b]) => `CONNECT ${a} HTTP/1.1\r\n${b}\r\n\r\n`),
    line.map((tail) => REQUEST + tail),
  );
  fc.assert(
    fc.property(text, fc.array(fc.nat(100), { maxLength: 5 }), (all, cuts) => {
      const bytes = Buffer.from(all);
      const whole = new HttpConnectHandshake().take(bytes);
      const handshake = new HttpConnectHandshake();
      const edges = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      let step: ProxyStep = { kind: 'more', answer: new Uint8Array(0) };
      for (const [at, end] of edges.slice(1).entries()) {
        if (step.kind === 'more') step = handshake.take(bytes.subarray(edges[at], end));
      }
      assert.equal(step.kind, whole.kind);
      assert.deepEqual(Buffer.from(step.answer), Buffer.from(whole.answer));
      if (step.kind === 'target' && whole.kind === 'target') assert.deepEqual(step.target, whole.target);
    }),
    { numRuns: 500 },
  );
});
