import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type BootstrapNodeOptions,
  type ConnectOptions,
  connect,
  createBootstrapNode,
  createIdentity,
  formatTicket,
  type ListenOptions,
  listen,
  parseExposeSpec,
  parseReverseRule,
  parseTicket,
  parseToxId,
  publicNodes,
  type TunnelErrorCode,
} from '../../src/index.js';
import { makeToxId } from '../../src/network/tox_id.js';
import {
  bootstrapNodeOptions,
  connectOptions,
  dialOptions,
  dynamicOptions,
  listenOptions,
  signalOf,
} from '../../src/tunnel/read_options.js';
import { failsWith } from '../support/fails_with.js';

const KEY = 'AB'.repeat(32);
const BYTES = Buffer.from(KEY, 'hex');
const TOX_ID = makeToxId(Uint8Array.from(BYTES), Uint8Array.of(1, 2, 3, 4));
const TICKET = formatTicket({ toxId: TOX_ID, secret: new Uint8Array(32).fill(7) });
const SECRET = 'correct horse';

type Call = (options: unknown) => Promise<{ close(): Promise<void> }>;
type Wrong = readonly [what: string, call: Call, options: unknown, code: TunnelErrorCode, says: RegExp];

// TypeScript does not check what JavaScript programs pass.
const listening: Call = (options) => listen(options as ListenOptions);
const connecting: Call = (options) => connect(options as ConnectOptions);
const running: Call = (options) => createBootstrapNode(options as BootstrapNodeOptions);
const remoteWith = (options: object): object => ({ remote: TICKET, ...options });
const A = 'ERR_ARGUMENT_INVALID';

const WRONG: readonly Wrong[] = [
  [
    'no options',
    connecting,
    undefined,
    A,
    /^an argument is wrong: connect\(\): remote must be a ticket or a Tox ID/,
  ],
  ['no remote', connecting, {}, A, /connect\(\): remote must be a ticket or a Tox ID/],
  ['null', listening, null, A, /listen\(\): its argument must be an object/],
  ['a mistyped name', listening, { exposed: ['22'] }, A, /unknown option exposed; did you mean "expose"\?/],
  [
    'an unknown name that resembles none',
    listening,
    { zzzzzzzzzz: 1 },
    A,
    /unknown option zzzzzzzzzz; valid options: identity, bootstrap/,
  ],
  ['an option of listen', connecting, remoteWith({ expose: [] }), A, /connect\(\): unknown option expose/],
  ['an option of connect', running, { udp: false }, A, /createBootstrapNode\(\): unknown option udp/],
  [
    'expose with an invalid rule',
    listening,
    { expose: ['x y'] },
    'ERR_SPEC_INVALID',
    /listen\(\): expose\[0\]: .*must be a number/,
  ],
  [
    'expose for an unknown name',
    listening,
    { expose: ['laptop:db.lan:22'] },
    'ERR_USAGE',
    /expose\[0\]: .*"laptop"/,
  ],
  ['expose as a number', listening, { expose: [22] }, A, /expose\[0\] must be an object/],
  ['expose without a list', listening, { expose: '22' }, A, /expose must be a list of rules/],
  [
    'a rule with a host as text',
    listening,
    { expose: [{ host: 'db', ports: [{ from: 1, to: 2 }] }] },
    A,
    /expose\[0\] must be a rule/,
  ],
  [
    'a rule without ports',
    listening,
    { expose: [{ host: { kind: 'any' } }] },
    A,
    /expose\[0\] must be a rule/,
  ],
  [
    'a rule with an empty list of ports',
    listening,
    { expose: [{ host: { kind: 'any' }, ports: [] }] },
    A,
    /expose\[0\] must be a rule/,
  ],
  [
    'a rule with a mistyped protocol',
    listening,
    { expose: [{ ...parseExposeSpec('22'), protocoll: 'udp' }] },
    A,
    /expose\[0\]: unknown option protocoll; did you mean "protocol"/,
  ],
  [
    'a rule of both kinds',
    listening,
    { expose: [{ ...parseExposeSpec('22'), path: '/run/x' }] },
    A,
    /must be a rule/,
  ],
  [
    'allowReverse with an invalid rule',
    listening,
    { allowReverse: ['x'] },
    'ERR_SPEC_INVALID',
    /allowReverse\[0\]/,
  ],
  [
    'allowReverse with half a rule',
    listening,
    { allowReverse: [{ bind: 'loopback' }] },
    A,
    /allowReverse\[0\].ports must be/,
  ],
  [
    'allowReverse with a text as bind',
    listening,
    { allowReverse: [{ bind: '0.0.0.0', ports: { from: 1, to: 1 } }] },
    A,
    /allowReverse\[0\] must be a rule/,
  ],
  [
    'allowPeers with an invalid key',
    listening,
    { allowPeers: ['AA'] },
    'ERR_ADDRESS_INVALID',
    /allowPeers\[0\]: .*64 hexadecimal/,
  ],
  [
    'allowPeers with a short key',
    listening,
    { allowPeers: [{ publicKey: new Uint8Array(5) }] },
    A,
    /allowPeers\[0\].publicKey must be a Uint8Array of 32 bytes/,
  ],
  [
    'allowPeers with an invalid name',
    listening,
    { allowPeers: [{ name: 'a b', publicKey: BYTES }] },
    'ERR_USAGE',
    /allowPeers\[0\].name: /,
  ],
  [
    'allowPeers with the name of a ticket',
    listening,
    { allowPeers: [`default=${KEY}`] },
    'ERR_USAGE',
    /already the name of a ticket/,
  ],
  ['denyPeers with an invalid key', listening, { denyPeers: ['x'] }, 'ERR_ADDRESS_INVALID', /denyPeers\[0\]/],
  [
    'an offer with an invalid name',
    listening,
    { offer: [{ host: 'a b', port: 1 }] },
    'ERR_ADDRESS_INVALID',
    /offer\[0\].host "a b" is not a name/,
  ],
  [
    'an offer with an address',
    listening,
    { offer: [{ host: '10.0.0.1', port: 1 }] },
    'ERR_ADDRESS_INVALID',
    /cannot be offered/,
  ],
  [
    'an offer with a mistyped name',
    listening,
    { offer: [{ host: 'a', port: 1, allowHalfOpn: true }] },
    A,
    /did you mean "allowHalfOpen"/,
  ],
  ['an incomplete access state', listening, { access: {} }, 'ERR_STATE_INVALID', /access: .*tickets/],
  [
    'a copied identity',
    listening,
    { identity: { ...createIdentity() } },
    A,
    /identity.secretKey must be a Uint8Array of 32 bytes/,
  ],
  [
    'a short key',
    running,
    { identity: { secretKey: new Uint8Array(3), nospam: new Uint8Array(4) } },
    A,
    /identity.secretKey must be/,
  ],
  [
    'bootstrap with an invalid node',
    running,
    { bootstrap: ['host:port:key'] },
    'ERR_BOOTSTRAP_INVALID',
    /createBootstrapNode\(\): bootstrap\[0\]: .*port/,
  ],
  [
    'bootstrap with a short key',
    listening,
    { bootstrap: [{ host: 'a', port: 1, key: new Uint8Array(5) }] },
    A,
    /bootstrap\[0\].key must be/,
  ],
  [
    'bootstrap with a port that is too high',
    listening,
    { bootstrap: [{ host: 'a', port: 70_000, key: BYTES }] },
    A,
    /bootstrap\[0\].port must be a whole number from 1 to 65535/,
  ],
  [
    'bootstrap with an invalid host',
    listening,
    { bootstrap: [{ host: 'a b', port: 1, key: BYTES }] },
    'ERR_ADDRESS_INVALID',
    /bootstrap\[0\].host: /,
  ],
  [
    'a port that is too high',
    running,
    { port: 70_000 },
    A,
    /createBootstrapNode\(\): port must be a whole number from 0 to 65535/,
  ],
  ['a port as text', running, { tcpPort: '80' }, A, /createBootstrapNode\(\): tcpPort must be/],
  ['ports in reverse order', listening, { udpPorts: { from: 2, to: 1 } }, A, /udpPorts must be a range/],
  [
    'a patience that is not a number',
    listening,
    { patienceMs: Number.NaN },
    A,
    /patienceMs must be a number of milliseconds/,
  ],
  ['a negative patience', listening, { patienceMs: -1 }, A, /patienceMs must be/],
  [
    'a mistyped limit',
    listening,
    { limits: { maxPeer: 3 } },
    A,
    /limits: unknown option maxPeer; did you mean "maxPeers"/,
  ],
  [
    'a limit out of its range',
    listening,
    { limits: { maxPeers: 0 } },
    A,
    /limits.maxPeers must be a whole number from 1 to/,
  ],
  ['a value that is not boolean', listening, { udp: 'no' }, A, /udp must be true or false/],
  [
    'an address that is not numeric',
    listening,
    { bindAddress: 'localhost' },
    A,
    /bindAddress must be a numeric address/,
  ],
  [
    'an invalid logger',
    listening,
    { logger: { debug: () => {} } },
    A,
    /logger must be an object with a function log/,
  ],
  ['an invalid signal', listening, { signal: {} }, A, /signal must be an AbortSignal/],
  ['an invalid URL', listening, { files: { worker: './worker.js' } }, A, /files.worker must be a URL/],
  [
    'a proxy with an unknown protocol',
    connecting,
    remoteWith({ proxy: { protocol: 'foo', host: 'a', port: 1 } }),
    A,
    /proxy.protocol must be "socks5" or "http"/,
  ],
  [
    'an invalid proxy URL',
    connecting,
    remoteWith({ proxy: `ftp://me:${SECRET}@a:1` }),
    'ERR_ADDRESS_INVALID',
    /connect\(\): proxy: the proxy is not a usable proxy/,
  ],
  [
    'a user with a colon',
    connecting,
    remoteWith({
      proxy: { protocol: 'http', host: 'a', port: 1, credentials: { user: 'a:b', password: SECRET } },
    }),
    A,
    /proxy.credentials: .*must not contain a colon/,
  ],
  [
    'a mistyped ticket',
    connecting,
    { remote: TICKET.slice(1) },
    'ERR_TICKET_INVALID',
    /connect\(\): remote: /,
  ],
  [
    'half a ticket',
    connecting,
    { remote: { toxId: TOX_ID } },
    A,
    /remote.secret must be a Uint8Array of 32 bytes/,
  ],
];

describe('the arguments of listen, connect and node', () => {
  let workers = 0;
  const count = (): void => {
    workers++;
  };
  before(() => process.on('worker', count));
  after(() => process.off('worker', count));

  for (const [what, call, options, code, says] of WRONG) {
    test(`${what}: refused by name before a worker starts`, async () => {
      workers = 0;
      await assert.rejects(
        // A wrongly accepted call must not outlive the test.
        async () => (await call(options)).close(),
        (error: Error) => {
          failsWith(code, says)(error);
          for (const secret of [TICKET.slice(10), SECRET]) assert.ok(!error.message.includes(secret));
          return true;
        },
      );
      assert.equal(workers, 0);
    });
  }

  test('texts are read as on the command line', () => {
    const laptop = { name: 'laptop', publicKey: Uint8Array.from(BYTES) };
    const read = listenOptions(
      {
        expose: ['22', 'laptop:22', parseExposeSpec('db.lan:5432')],
        allowReverse: ['8080', 'laptop:0', parseReverseRule('0.0.0.0:80')],
        allowPeers: [`laptop=${KEY}`],
        denyPeers: [KEY, BYTES],
        bootstrap: [`127.0.0.1:33445:${KEY}`],
        proxy: `socks5://me:pass%20word@[::1]`,
      },
      'listen()',
    );
    const isName = (name: string): boolean => name === 'laptop';
    assert.ok(read.expose !== 'loopback');
    assert.deepEqual(
      read.expose?.map((rule) => rule(isName)),
      [parseExposeSpec('22'), { name: 'laptop', ...parseExposeSpec('22') }, parseExposeSpec('db.lan:5432')],
    );
    assert.deepEqual(
      read.allowReverse?.map((rule) => rule(isName)),
      [parseReverseRule('8080'), parseReverseRule('laptop:0', isName), parseReverseRule('0.0.0.0:80')],
    );
    assert.deepEqual(read.allowPeers, [laptop]);
    assert.deepEqual(read.denyPeers, [laptop.publicKey, laptop.publicKey]);
    assert.deepEqual(read.bootstrap, [{ host: '127.0.0.1', port: 33_445, key: laptop.publicKey }]);
    const credentials = { user: 'me', password: 'pass word' };
    assert.deepEqual(read.proxy, { protocol: 'socks5', host: '::1', port: 1080, credentials });
  });

  test("only the word 'loopback' opens the whole loopback", () => {
    assert.equal(listenOptions({ expose: 'loopback' }, 'listen()').expose, 'loopback');
    for (const expose of ['loopbak', '22', '', null])
      assert.throws(() => listenOptions({ expose }, 'listen()'), failsWith('ERR_ARGUMENT_INVALID', /expose/));
  });

  test('rules of every kind survive', () => {
    const texts = [
      ...['22', 'localhost:80,443', 'db.lan:5432', '10.0.0.7:8000-8099', '10.0.0.0/24:80', '[2001:db8::1]:*'],
      ...['[2001:db8::/32]:22', '*:443', '53/udp', 'db.lan:22/tcp', '/run/app.sock'],
    ];
    const rules = texts.map((text) => ({ name: 'laptop', ...parseExposeSpec(text) }));
    const reverse = ['8080', '8000-8099', '0', '*', '0.0.0.0:80', '[::1]:0', '*:8080'].map((text) =>
      parseReverseRule(text),
    );
    const read = listenOptions({ expose: rules, allowReverse: reverse }, 'listen()');
    assert.ok(read.expose !== 'loopback');
    assert.deepEqual(
      read.expose?.map((rule) => rule(() => false)),
      rules,
    );
    assert.deepEqual(
      read.allowReverse?.map((rule) => rule(() => false)),
      reverse,
    );
  });

  test('values made by the library itself are accepted', () => {
    const identity = createIdentity();
    for (const remote of [
      TICKET,
      parseTicket(TICKET),
      TOX_ID,
      parseToxId(Buffer.from(TOX_ID.bytes).toString('hex')),
    ])
      connectOptions(
        { remote, identity, bootstrap: publicNodes(), patienceMs: Number.POSITIVE_INFINITY },
        'connect()',
      );
    const read = bootstrapNodeOptions({ identity, port: undefined }, 'createBootstrapNode()');
    assert.deepEqual(read, { identity });
    assert.deepEqual(read.identity.secretKey, identity.secretKey);
  });

  test('bytes are copied, so that the program may reuse its own', () => {
    const key = Uint8Array.from(BYTES);
    const read = listenOptions({ denyPeers: [key] }, 'listen()');
    key.fill(0);
    assert.deepEqual(read.denyPeers, [Uint8Array.from(BYTES)]);
  });
});

describe('the arguments of a connector', () => {
  test('dial goes to localhost when no host is given', () => {
    assert.deepEqual(dialOptions({ port: 22 }), { target: { host: 'localhost', port: 22 } });
    const rest = { allowHalfOpen: true, sessionWaitMs: Number.POSITIVE_INFINITY };
    assert.deepEqual(dialOptions({ path: '/run/x', ...rest }), { target: { path: '/run/x' }, ...rest });
  });

  const ADDRESS = 'ERR_ADDRESS_INVALID';
  for (const [options, code, says] of [
    [undefined, A, /dial\(\): its argument must be an object/],
    [{}, ADDRESS, /dial\(\): port must be a whole number from 1 to 65535/],
    [{ host: 'a', port: 1, hostname: 'b' }, A, /unknown option hostname/],
    [{ hsot: 'a', port: 1 }, A, /unknown option hsot; did you mean "host"/],
    [{ host: null, port: 80 }, ADDRESS, /host must be a string/],
    [{ host: '', port: 80 }, ADDRESS, /host "" is empty/],
    [{ host: 'a\0b', port: 80 }, ADDRESS, /host "a\\u0000b" is not a name/],
    [{ host: 'x'.repeat(300), port: 80 }, ADDRESS, /is longer than 253/],
    [{ host: 'müller.example', port: 80 }, ADDRESS, /must be ASCII/],
    ...[0, 65_536, -1, 1.5, Number.NaN, '22', null].map(
      (port) => [{ host: 'a', port }, ADDRESS, /port must be/] as const,
    ),
    [{ path: 'rel' }, ADDRESS, /path "rel" must be absolute/],
    [{ path: '' }, ADDRESS, /path "" must be absolute/],
    [{ path: '/x'.repeat(2000) }, ADDRESS, /is longer than/],
    [{ path: '/x', port: 1 }, ADDRESS, /give a path, or a host and a port/],
    [{ port: 1, sessionWaitMs: Number.NaN }, A, /sessionWaitMs must be/],
    [{ port: 1, signal: new EventTarget() }, A, /signal must be an AbortSignal/],
  ] as const) {
    test(`dial refuses ${String(JSON.stringify(options)).slice(0, 40)}`, () => {
      assert.throws(() => dialOptions(options), failsWith(code, says));
    });
  }

  test('a proxy has an address and, optionally, complete credentials', () => {
    assert.deepEqual(dynamicOptions({ bind: '1080' }, 'dynamic()').bind, {
      host: '127.0.0.1',
      port: 1080,
      isDefault: true,
    });
    for (const [options, code, says] of [
      [{}, A, /dynamic\(\): bind must be text, or an object/],
      [{ bind: { port: 0 } }, ADDRESS, /bind.host must be a string/],
      [{ bind: '1080', credentials: { user: 'a' } }, A, /credentials.password must be a string/],
      [{ bind: '1080', credentials: { user: '', password: SECRET } }, A, /credentials: .*1 to 255 bytes/],
    ] as const)
      assert.throws(() => dynamicOptions(options, 'dynamic()'), failsWith(code, says));
  });

  test('a signal is the only option of calls without others', () => {
    const { signal } = new AbortController();
    assert.equal(signalOf({ signal }, 'ping()'), signal);
    assert.equal(signalOf({}, 'ping()'), undefined);
    assert.throws(() => signalOf({ singal: signal }, 'ping()'), failsWith(A, /did you mean "signal"/));
  });
});
