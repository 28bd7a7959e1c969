import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { authorizer, type ProxyStep } from '../../src/forward/proxy/proxy_handshake.js';
import { SocksHandshake } from '../../src/forward/proxy/socks.js';
import type { Reason } from '../../src/mux/wire/reasons.js';

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const hex = (step: ProxyStep): string => Buffer.from(step.answer).toString('hex');
const reply = (code: number): string => `050${code}0001000000000000`;

/** Feeds a client's bytes in pieces; returns the last step, with all answers joined. */
function feed(handshake: SocksHandshake, pieces: readonly Uint8Array[]): ProxyStep {
  let step: ProxyStep = { kind: 'more', answer: new Uint8Array(0) };
  let answer = Buffer.alloc(0);
  for (const piece of pieces) {
    if (step.kind !== 'more') break;
    step = handshake.take(piece);
    answer = Buffer.concat([answer, step.answer]);
  }
  return { ...step, answer };
}

const targets: ReadonlyArray<readonly [what: string, request: string, host: string, port: number]> = [
  ['an IPv4 address', '05 01 00 01 0a000007 0050', '10.0.0.7', 80],
  ['an IPv6 address', '05 01 00 04 20010db8000000000000000000000001 01bb', '2001:db8::1', 443],
  ['an IPv4-mapped IPv6 address', '05 01 00 04 00000000000000000000ffff7f000001 0016', '127.0.0.1', 22],
  ['a name', '05 01 00 03 0b 6578616d706c652e4f5247 ffff', 'example.org', 65535],
  ['an address written as a name', '05 01 00 03 09 3132372e302e302e31 0016', '127.0.0.1', 22],
];

for (const [what, request, host, port] of targets) {
  const client = bytes(`05 01 00 ${request}`);

  test(`${what} is read as the target, and the following bytes are kept for it`, () => {
    const step = feed(new SocksHandshake(), [Buffer.concat([client, Buffer.from('early')])]);
    assert.equal(hex(step), '0500');
    assert.ok(step.kind === 'target');
    assert.deepEqual(step.target, { host, port });
    assert.equal(Buffer.from(step.rest).toString(), 'early');
  });

  test(`every prefix of a request for ${what} waits for more, wherever it is cut`, () => {
    for (let cut = 0; cut < client.length; cut++) {
      const handshake = new SocksHandshake();
      const before = handshake.take(client.subarray(0, cut));
      assert.equal(before.kind, 'more', `after ${cut} bytes`);
      assert.equal(hex(before), cut < 3 ? '' : '0500');
      const after = handshake.take(client.subarray(cut));
      assert.equal(after.kind, 'target');
      assert.equal(hex(before) + hex(after), '0500');
    }
  });
}

const failures: ReadonlyArray<readonly [what: string, client: string, answer: string]> = [
  ['SOCKS4', '04 01 0050 0a000007 00', '005b000000000000'],
  ['SOCKS4a', '04 01 0050 00000001 00 6100', '005b000000000000'],
  ['another version of SOCKS', '06 01 00', ''],
  ['a client without our method', '05 02 01 02', '05ff'],
  ['a client without any method', '05 00', '05ff'],
  ['BIND', '05 01 00 05 02', `0500${reply(7)}`],
  ['UDP ASSOCIATE', '05 01 00 05 03 00 01 00000000 0000', `0500${reply(7)}`],
  ['an unknown command', '05 01 00 05 09', `0500${reply(7)}`],
  ['an unknown address type', '05 01 00 05 01 00 02', `0500${reply(8)}`],
  ['a request of another version', '05 01 00 04', `0500${reply(1)}`],
  ['port 0', '05 01 00 05 01 00 01 0a000007 0000', `0500${reply(1)}`],
  ['an empty name', '05 01 00 05 01 00 03 00 0050', `0500${reply(1)}`],
  ['a name with a line end', '05 01 00 05 01 00 03 03 610a62 0050', `0500${reply(1)}`],
  ['a name that is not ASCII', '05 01 00 05 01 00 03 02 c3a9 0050', `0500${reply(1)}`],
];
for (const [what, client, answer] of failures) {
  test(`${what} is refused with the right code, as soon as it is known`, () => {
    const all = bytes(client);
    const step = feed(new SocksHandshake(), [all]);
    assert.equal(step.kind, 'failed');
    assert.equal(hex(step), answer);
    const onebyOne = feed(
      new SocksHandshake(),
      [...all].map((byte) => Uint8Array.of(byte)),
    );
    assert.deepEqual(onebyOne, step);
  });
}

test('with a password configured, only the right one is accepted', () => {
  const authorize = authorizer({ user: 'joe', password: 'se:cret' });
  const attempt = (client: string): ProxyStep => feed(new SocksHandshake(authorize), [bytes(client)]);
  const request = '05 01 00 01 0a000007 0050';
  const right = attempt(`05 02 00 02 01 03 6a6f65 07 73653a63726574 ${request}`);
  assert.equal(right.kind, 'target');
  assert.equal(hex(right), '05020100');
  for (const [client, answer] of [
    [`05 01 00 ${request}`, '05ff'],
    [`05 02 00 02 ${request}`, '05020101'],
    [`05 01 02 01 03 6a6f65 07 73653a63726575 ${request}`, '05020101'],
    [`05 01 02 01 03 6a6f66 07 73653a63726574 ${request}`, '05020101'],
    [`05 01 02 01 03 6a6f65 06 73653a637265 ${request}`, '05020101'],
    [`05 01 02 01 00 00 ${request}`, '05020101'],
    [`05 01 02 02 03 6a6f65 07 73653a63726574 ${request}`, '05020101'],
  ] as const) {
    const step = attempt(client);
    assert.equal(step.kind, 'failed', client);
    assert.equal(hex(step), answer, client);
  }
});

test('every prefix of a password waits for more', () => {
  const client = bytes('05 01 02 01 03 6a6f65 02 6869 05 01 00 01 0a000007 0050');
  for (let cut = 0; cut < client.length; cut++) {
    const handshake = new SocksHandshake(authorizer({ user: 'joe', password: 'hi' }));
    assert.equal(handshake.take(client.subarray(0, cut)).kind, 'more');
    assert.equal(handshake.take(client.subarray(cut)).kind, 'target');
  }
});

test('the reply codes of RFC 1928 report the outcome', () => {
  const told = (reason: Reason): string => Buffer.from(new SocksHandshake().refused(reason)).toString('hex');
  assert.equal(Buffer.from(new SocksHandshake().opened()).toString('hex'), reply(0));
  assert.equal(told('not-allowed'), reply(2));
  assert.equal(told('unreachable'), reply(4));
  assert.equal(told('name-not-found'), reply(4));
  assert.equal(told('refused'), reply(5));
  assert.equal(told('timeout'), reply(6));
  for (const reason of ['limit', 'internal', 'peer-shutdown', 'unspecified'] as const)
    assert.equal(told(reason), reply(1));
});

test('any bytes in any pieces give the same result, and no more than one message is held', () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.uint8Array({ maxLength: 600 }).map((tail) => Uint8Array.from([5, 1, 0, 5, 1, 0, ...tail])),
    fc.uint8Array({ maxLength: 300 }).map((tail) => Uint8Array.from([5, 1, 0, 5, 1, 0, 3, ...tail])),
  );
  fc.assert(
    fc.property(message, fc.array(fc.nat(600), { maxLength: 5 }), (all, cuts) => {
      const whole = feed(new SocksHandshake(), [all]);
      const edges = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
      const pieces = edges.slice(1).map((end, at) => all.subarray(edges[at], end));
      const pieced = feed(new SocksHandshake(), pieces);
      assert.equal(pieced.kind, whole.kind);
      assert.equal(hex(pieced), hex(whole));
      if (pieced.kind === 'target' && whole.kind === 'target') assert.deepEqual(pieced.target, whole.target);
      if (whole.kind === 'more') assert.ok(all.length < 3 + 5 + 255 + 2 + 255);
    }),
    { numRuns: 500 },
  );
});
