import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { Dialer, type DialResult, type UdpDialResult } from '../../src/forward/exit/dial.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { anyText } from '../support/any_text.js';
import { VirtualTimers } from '../support/virtual_timers.js';

// The rules are tested where they matter: by what is dialled in the end.

/** The names that the resolver of these tests knows. */
const ZONE: Readonly<Record<string, readonly string[]>> = {
  'inside.example': ['10.0.0.7'],
  'loop.example': ['127.0.0.1'],
  'loop6.example': ['::1'],
  'mapped.example': ['::ffff:127.0.0.1'],
  'mixed.example': ['127.0.0.1', '10.0.0.7', '::1', '192.168.1.1'],
  'zero.example': ['0.0.0.0', '::'],
  'metadata.example': ['169.254.169.254'],
  'scoped.example': ['fe80::1%2'],
  'outside.example': ['93.184.216.34', '2606:2800:220:1::1'],
  'db.lan': ['10.0.0.9'],
};

/** Addresses of this machine in its networks. */
const OWN = ['10.0.0.5'];

interface Outcome {
  readonly afterMs: number;
  readonly dialled: readonly string[];
  readonly asked: readonly string[];
  readonly result: DialResult | UdpDialResult;
}

/** Dials `host:port` under `rules`, with a kernel that refuses every connection. */
async function attempt(
  rules: readonly string[],
  host: string,
  port = 80,
  protocol: 'tcp' | 'udp' = 'tcp',
): Promise<Outcome> {
  const dialled: string[] = [];
  const asked: string[] = [];
  const timers = new VirtualTimers();
  const dialer = new Dialer({
    rules: rules.length === 0 ? new AllowRules([LOOPBACK_ONLY]) : new AllowRules(rules.map(parseExposeSpec)),
    timers,
    isOwn: ({ text }) => OWN.includes(text),
    resolve: async (name) => {
      asked.push(name);
      if (name === 'broken.example') throw Object.assign(new Error(name), { code: 'EWHATEVER' });
      const found = ZONE[name];
      if (found === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
      return found;
    },
    connect: (address) => {
      dialled.push(address.text);
      const socket = new Socket();
      socket.destroy(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
      return socket;
    },
    connectUdp: async (address) => {
      dialled.push(address.text);
      throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    },
  });
  const dial = protocol === 'tcp' ? dialer.dial({ host, port }) : dialer.dialUdp({ host, port });
  const over = new AbortController();
  void dial.then(() => over.abort());
  await turn();
  while (!over.signal.aborted) {
    timers.advance(100);
    await turn();
  }
  assert.equal(dialer.dialing, 0);
  assert.equal(timers.running, 0);
  return { dialled, asked, result: await dial, afterMs: timers.nowMs() };
}

/** Attacks and honest requests of a peer when nothing is exposed. */
const withoutRules: ReadonlyArray<{ host: string; dials: readonly string[]; reason?: string }> = [
  { host: '127.0.0.1', dials: ['127.0.0.1'] },
  { host: '127.255.255.254', dials: ['127.255.255.254'] },
  { host: '::1', dials: ['::1'] },
  { host: '0:0:0:0:0:0:0:1', dials: ['::1'] },
  { host: 'localhost', dials: ['127.0.0.1', '::1'] },
  { host: 'LocalHost', dials: ['127.0.0.1', '::1'] },
  { host: 'localhost.', dials: ['127.0.0.1', '::1'] },
  // The same address in another form: recognized, and dialled as the address that it is.
  { host: '::ffff:127.0.0.1', dials: ['127.0.0.1'] },
  { host: '::FFFF:7F00:1', dials: ['127.0.0.1'] },
  { host: '::ffff:10.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '::ffff:a00:1', dials: [], reason: 'not-allowed' },
  { host: '::127.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '64:ff9b::127.0.0.1', dials: [], reason: 'not-allowed' },
  // Forms that the C library accepts and that checks overlook.
  { host: '127.1', dials: [], reason: 'not-allowed' },
  { host: '127', dials: [], reason: 'not-allowed' },
  { host: '0', dials: [], reason: 'not-allowed' },
  { host: '2130706433', dials: [], reason: 'not-allowed' },
  { host: '0x7f000001', dials: [], reason: 'not-allowed' },
  { host: '0x7f.1', dials: [], reason: 'not-allowed' },
  { host: '0X7F.0.0.0x1', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.0x1', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.0x', dials: [], reason: 'not-allowed' },
  { host: '0177.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.01', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.1.', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.1..', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.256', dials: [], reason: 'not-allowed' },
  { host: '１２７.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '127。0。0。1', dials: [], reason: 'not-allowed' },
  { host: '[::1]', dials: [], reason: 'not-allowed' },
  { host: '::1%lo', dials: [], reason: 'not-allowed' },
  { host: '::1%', dials: [], reason: 'not-allowed' },
  { host: 'localhost%', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.1%lo', dials: [], reason: 'not-allowed' },
  { host: '127.0.0.1/8', dials: [], reason: 'not-allowed' },
  { host: 'localhost\u0000.example', dials: [], reason: 'not-allowed' },
  { host: 'user@localhost', dials: [], reason: 'not-allowed' },
  { host: '', dials: [], reason: 'not-allowed' },
  { host: '.', dials: [], reason: 'not-allowed' },
  { host: '*', dials: [], reason: 'not-allowed' },
  // Addresses that the kernel maps to the machine itself.
  { host: '0.0.0.0', dials: [], reason: 'not-allowed' },
  { host: '::', dials: [], reason: 'not-allowed' },
  { host: '::ffff:0.0.0.0', dials: [], reason: 'not-allowed' },
  { host: '128.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '126.255.255.255', dials: [], reason: 'not-allowed' },
  { host: '10.0.0.1', dials: [], reason: 'not-allowed' },
  { host: '169.254.169.254', dials: [], reason: 'not-allowed' },
  { host: 'fe80::1', dials: [], reason: 'not-allowed' },
  { host: 'App.localhost', dials: ['127.0.0.1', '::1'] },
  { host: 'localhost.example', dials: [], reason: 'not-allowed' },
  // Other names are not even looked up.
  { host: 'loop.example', dials: [], reason: 'not-allowed' },
  { host: 'LOOP6.example.', dials: [], reason: 'not-allowed' },
  { host: 'mapped.example', dials: [], reason: 'not-allowed' },
  { host: 'mixed.example', dials: [], reason: 'not-allowed' },
  { host: 'inside.example', dials: [], reason: 'not-allowed' },
  { host: 'zero.example', dials: [], reason: 'not-allowed' },
  { host: 'outside.example', dials: [], reason: 'not-allowed' },
  { host: 'scoped.example', dials: [], reason: 'not-allowed' },
  { host: 'nowhere.example', dials: [], reason: 'not-allowed' },
];

for (const { host, dials, reason = 'refused' } of withoutRules) {
  const what = dials.length === 0 ? `is ${reason}` : `dials ${dials.join(' and ')}`;
  test(`without rules ${JSON.stringify(host)} ${what}`, async () => {
    const { dialled, result } = await attempt([], host);
    assert.deepEqual(dialled, dials);
    assert.equal(result.kind === 'failed' && result.reason, reason);
    assert.match(result.kind === 'failed' ? result.text : '', /^[\x20-\x7e]+$/);
    const byUdp = await attempt([], host, 80, 'udp');
    assert.deepEqual(byUdp.dialled, dials);
    assert.equal(byUdp.result.kind === 'failed' && byUdp.result.reason, reason);
  });
}

for (const [rule, tcp, udp] of [
  ['80', true, true],
  ['80/tcp', true, false],
  ['80/udp', false, true],
  ['*:*/udp', false, false],
  ['localhost:*/udp', false, true],
  ['81/udp', false, false],
] as const) {
  test(`${rule} opens port 80 ${tcp ? 'to' : 'not to'} TCP, ${udp ? 'to' : 'not to'} UDP`, async () => {
    for (const [protocol, opens] of [
      ['tcp', tcp],
      ['udp', udp],
    ] as const) {
      const { dialled } = await attempt([rule], '127.0.0.1', 80, protocol);
      assert.deepEqual(dialled, opens ? ['127.0.0.1'] : []);
    }
  });
}

const withRules: ReadonlyArray<{
  rules: readonly string[];
  host: string;
  port: number;
  dials: readonly string[];
}> = [
  { rules: ['22'], host: 'localhost', port: 22, dials: ['127.0.0.1', '::1'] },
  { rules: ['22'], host: '127.0.0.9', port: 22, dials: ['127.0.0.9'] },
  { rules: ['22'], host: 'loop.example', port: 22, dials: [] },
  { rules: ['22'], host: 'app.localhost', port: 22, dials: ['127.0.0.1', '::1'] },
  { rules: ['app.localhost:22'], host: 'app.localhost', port: 22, dials: ['127.0.0.1', '::1'] },
  { rules: ['app.localhost:22'], host: 'localhost', port: 22, dials: [] },
  { rules: ['loop.example:22'], host: 'loop.example', port: 22, dials: [] },
  { rules: ['loop.example:22', '22'], host: 'loop.example', port: 22, dials: ['127.0.0.1'] },
  { rules: ['mixed.example:22'], host: 'mixed.example', port: 22, dials: ['10.0.0.7', '192.168.1.1'] },
  {
    rules: ['10.0.0.0/8:22', '22'],
    host: 'mixed.example',
    port: 22,
    dials: ['127.0.0.1', '10.0.0.7', '::1'],
  },
  { rules: ['22'], host: 'localhost', port: 23, dials: [] },
  { rules: ['127.0.0.1:22'], host: 'localhost', port: 22, dials: ['127.0.0.1'] },
  { rules: ['10.0.0.7:80'], host: 'localhost', port: 80, dials: [] },
  { rules: ['10.0.0.7:80'], host: 'inside.example', port: 80, dials: ['10.0.0.7'] },
  { rules: ['10.0.0.7:80'], host: 'mixed.example', port: 80, dials: ['10.0.0.7'] },
  { rules: ['10.0.0.7:80'], host: '10.0.0.8', port: 80, dials: [] },
  { rules: ['10.0.0.7:80'], host: '::ffff:10.0.0.7', port: 80, dials: ['10.0.0.7'] },
  { rules: ['10.0.0.0/24:80,90-99'], host: '10.0.0.255', port: 90, dials: ['10.0.0.255'] },
  { rules: ['10.0.0.0/24:80,90-99'], host: '10.0.0.255', port: 99, dials: ['10.0.0.255'] },
  { rules: ['10.0.0.0/24:80,90-99'], host: '10.0.0.255', port: 89, dials: [] },
  { rules: ['10.0.0.0/24:80,90-99'], host: '10.0.0.255', port: 100, dials: [] },
  { rules: ['10.0.0.0/24:80'], host: '10.0.1.0', port: 80, dials: [] },
  { rules: ['10.0.0.0/23:80'], host: '10.0.1.0', port: 80, dials: ['10.0.1.0'] },
  { rules: ['[2001:db8::/33]:80'], host: '2001:db8:7fff::', port: 80, dials: ['2001:db8:7fff::'] },
  { rules: ['[2001:db8::/33]:80'], host: '2001:db8:8000::', port: 80, dials: [] },
  { rules: ['[::/0]:80'], host: '10.0.0.1', port: 80, dials: [] },
  { rules: ['[::/0]:80'], host: '::ffff:10.0.0.1', port: 80, dials: [] },
  { rules: ['0.0.0.0/0:80'], host: '::1', port: 80, dials: [] },
  { rules: ['DB.lan:5432'], host: 'db.LAN', port: 5432, dials: ['10.0.0.9'] },
  { rules: ['db.lan:5432'], host: 'db.lan.', port: 5432, dials: ['10.0.0.9'] },
  { rules: ['db.lan:5432'], host: '10.0.0.9', port: 5432, dials: [] },
  { rules: ['db.lan:5432'], host: 'inside.example', port: 5432, dials: [] },
  { rules: ['db.lan:5432', '22'], host: 'localhost', port: 5432, dials: [] },
  { rules: ['db.lan:80', '10.0.0.7:80'], host: 'loop.example', port: 80, dials: [] },
  { rules: ['zero.example:80'], host: 'zero.example', port: 80, dials: [] },
  { rules: ['metadata.example:80'], host: 'metadata.example', port: 80, dials: [] },
  { rules: ['*:80'], host: 'outside.example', port: 80, dials: ['93.184.216.34', '2606:2800:220:1::1'] },
  { rules: ['*:80'], host: '127.0.0.1', port: 80, dials: [] },
  { rules: ['*:80'], host: 'localhost', port: 80, dials: [] },
  { rules: ['*:80'], host: 'loop.example', port: 80, dials: [] },
  { rules: ['*:80', '80'], host: 'localhost', port: 80, dials: ['127.0.0.1', '::1'] },
  { rules: ['*:80', '80'], host: 'loop.example', port: 80, dials: ['127.0.0.1'] },
  { rules: ['*:80'], host: '10.0.0.7', port: 80, dials: ['10.0.0.7'] },
  { rules: ['*:80'], host: '64:ff9b::808:808', port: 80, dials: ['64:ff9b::808:808'] },
  { rules: ['0.0.0.0/0:80'], host: '127.0.0.1', port: 80, dials: [] },
  { rules: ['126.0.0.0/7:80'], host: '127.0.0.1', port: 80, dials: [] },
  { rules: ['127.0.0.0/8:80'], host: '127.0.0.1', port: 80, dials: ['127.0.0.1'] },
  { rules: ['127.0.0.0/8:80'], host: 'localhost', port: 80, dials: ['127.0.0.1'] },
  { rules: ['100.64.0.0/10:80'], host: '100.100.100.200', port: 80, dials: [] },
  { rules: ['100.64.0.0/10:80'], host: '100.100.100.201', port: 80, dials: ['100.100.100.201'] },
  { rules: ['100.100.100.200/32:80'], host: '100.100.100.200', port: 80, dials: ['100.100.100.200'] },
  { rules: ['[fd00::/8]:80'], host: 'fd00:ec2::254', port: 80, dials: [] },
  { rules: ['[fd00:ec2::254]:80'], host: 'fd00:ec2::254', port: 80, dials: ['fd00:ec2::254'] },
  { rules: ['[64:ff9b::/96]:80'], host: '64:ff9b::a9fe:a9fe', port: 80, dials: [] },
  { rules: ['[64:ff9b::a9fe:a9fe]:80'], host: '64:ff9b::a9fe:a9fe', port: 80, dials: ['64:ff9b::a9fe:a9fe'] },
  { rules: ['*:80'], host: 'outside.example', port: 81, dials: [] },
  { rules: ['*:*'], host: '0.0.0.0', port: 80, dials: [] },
  { rules: ['*:*'], host: '0.1.2.3', port: 80, dials: [] },
  { rules: ['*:*'], host: '::', port: 80, dials: [] },
  { rules: ['*:*'], host: '255.255.255.255', port: 80, dials: [] },
  { rules: ['*:*'], host: '239.1.2.3', port: 80, dials: [] },
  { rules: ['*:*'], host: 'ff02::1', port: 80, dials: [] },
  { rules: ['*:*'], host: '127.1', port: 80, dials: [] },
  { rules: ['*:*'], host: '169.254.169.254', port: 80, dials: [] },
  { rules: ['*:*'], host: 'fe80::1', port: 80, dials: [] },
  { rules: ['*:*'], host: 'febf::1', port: 80, dials: [] },
  { rules: ['*:*'], host: 'fec0::1', port: 80, dials: ['fec0::1'] },
  { rules: ['*:*'], host: 'metadata.example', port: 80, dials: [] },
  { rules: ['0.0.0.0/0:80'], host: '169.254.169.254', port: 80, dials: [] },
  { rules: ['0.0.0.0/0:80'], host: '0.0.0.0', port: 80, dials: [] },
  { rules: ['0.0.0.0:80'], host: '0.0.0.0', port: 80, dials: [] },
  { rules: ['169.254.169.254:80'], host: '169.254.169.254', port: 80, dials: ['169.254.169.254'] },
  { rules: ['169.254.0.0/16:80'], host: '169.254.1.2', port: 80, dials: ['169.254.1.2'] },
  { rules: ['169.254.0.0/16:80'], host: 'metadata.example', port: 80, dials: [] },
  { rules: ['169.254.169.254:80'], host: 'metadata.example', port: 80, dials: ['169.254.169.254'] },
];

for (const { rules, host, port, dials } of withRules) {
  const what = dials.length === 0 ? 'is not allowed' : `dials ${dials.join(' and ')}`;
  test(`with --expose ${rules.join(' ')} ${host} port ${port} ${what}`, async () => {
    const { dialled, result } = await attempt(rules, host, port);
    assert.deepEqual(dialled, dials);
    assert.equal(result.kind === 'failed' && result.reason, dials.length === 0 ? 'not-allowed' : 'refused');
  });
}

test('a name is resolved once, and not at all when no answer could be allowed', async () => {
  for (const host of ['mixed.example', 'loop.example', 'nowhere.example', 'localhost', '127.1'])
    for (const rules of [[], ['80'], ['127.0.0.1:80'], ['127.0.0.0/8:80'], ['[::1]:80'], ['localhost:80']])
      assert.deepEqual((await attempt(rules, host)).asked, []);
  assert.deepEqual((await attempt(['*:80'], 'Outside.Example.')).asked, ['outside.example']);
  assert.deepEqual((await attempt(['10.0.0.0/8:80'], 'mixed.example')).asked, ['mixed.example']);
  assert.deepEqual((await attempt(['db.lan:5432'], 'inside.example', 5432)).asked, []);
  assert.deepEqual((await attempt(['10.0.0.0/8:81'], 'inside.example', 80)).asked, []);
  assert.deepEqual((await attempt(['*:*'], 'localhost')).asked, []);
});

test('a rule for a network gives one answer for names that lead elsewhere, nowhere, or do not exist', async () => {
  const answers = new Set<string>();
  for (const host of [
    'inside.example',
    'scoped.example',
    'metadata.example',
    'broken.example',
    'no.example',
  ]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const { result, asked, afterMs } = await attempt(['172.16.0.0/12:80'], host, 80, protocol);
      assert.deepEqual(asked, [host]);
      assert.ok(result.kind === 'failed');
      answers.add(`${result.reason} after ${afterMs} ms: ${result.text.replaceAll(host, 'HOST')}`);
    }
  }
  assert.deepEqual(
    [...answers],
    [
      "not-allowed after 1000 ms: HOST port 80 is not exposed; the listener's owner can allow it with --expose HOST:80",
    ],
  );
});

test('a rule for the name or for every host says that a name does not exist, or leads to special addresses only', async () => {
  for (const rule of ['no.example:80', '*:80']) {
    const { result, afterMs } = await attempt([rule], 'no.example');
    assert.ok(result.kind === 'failed' && result.reason === 'name-not-found');
    assert.equal(afterMs, 0);
  }
  for (const host of ['loop.example', 'metadata.example', 'zero.example']) {
    for (const rule of [`${host}:80`, '*:80']) {
      const { result } = await attempt([rule], host);
      assert.ok(result.kind === 'failed' && result.reason === 'not-allowed');
      assert.match(result.text, /leads only to special addresses .* --expose ADDRESS:80$/);
    }
  }
});

test('a denial names the requested target, and gives the remedy to the owner', async () => {
  const { result } = await attempt([], '2001:db8::1', 22);
  assert.ok(result.kind === 'failed');
  assert.match(result.text, /^2001:db8::1 port 22 is not exposed; .*--expose \[2001:db8::1\]:22$/);
});

test('without rules no host text leads off the loopback', async () => {
  const hosts = fc.oneof(
    fc.ipV4Extended(),
    fc.ipV6(),
    fc.ipV4().map((text) => `::ffff:${text}`),
    fc.string({ unit: fc.constantFrom(...'0127fxX.:%[]'), size: 'max', maxLength: 24 }),
    anyText({ maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(hosts, async (host) => {
      for (const address of (await attempt([], host)).dialled)
        assert.match(address, /^(127\.\d+\.\d+\.\d+|::1)$/);
    }),
    { numRuns: 500 },
  );
});

test('a rule for every host opens no address of this machine; a rule for the address or its network does', async () => {
  for (const [rule, isOpen] of [
    ['*:80', false],
    ['0.0.0.0/0:80', false],
    ['10.0.0.5:80', true],
    ['10.0.0.0/24:80', true],
  ] as const) {
    const { dialled } = await attempt([rule], '10.0.0.5');
    assert.deepEqual(dialled, isOpen ? ['10.0.0.5'] : [], rule);
  }
  assert.deepEqual((await attempt(['*:80'], '10.0.0.7')).dialled, ['10.0.0.7']);
});
