import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessPolicy } from '../../src/access/policy.js';
import { requestMessage } from '../../src/access/proof.js';
import { RequestGate } from '../../src/worker/request_gate.js';

const LISTENER = new Uint8Array(32).fill(0x11);
const keyOf = (n: number): Uint8Array => {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(0, n);
  return key;
};

function bench() {
  let secrets = 0;
  const policy = new AccessPolicy({
    allowPeers: [{ publicKey: keyOf(7_000_000) }],
    denyPeers: [keyOf(8_000_000)],
    wallMs: () => 0,
    newSecret: () => new Uint8Array(32).fill(++secrets),
  });
  const dropped: number[] = [];
  const gate = new RequestGate((count) => dropped.push(count));
  gate.admit(policy.admission, 0);
  /** One request through the worker's gate and the main thread's policy. */
  const ask = (peer: Uint8Array, message: Uint8Array, nowMs: number) =>
    gate.take(peer, message, nowMs)
      ? { grant: policy.request(message, { connector: peer, listener: LISTENER }) }
      : undefined;
  return { policy, gate, dropped, ask };
}

test('10,000 requests from strangers in one second are dropped, and no honest peer is locked out', () => {
  const { policy, dropped, ask } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  // In our format, of an old rotated ticket, of other clients, and empty.
  const shapes = [
    requestMessage(new Uint8Array(32).fill(0x99), { connector: keyOf(1), listener: LISTENER }),
    Uint8Array.of(1, ...new Uint8Array(40)),
    new TextEncoder().encode('tox-wasm-tunnel'),
    new Uint8Array(921).fill(1),
    new Uint8Array(1),
  ];
  let honest = 0;
  const begunMs = performance.now();
  for (let i = 0; i < 10_000; i++) {
    assert.equal(ask(keyOf(i), shapes[i % shapes.length]!, i / 10), undefined);
    if (i % 500 !== 0) continue;
    const connector = keyOf(1_000_000 + i);
    honest += ask(connector, requestMessage(secret, { connector, listener: LISTENER }), i / 10)?.grant
      ? 1
      : 0;
    honest += ask(keyOf(7_000_000), shapes[2]!, i / 10)?.grant ? 1 : 0;
  }
  const tookMs = performance.now() - begunMs;
  assert.equal(honest, 40);
  assert.equal(policy.turnedAway, 0, 'none of it cost the main thread anything');
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
  assert.deepEqual(dropped, [1], 'it is reported at once, and then every ten seconds');
  ask(keyOf(1), shapes[4]!, 11_000);
  assert.deepEqual(dropped, [1, 10_000]);
});

test('the copies of a request cost its ticket nothing, so a thousand peers may come back at once', () => {
  const { policy, gate, ask, dropped } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  gate.admit(policy.admission, 0);
  const by = (n: number, nowMs: number) =>
    ask(keyOf(n), requestMessage(secret, { connector: keyOf(n), listener: LISTENER }), nowMs);
  let passed = 0;
  for (let copy = 0; copy < 8; copy++) {
    for (let n = 0; n < 1_000; n++) if (by(n, copy * 150) !== undefined) passed++;
  }
  assert.equal(passed, 8_000);
  assert.deepEqual(dropped, []);
});

test('the same request over and over again uses up its allowance like others', () => {
  const { policy, gate, ask } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  gate.admit(policy.admission, 0);
  const message = requestMessage(secret, { connector: keyOf(1), listener: LISTENER });
  let passed = 0;
  for (let n = 0; n < 20_000; n++) if (ask(keyOf(1), message, 0) !== undefined) passed++;
  assert.equal(passed, 8 * 1_024);
});

test('a ticket holder that floods delays only newcomers with that ticket, and only during the flood', () => {
  const { policy, gate, ask } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  const other = policy.newTicket({ name: 'ci' });
  gate.admit(policy.admission, 0);
  const by = (which: Uint8Array, n: number, nowMs: number) =>
    ask(keyOf(n), requestMessage(which, { connector: keyOf(n), listener: LISTENER }), nowMs);
  const passed = Array.from({ length: 3_000 }, (_, i) => by(secret, i, 0)).filter(
    (answer) => answer !== undefined,
  );
  assert.ok(passed.length <= 1024, `${passed.length} were looked at`);
  assert.equal(by(secret, 5_000, 0), undefined);
  gate.admit(policy.admission, 0);
  assert.equal(by(secret, 5_000, 0), undefined, 'a change to the tickets refills nothing');
  assert.ok(by(other, 5_001, 0)?.grant);
  assert.ok(by(secret, 5_000, 1_000)?.grant);
});

test('the policy rejects and counts requests with a known prefix and a forged proof', () => {
  const { policy, ask } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  const recorded = requestMessage(secret, { connector: keyOf(1), listener: LISTENER });
  assert.deepEqual(ask(keyOf(2), recorded, 0), { grant: undefined });
  assert.equal(policy.turnedAway, 1);
});

test('denied keys never pass; no key passes before the gate knows the tickets', () => {
  const { policy, ask } = bench();
  const secret = policy.secretOf() ?? LISTENER;
  const connector = keyOf(8_000_000);
  assert.equal(ask(connector, requestMessage(secret, { connector, listener: LISTENER }), 0), undefined);
  const closed = new RequestGate(() => {});
  assert.equal(closed.take(connector, new Uint8Array(0), 0), false);
  assert.equal(closed.take(connector, requestMessage(secret, { connector, listener: LISTENER }), 0), false);
  closed.admit({ prefixes: [], keys: [], deniedKeys: [] }, 0);
  assert.equal(closed.take(connector, new Uint8Array(0), 0), false);
});
