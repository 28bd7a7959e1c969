import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type AccessState, parseAccessState } from '../../src/access/access_state.js';
import { AccessPolicy, type Verdict } from '../../src/access/policy.js';
import {
  helloProof,
  type Keys,
  provesWelcome,
  requestMessage,
  welcomeProof,
} from '../../src/access/proof.js';
import type { NewTicket } from '../../src/access/ticket_book.js';
import { TunnelError } from '../../src/core/errors.js';
import { upperHex } from '../../src/network/tox_id.js';
import { failsWith } from '../support/fails_with.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const protocol = readFileSync(new URL('../../docs/reference/protocol.md', import.meta.url), 'utf8');
const bytes = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);
const LISTENER = bytes(0x11);
const keysOf = (connector: Uint8Array): Keys => ({ connector, listener: LISTENER });
const A = bytes(0xa0);
const B = bytes(0xb0);
const SESSIONS = { connector: bytes(1, 16), listener: bytes(2, 16), binding: bytes(3) };

function bench(options: { state?: AccessState } = {}) {
  const timers = new VirtualTimers();
  const world = { nowMs: 1_000_000, changes: 0, revoked: 0 };
  /** Lets time pass on both clocks. */
  const pass = (ms: number): void => {
    world.nowMs += ms;
    timers.advance(ms);
  };
  let secrets = 0;
  const policy = new AccessPolicy({
    ...options,
    allowPeers: [{ name: 'laptop', publicKey: bytes(0x77) }],
    denyPeers: [bytes(0x66)],
    wallMs: () => world.nowMs,
    timers,
    newSecret: () => bytes(++secrets),
  });
  policy.on('changed', () => world.changes++);
  policy.on('revoked', () => world.revoked++);
  const ask = (secret: Uint8Array, peer: Uint8Array) =>
    policy.request(requestMessage(secret, keysOf(peer)), keysOf(peer));
  const greet = (secret: Uint8Array, peer: Uint8Array, sessions = SESSIONS, resumes = false): Verdict =>
    policy.hello(helloProof(secret, keysOf(peer), sessions), keysOf(peer), sessions, resumes);
  return { policy, world, timers, pass, ask, greet };
}

test('proofs match the golden bytes of docs/reference/protocol.md', () => {
  const keys = { connector: bytes(0x22), listener: bytes(0x11) };
  const sessions = { connector: bytes(0xc0, 16), listener: bytes(0xa0, 16), binding: bytes(0xb0) };
  const hex = (proof: Uint8Array): string => Buffer.from(proof).toString('hex');
  const documented = protocol.replaceAll(/(?<=[0-9a-f]) (?=[0-9a-f])/g, '');
  for (const proof of [
    requestMessage(bytes(0x55), keys),
    helloProof(bytes(0x55), keys, sessions),
    welcomeProof(bytes(0x55), keys, sessions),
  ]) {
    assert.ok(documented.includes(`\`${hex(proof)}\``), hex(proof));
  }
});

describe('requests of a program to the policy', () => {
  for (const [what, ticket, code, why] of [
    ['without a name', {}, 'ERR_ARGUMENT_INVALID', /newTicket\(\): name must be a string/],
    ['with an invalid name', { name: 'a b' }, 'ERR_USAGE', /newTicket\(\): name: /],
    [
      'with too many rules',
      { name: 'ci', rules: Array.from({ length: 257 }, () => '22') },
      'ERR_ARGUMENT_INVALID',
      /at most 256/,
    ],
    ['with an invalid rule', { name: 'ci', rules: ['x y'] }, 'ERR_SPEC_INVALID', /rules\[0\]: /],
    [
      'with no rate at all',
      { name: 'ci', bytesPerSecond: 0 },
      'ERR_ARGUMENT_INVALID',
      /bytesPerSecond must be/,
    ],
    ['for no peers', { name: 'ci', uses: 0 }, 'ERR_ARGUMENT_INVALID', /uses must be a whole number from 1/],
    [
      'that never expires',
      { name: 'ci', expiresAtMs: Number.NaN },
      'ERR_ARGUMENT_INVALID',
      /expiresAtMs must be/,
    ],
    [
      'with a mistyped limit',
      { name: 'ci', expiresAt: 5 },
      'ERR_ARGUMENT_INVALID',
      /did you mean "expiresAtMs"/,
    ],
  ] as const) {
    test(`a ticket ${what} is refused, and the state stays readable`, () => {
      const { policy } = bench();
      assert.throws(() => policy.newTicket(ticket as NewTicket), failsWith(code, why));
      assert.deepEqual(
        policy.tickets().map(({ name }) => name),
        ['default'],
      );
      assert.ok(parseAccessState(JSON.parse(JSON.stringify(policy.state))));
    });
  }

  test('a key that does not have 32 bytes can be neither allowed nor denied', () => {
    const { policy } = bench();
    const isInvalid = failsWith('ERR_ARGUMENT_INVALID', /publicKey must be a Uint8Array of 32 bytes/);
    assert.throws(() => policy.deny(bytes(1, 31)), isInvalid);
    assert.throws(() => policy.allow({ publicKey: bytes(1, 33) }), isInvalid);
  });
});

describe('a friend request', () => {
  test('with the ticket is admitted, and belongs to the ticket', () => {
    const { policy, ask } = bench();
    const grant = ask(policy.secretOf() ?? bytes(0), A);
    assert.deepEqual(grant, { name: 'default', kind: 'ticket', rules: undefined });
    assert.ok(policy.holds(grant, upperHex(A)));
  });

  test('with nothing, a wrong secret, a flipped bit, or another sender is refused and counted', () => {
    const { policy, ask } = bench();
    const secret = policy.secretOf() ?? bytes(0);
    const good = requestMessage(secret, keysOf(A));
    assert.equal(policy.request(new TextEncoder().encode('tox-wasm-tunnel'), keysOf(A)), undefined);
    assert.equal(policy.request(new Uint8Array(0), keysOf(A)), undefined);
    assert.equal(ask(bytes(0x99), A), undefined);
    assert.equal(policy.request(good, keysOf(B)), undefined, 'a recorded request, sent by another key');
    assert.equal(policy.request(good, { connector: A, listener: B }), undefined, 'or to another listener');
    for (let at = 0; at < good.length * 8; at++) {
      const bad = good.slice();
      bad[at >> 3]! ^= 1 << (at & 7);
      assert.equal(policy.request(bad, keysOf(A)), undefined);
    }
    for (let length = 0; length < good.length; length++)
      assert.equal(policy.request(good.subarray(0, length), keysOf(A)), undefined);
    assert.equal(policy.turnedAway, 5 + good.length * 9);
  });

  test('from an allowed key needs no ticket, and no ticket helps a denied key', () => {
    const { policy, ask } = bench();
    assert.equal(policy.request(new Uint8Array(1), keysOf(bytes(0x77)))?.name, 'laptop');
    assert.equal(ask(policy.secretOf() ?? bytes(0), bytes(0x66)), undefined);
  });
});

describe('a hello', () => {
  test('with a proof for its two sessions is welcomed, and the welcome also proves the ticket', () => {
    const { policy, greet } = bench();
    const secret = policy.secretOf() ?? bytes(0);
    const verdict = greet(secret, A);
    assert.ok(verdict.kind === 'welcome');
    assert.equal(verdict.grant.name, 'default');
    assert.ok(provesWelcome(secret, keysOf(A), SESSIONS, verdict.proof));
    assert.ok(!provesWelcome(secret, keysOf(B), SESSIONS, verdict.proof));
    assert.ok(!provesWelcome(secret, keysOf(A), { ...SESSIONS, connector: bytes(9, 16) }, verdict.proof));
    assert.ok(!provesWelcome(secret, keysOf(A), { ...SESSIONS, binding: bytes(4) }, verdict.proof));
    assert.ok(!provesWelcome(bytes(0x99), keysOf(A), SESSIONS, verdict.proof));
    assert.ok(!provesWelcome(secret, keysOf(A), SESSIONS, undefined));
    assert.ok(
      !provesWelcome(secret, keysOf(A), SESSIONS, helloProof(secret, keysOf(A), SESSIONS).subarray(8)),
    );
  });

  test('recorded in one session is worthless in another, or from another key', () => {
    const { policy } = bench();
    const secret = policy.secretOf() ?? bytes(0);
    const recorded = helloProof(secret, keysOf(A), SESSIONS);
    for (const other of [
      { ...SESSIONS, listener: bytes(3, 16) },
      { ...SESSIONS, binding: bytes(4) },
      { ...SESSIONS, binding: bytes(3, 0) },
    ]) {
      assert.equal(policy.hello(recorded, keysOf(A), other, false).kind, 'challenge');
    }
    assert.equal(policy.hello(recorded, keysOf(B), SESSIONS, false).kind, 'challenge');
    const asRequest = requestMessage(secret, keysOf(A)).subarray(1);
    assert.equal(policy.hello(asRequest, keysOf(A), SESSIONS, false).kind, 'challenge');
  });

  test('proves nothing while there is no Tox session that it could be bound to', () => {
    const { policy } = bench();
    const secret = policy.secretOf() ?? bytes(0);
    const unbound = { ...SESSIONS, binding: bytes(3, 0) };
    const proof = helloProof(secret, keysOf(A), unbound);
    assert.equal(policy.hello(proof, keysOf(A), unbound, false).kind, 'challenge');
    assert.ok(!provesWelcome(secret, keysOf(A), unbound, welcomeProof(secret, keysOf(A), unbound)));
  });

  test('without a proof is refused unless the key is allowed; one that asks for a challenge gets it', () => {
    const { policy } = bench();
    assert.equal(policy.hello(undefined, keysOf(A), SESSIONS, false).kind, 'refuse');
    assert.equal(policy.hello(new Uint8Array(7), keysOf(A), SESSIONS, false).kind, 'refuse');
    assert.equal(policy.hello(new Uint8Array(0), keysOf(A), SESSIONS, false).kind, 'challenge');
    const allowed = policy.hello(undefined, keysOf(bytes(0x77)), SESSIONS, false);
    assert.ok(allowed.kind === 'welcome' && allowed.grant.name === 'laptop' && allowed.proof === undefined);
    assert.equal(policy.hello(undefined, keysOf(bytes(0x66)), SESSIONS, false).kind, 'refuse');
  });
});

describe('a ticket', () => {
  test('that has expired admits nobody new, but keeps its connected peers', () => {
    const { policy, world, ask, greet } = bench();
    const secret = policy.newTicket({ name: 'ci', expiresAtMs: world.nowMs + 10, rules: ['8080'] });
    const grant = ask(secret, A);
    assert.deepEqual(grant?.rules?.length, 1);
    world.nowMs += 10;
    assert.equal(ask(secret, A), undefined);
    assert.deepEqual(greet(secret, A), {
      kind: 'refuse',
      text: 'this ticket has expired; ask for a new one',
    });
    assert.equal(greet(secret, A, SESSIONS, true).kind, 'welcome');
    assert.ok(policy.holds(grant, upperHex(A)));
    assert.equal(policy.tickets().find(({ name }) => name === 'ci')?.status, 'expired');
  });

  test('that has expired opens no stream at once, and cuts its peers off when its grace is over', () => {
    for (const [graceMs, lasts] of [
      [undefined, 600_000],
      [5_000, 5_000],
      [0, 0],
    ] as const) {
      const { policy, world, timers, pass, ask, greet } = bench();
      const secret = policy.newTicket({ name: 'ci', expiresAtMs: world.nowMs + 90_000, graceMs });
      const grant = ask(secret, A);
      assert.ok(grant);
      const other = ask(policy.secretOf() ?? bytes(0), B);
      pass(89_999);
      assert.equal(policy.whyNoStreams(grant), undefined);
      pass(1);
      assert.equal(policy.whyNoStreams(grant), 'this ticket has expired; ask for a new one');
      if (lasts > 0) {
        pass(lasts - 1);
        assert.ok(policy.holds(grant, upperHex(A)));
        assert.equal(greet(secret, A, SESSIONS, true).kind, 'welcome');
        assert.equal(world.revoked, 0);
        pass(1);
      }
      assert.equal(policy.holds(grant, upperHex(A)), false);
      assert.equal(world.revoked, 1);
      assert.equal(greet(secret, A, SESSIONS, true).kind, 'refuse');
      assert.ok(other && policy.holds(other, upperHex(B)) && policy.whyNoStreams(other) === undefined);
      assert.equal(timers.running, 0);
    }
  });

  test('that ended before the start, or was revoked, does not cut anyone off later', () => {
    const first = bench();
    first.policy.newTicket({ name: 'ci', expiresAtMs: first.world.nowMs - 1, graceMs: 0 });
    const again = bench({ state: first.policy.state });
    assert.equal(again.timers.running, 0);
    again.policy.newTicket({ name: 'two', expiresAtMs: again.world.nowMs + 50_000 });
    again.policy.revoke('two');
    again.world.revoked = 0;
    again.pass(10_000_000);
    assert.equal(again.world.revoked, 0);
  });

  test('notices within a minute that the time of day was set forward', () => {
    const { policy, world, timers } = bench();
    policy.newTicket({ name: 'ci', expiresAtMs: world.nowMs + 86_400_000, graceMs: 0 });
    world.nowMs += 86_400_000;
    timers.advance(60_000);
    assert.equal(world.revoked, 1);
    policy.newTicket({ name: 'late', expiresAtMs: world.nowMs + 86_400_000 });
    policy.close();
    assert.equal(timers.running, 0);
  });

  test('for two peers admits these two repeatedly and no third, even after a restart', () => {
    const { policy, world, ask, greet } = bench();
    const secret = policy.newTicket({ name: 'two', uses: 2 });
    world.changes = 0;
    for (const peer of [A, B, A, B]) assert.ok(ask(secret, peer));
    assert.equal(world.changes, 2);
    assert.equal(ask(secret, bytes(0xc0)), undefined);
    assert.equal(greet(secret, bytes(0xc0)).kind, 'refuse');
    assert.equal(greet(secret, A).kind, 'welcome');
    const again = bench({ state: policy.state });
    assert.equal(again.ask(secret, bytes(0xc0)), undefined);
    assert.ok(again.ask(secret, B));
    assert.deepEqual(
      again.policy.tickets().find(({ name }) => name === 'two'),
      {
        ...{ name: 'two', uses: 2, used: 2, status: 'used-up' },
      },
    );
  });

  test('that was revoked or rotated holds no peer any more', () => {
    const { policy, world, ask, greet } = bench();
    const old = policy.secretOf() ?? bytes(0);
    const ci = policy.newTicket({ name: 'ci' });
    const [byDefault, byCi] = [ask(old, A), ask(ci, B)];
    policy.revoke('ci');
    assert.ok(byCi && !policy.holds(byCi, upperHex(B)));
    assert.ok(byDefault && policy.holds(byDefault, upperHex(A)));
    const fresh = policy.rotate();
    assert.ok(!policy.holds(byDefault, upperHex(A)));
    assert.deepEqual([ask(old, A), ask(ci, B)], [undefined, undefined]);
    assert.equal(greet(old, A).kind, 'refuse');
    assert.equal(greet(old, A, SESSIONS, true).kind, 'refuse', 'nor does it resume');
    assert.ok(ask(fresh, A));
    assert.equal(world.revoked, 2);
    // A new ticket under the same name is a different ticket.
    policy.newTicket({ name: 'ci' });
    assert.ok(!policy.holds(byCi, upperHex(B)));
  });

  test('with a taken or missing name is refused with a remedy', () => {
    const { policy } = bench();
    policy.newTicket({ name: 'ci' });
    assert.throws(
      () => policy.newTicket({ name: 'ci' }),
      /there is already a ticket "ci"; choose another name, or revoke the old one first$/,
    );
    assert.throws(() => policy.revoke('nope'), /there is no ticket "nope"; list all tickets/);
    assert.throws(() => policy.revoke('default'), /cannot be revoked; rotate it instead/);
  });
});

test('denying a connected peer ends its grant, even one allowed by key', () => {
  const { policy } = bench();
  const laptop = policy.request(new Uint8Array(1), keysOf(bytes(0x77)));
  assert.ok(laptop && policy.holds(laptop, '77'.repeat(32)));
  policy.allow({ name: 'laptop', publicKey: bytes(0x77) });
  assert.ok(policy.holds(laptop, '77'.repeat(32)), 'allowing it again does not bring the grant back');
  policy.deny(bytes(0x77));
  assert.ok(!policy.holds(laptop, '77'.repeat(32)));
  assert.equal(policy.request(new Uint8Array(1), keysOf(bytes(0x77))), undefined);
  assert.ok(policy.undeny(bytes(0x77)) && !policy.undeny(bytes(0x77)));
});

test('a name belongs to a ticket or to peers, never to both', () => {
  const { policy } = bench();
  policy.newTicket({ name: 'ci' });
  const taken = failsWith('ERR_USAGE', /already the name of a ticket/);
  assert.throws(() => policy.allow({ name: 'ci', publicKey: bytes(0x78) }), taken);
  assert.throws(() => policy.allow({ name: 'default', publicKey: bytes(0x78) }), taken);
  assert.throws(
    () => policy.newTicket({ name: 'laptop' }),
    failsWith('ERR_USAGE', /already the name of an allowed peer/),
  );
  policy.allow({ name: 'laptop', publicKey: bytes(0x78) }); // two machines of one person
  policy.newTicket({ name: 'peer-79797979' });
  assert.throws(() => policy.allow({ publicKey: bytes(0x79) }), taken);
  const options = { wallMs: () => 0, newSecret: () => bytes(9), state: policy.state };
  assert.throws(
    () => new AccessPolicy({ ...options, allowPeers: [{ name: 'ci', publicKey: bytes(0x78) }] }),
    taken,
  );
  assert.ok(!policy.state.peers.some(({ name }) => name === 'ci'));
});

test('the saved state restores the same policy, without the rules that applied only to that run', () => {
  const { policy } = bench();
  policy.newTicket({
    name: 'ci',
    uses: 1,
    bytesPerSecond: 2_000_000,
    expiresAtMs: 5,
    rules: ['8080', 'db.lan:1-2'],
    allowReverse: ['*:80', '8000-8010'],
  });
  policy.allow({ publicKey: bytes(0x55) });
  policy.deny(bytes(0x44));
  const state = parseAccessState(JSON.parse(JSON.stringify(policy.state)));
  assert.ok(state);
  assert.deepEqual(state.peers, [{ name: 'peer-55555555', publicKey: '55'.repeat(32) }]);
  assert.deepEqual(state.denied, ['44'.repeat(32)]);
  assert.deepEqual(bench({ state }).policy.state, state);
});

test('the holders of a ticket with a rate get it with their grant, and after a rotation too', () => {
  const { policy } = bench();
  const keys = { connector: bytes(0x11), listener: bytes(0x22) };
  const grantOf = (secret: Uint8Array) => policy.request(requestMessage(secret, keys), keys);
  assert.equal(grantOf(policy.newTicket({ name: 'ci', bytesPerSecond: 5 }))?.bytesPerSecond, 5);
  const rotated = policy.rotate('ci');
  assert.equal(grantOf(rotated)?.bytesPerSecond, 5);
  assert.equal(grantOf(rotated), grantOf(rotated), 'all holders share what is kept for the grant');
  assert.equal(policy.tickets()[1]?.bytesPerSecond, 5);
});

test('a ticket saved with an empty list of either kind has its own rules, namely none', () => {
  const { tickets, ...rest } = bench().policy.state;
  const secret = tickets[0]?.secret ?? '';
  const empty = [
    { name: 'default', secret, rules: [] },
    { name: 'ci', secret: secret.split('').reverse().join(''), allowReverse: [] },
  ];
  const state = parseAccessState({ ...rest, tickets: empty });
  assert.ok(state);
  assert.deepEqual(bench({ state }).policy.state.tickets, empty);
  assert.deepEqual(
    bench({ state })
      .policy.tickets()
      .map(({ rules, allowReverse }) => [rules, allowReverse]),
    [
      [[], undefined],
      [undefined, []],
    ],
  );
});

test('a damaged state is refused without revealing its secrets', () => {
  const good = bench().policy.state;
  const secret = good.tickets[0]?.secret ?? '';
  for (const bad of [
    null,
    [],
    {},
    { ...good, tickets: [{ name: 'x', secret: secret.slice(1) }] },
    { ...good, tickets: [...good.tickets, ...good.tickets] },
    { ...good, tickets: [{ name: 'x', secret, rules: ['no:no:no'] }] },
    { ...good, tickets: [{ name: 'x', secret, allowReverse: ['laptop:80'] }] },
    { ...good, peers: [{ name: 'x' }] },
    { ...good, denied: [secret, 1] },
  ]) {
    assert.throws(
      () => parseAccessState(bad),
      (error) =>
        TunnelError.is(error) &&
        error.code === 'ERR_STATE_INVALID' &&
        !error.message.includes(secret.slice(1)),
    );
  }
  assert.equal(parseAccessState(undefined), undefined);
});

describe('the audit of the policy', () => {
  test('says why each peer was turned away, and by which ticket', () => {
    const { policy, pass, ask, greet } = bench();
    const told: string[] = [];
    policy.on('turnedAway', ({ publicKey, why, ticket }) =>
      told.push(`${publicKey.slice(0, 2)} ${why} ${ticket ?? '-'}`),
    );
    const short = policy.newTicket({ name: 'short', expiresAtMs: 2_000_000 });
    const single = policy.newTicket({ name: 'single', uses: 1 });
    ask(single, A);
    ask(single, B);
    greet(bytes(0x55), A);
    policy.request(new Uint8Array(0), keysOf(A));
    policy.request(requestMessage(short, keysOf(B)), keysOf(A));
    ask(short, bytes(0x66));
    policy.hello(undefined, keysOf(A), SESSIONS, false);
    pass(2_000_000);
    greet(short, B);
    assert.deepEqual(told, [
      'B0 used-up single',
      'A0 unknown -',
      'A0 no-ticket -',
      'A0 wrong-proof short',
      '66 denied short',
      'A0 no-ticket -',
      'B0 expired short',
    ]);
  });
});
