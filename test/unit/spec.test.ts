import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { TunnelError } from '../../src/core/errors.js';
import { type Host, readHost } from '../../src/core/host.js';
import { parseAddress } from '../../src/core/ip.js';
import { type HostPort, printHostPort } from '../../src/rules/endpoint.js';
import {
  type ExposedHost,
  type ExposeSpec,
  parseExposeSpec,
  printExposeSpec,
  readRule,
} from '../../src/rules/expose.js';
import {
  type LocalSpec,
  parseLocalSpec,
  parseTarget,
  printForwardSpec,
} from '../../src/rules/forward_spec.js';
import { anyText } from '../support/any_text.js';
import { CliBench } from '../support/cli_bench.js';
import { failsWith } from '../support/fails_with.js';

/** The table in the documentation of parseLocalSpec. */
const locals: ReadonlyArray<{ text: string; bind: [string, number]; target: [string, number] }> = [
  { text: '8080:localhost:80', bind: ['127.0.0.1', 8080], target: ['localhost', 80] },
  { text: '0:localhost:22', bind: ['127.0.0.1', 0], target: ['localhost', 22] },
  { text: '8080:Intra.Example:80', bind: ['127.0.0.1', 8080], target: ['intra.example', 80] },
  { text: '0.0.0.0:8080:10.0.0.7:80', bind: ['0.0.0.0', 8080], target: ['10.0.0.7', 80] },
  { text: '[::1]:8080:[2001:DB8::0:1]:80', bind: ['::1', 8080], target: ['2001:db8::1', 80] },
  { text: 'lan.example:8080:db:5432', bind: ['lan.example', 8080], target: ['db', 5432] },
  { text: '127.0.0.1:1:h:65535', bind: ['127.0.0.1', 1], target: ['h', 65535] },
  { text: '65535:h_1-x.example.:1', bind: ['127.0.0.1', 65535], target: ['h_1-x.example', 1] },
];

for (const { text, bind, target } of locals) {
  test(`-L ${text} listens on ${bind.join(' ')} and dials ${target.join(' ')}`, () => {
    const spec = parseLocalSpec(text);
    assert.deepEqual(spec, {
      bind: { host: bind[0], port: bind[1], ...(/^\d+:\D/.test(text) && { isDefault: true }) },
      target: { host: target[0], port: target[1] },
    });
    assert.deepEqual(parseLocalSpec(printForwardSpec(spec)), spec);
  });
}

const targets: ReadonlyArray<{ text: string; host: string; port: number; printed: string }> = [
  { text: '22', host: 'localhost', port: 22, printed: 'localhost:22' },
  { text: 'Example.ORG:443', host: 'example.org', port: 443, printed: 'example.org:443' },
  { text: '10.0.0.1:1', host: '10.0.0.1', port: 1, printed: '10.0.0.1:1' },
  { text: '[::FFFF:10.0.0.1]:65535', host: '10.0.0.1', port: 65535, printed: '10.0.0.1:65535' },
  { text: '[2001:db8:0:0::5]:22', host: '2001:db8::5', port: 22, printed: '[2001:db8::5]:22' },
];

for (const { text, host, port, printed } of targets) {
  test(`the target ${text} is ${printed}`, () => {
    assert.deepEqual(parseTarget(text), { host, port });
    assert.equal(printHostPort(parseTarget(text)), printed);
  });
}

const faulty: ReadonlyArray<{ parse: (text: string) => unknown; text: string; says: RegExp }> = [
  { parse: parseLocalSpec, text: '', says: /"": a forward has three or four parts/ },
  { parse: parseLocalSpec, text: '8080:80', says: /"8080:80": a forward has three or four parts/ },
  { parse: parseLocalSpec, text: 'a:1:b:2:c', says: /too many parts.*brackets/ },
  { parse: parseLocalSpec, text: '::1:8080:h:80', says: /too many parts.*brackets/ },
  {
    parse: parseLocalSpec,
    text: '70000:h:80',
    says: /"70000:h:80" at "70000": the port to listen on must be a number from 0/,
  },
  {
    parse: parseLocalSpec,
    text: '8080:h:0',
    says: /"8080:h:0" at "0": the target port must be a number from 1 to 65535/,
  },
  { parse: parseLocalSpec, text: '8080:h:65536', says: /"65536"/ },
  { parse: parseLocalSpec, text: '8080:h:080', says: /"080"/ },
  { parse: parseLocalSpec, text: '8080:h:+80', says: /"\+80"/ },
  { parse: parseLocalSpec, text: '8080:h:8e1', says: /"8e1"/ },
  { parse: parseLocalSpec, text: '8080:h:', says: /"8080:h:": the target port/ },
  { parse: parseLocalSpec, text: '8080::80', says: /"8080::80": the target host is empty/ },
  {
    parse: parseLocalSpec,
    text: '*:8080:h:80',
    says: /"\*:8080:h:80" at "\*".*must be written out: 0\.0\.0\.0/,
  },
  { parse: parseLocalSpec, text: ':8080:h:80', says: /":8080:h:80": the bind.*must be written out/ },
  { parse: parseLocalSpec, text: '8080:[::1:80', says: /brackets|three or four parts/ },
  { parse: parseLocalSpec, text: '8080:[]:80', says: /"8080:\[\]:80": the target host is empty/ },
  {
    parse: parseLocalSpec,
    text: '8080:[h]:80',
    says: /"8080:\[h\]:80" at "\[h\]": the target host needs no brackets/,
  },
  { parse: parseLocalSpec, text: '8080:x[::1]:80', says: /must begin and end with its brackets/ },
  { parse: parseLocalSpec, text: '8080:[fe80::1%eth0]:80', says: /"fe80::1%eth0".*has a zone/ },
  { parse: parseLocalSpec, text: '8080:[::g]:80', says: /is not an IPv6 address/ },
  {
    parse: parseLocalSpec,
    text: '8080:127.1:80',
    says: /"8080:127\.1:80" at "127\.1": the target host must be a dotted quad/,
  },
  { parse: parseLocalSpec, text: '8080:a..b:80', says: /is not a name/ },
  { parse: parseLocalSpec, text: '8080:-a:80', says: /is not a name/ },
  { parse: parseLocalSpec, text: '8080:a b:80', says: /is not a name/ },
  { parse: parseLocalSpec, text: '8080:bücher.example:80', says: /"b\?cher\.example".*ASCII/ },
  { parse: parseLocalSpec, text: `8080:${'a'.repeat(64)}:80`, says: /at most 63 characters between dots/ },
  { parse: parseLocalSpec, text: `8080:${'abcdefg.'.repeat(32)}ab:80`, says: /longer than 253/ },
  { parse: parseLocalSpec, text: '\u001b[31m:1:h:80', says: /\\u001b/ },
  { parse: parseTarget, text: '', says: /the port must be a number from 1 to 65535; write host:port/ },
  { parse: parseTarget, text: 'h', says: /"h": the port/ },
  { parse: parseTarget, text: 'a:1:2', says: /too many parts/ },
  { parse: parseTarget, text: ':22', says: /host is empty/ },
  { parse: parseTarget, text: '0', says: /the port must be a number from 1/ },
  { parse: parseExposeSpec, text: '', says: /the port must be/ },
  { parse: parseExposeSpec, text: '*', says: /write \*:\* for every port of every host/ },
  { parse: parseExposeSpec, text: 'example.org', says: /"example\.org": the port/ },
  { parse: parseExposeSpec, text: 'h:80,,81', says: /"h:80,,81": the port/ },
  { parse: parseExposeSpec, text: 'h:80,81x', says: /"h:80,81x" at "81x": the port/ },
  { parse: parseExposeSpec, text: 'h:90-80', says: /"h:90-80" at "90-80": the last port must not be below/ },
  { parse: parseExposeSpec, text: 'h:1-70000', says: /"h:1-70000" at "70000": the last port/ },
  { parse: parseExposeSpec, text: 'h:-80', says: /"h:-80": the first port/ },
  { parse: parseExposeSpec, text: 'h:0', says: /from 1 to 65535/ },
  {
    parse: parseExposeSpec,
    text: '53/sctp',
    says: /"53\/sctp" at "sctp": the protocol after the \/ must be tcp or udp/,
  },
  { parse: parseExposeSpec, text: '53/', says: /must be tcp or udp/ },
  { parse: parseExposeSpec, text: '53/UDP', says: /must be tcp or udp/ },
  { parse: parseExposeSpec, text: '53/udp,54', says: /must be tcp or udp/ },
  { parse: parseExposeSpec, text: '*/udp', says: /write \*:\*/ },
  { parse: parseExposeSpec, text: 'h:80:81', says: /too many parts/ },
  {
    parse: parseExposeSpec,
    text: '10.0.0.5/24:80',
    says: /this network begins at 10\.0\.0\.0: write 10\.0\.0\.0\/24/,
  },
  { parse: parseExposeSpec, text: '10.0.0.0/33:80', says: /"10\.0\.0\.0\/33:80" at "33".*from 0 to 32/ },
  { parse: parseExposeSpec, text: '10.0.0.0/:80', says: /prefix length/ },
  { parse: parseExposeSpec, text: '10.0.0.0/08:80', says: /prefix length/ },
  { parse: parseExposeSpec, text: 'h/24:80', says: /must be an address/ },
  { parse: parseExposeSpec, text: '[2001:db8::]/32:80', says: /begin and end with its brackets/ },
  { parse: parseExposeSpec, text: '[2001:db8::1/32]:80', says: /begins at 2001:db8::: write/ },
  { parse: parseExposeSpec, text: '[::/129]:80', says: /from 0 to 128/ },
  { parse: parseExposeSpec, text: '[10.0.0.0/8]:80', says: /needs brackets around an IPv6 network/ },
  { parse: parseExposeSpec, text: '[::ffff:10.0.0.0/8]:80', says: /must be written as IPv4/ },
  { parse: parseExposeSpec, text: `1${',1'.repeat(3000)}`, says: /longer than 4096 characters/ },
];

for (const { parse, text, says } of faulty) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused with the fault named (${parse.name})`, () => {
    assert.throws(
      () => parse(text),
      (error) => isSpecFault(error) && says.test(error.message),
    );
  });
}

const everySpec = [
  ...locals.map(({ text }) => ({ parse: parseLocalSpec, text })),
  ...targets.map(({ text }) => ({ parse: parseTarget, text })),
  { parse: parseExposeSpec, text: '[2001:db8::/32]:22,80-443,*' },
  { parse: parseExposeSpec, text: '10.0.0.0/24:8000-8099,22' },
];

test('every prefix of a valid text is read, or refused in one line', () => {
  for (const { parse, text } of everySpec) {
    for (let length = 0; length < text.length; length++) {
      try {
        parse(text.slice(0, length));
      } catch (error) {
        assert.ok(isSpecFault(error), `${text.slice(0, length)}: ${error}`);
      }
    }
  }
});

test('any text is read, or refused in one printable line', () => {
  const texts = fc.oneof(
    anyText({ size: 'max', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom(...'0123456789abcf:.,[]*%-/ '), size: 'max', maxLength: 40 }),
  );
  fc.assert(
    fc.property(texts, fc.constantFrom(parseLocalSpec, parseTarget, parseExposeSpec), (text, parse) => {
      try {
        parse(text);
      } catch (error) {
        assert.ok(isSpecFault(error), String(error));
      }
    }),
    { numRuns: 500 },
  );
});

/** The table in the documentation of parseExposeSpec, printed. */
const exposes: ReadonlyArray<{ text: string; printed: string }> = [
  { text: '22', printed: 'localhost:22' },
  { text: 'LOCALHOST:80,443', printed: 'localhost:80,443' },
  { text: '53/udp', printed: 'localhost:53/udp' },
  { text: '10.0.0.0/24:80,90-99/tcp', printed: '10.0.0.0/24:80,90-99/tcp' },
  { text: '*:*/udp', printed: '*:*/udp' },
  { text: 'db.lan:5432', printed: 'db.lan:5432' },
  { text: '10.0.0.7:8000-8099', printed: '10.0.0.7:8000-8099' },
  { text: '10.0.0.0/24:80', printed: '10.0.0.0/24:80' },
  { text: '[2001:DB8::1]:*', printed: '[2001:db8::1]:*' },
  { text: '[2001:db8::/32]:22', printed: '[2001:db8::/32]:22' },
  { text: '*:443', printed: '*:443' },
  { text: 'h:7-7', printed: 'h:7' },
  { text: '*:*', printed: '*:*' },
  { text: '0.0.0.0/0:1-65535,7', printed: '0.0.0.0/0:*,7' },
  { text: '10.128.0.0/9:1', printed: '10.128.0.0/9:1' },
  { text: '10.0.0.1/32:1', printed: '10.0.0.1/32:1' },
];

for (const { text, printed } of exposes) {
  test(`--expose ${text} is ${printed}`, () => {
    const spec = parseExposeSpec(text);
    assert.equal(printExposeSpec(spec), printed);
    assert.deepEqual(parseExposeSpec(printed), spec);
  });
}

test('--expose reads ports as ranges, both ends inclusive', () => {
  const spec = parseExposeSpec('h:5,7-9,*');
  assert.ok('ports' in spec);
  assert.deepEqual(spec.ports, [
    { from: 5, to: 5 },
    { from: 7, to: 9 },
    { from: 1, to: 65535 },
  ]);
});

const port = fc.integer({ min: 1, max: 65535 });
const label = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,20}[a-z0-9_]$/);
const name = fc.array(label, { minLength: 1, maxLength: 4, size: 'max' }).map((labels) => labels.join('.'));
const address = fc.oneof(fc.ipV4(), fc.ipV6());
const host = fc.oneof(name, address).map(asHost);
const hostPort = fc.record({ host: host.map(textOf), port }, { noNullPrototype: true });

test('printing and parsing are inverse for forwards and targets', () => {
  const bind = fc.record(
    { host: host.map(textOf), port: fc.integer({ min: 0, max: 65535 }) },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(bind, hostPort, (from: HostPort, target: HostPort) => {
      const spec: LocalSpec = { bind: from, target };
      assert.deepEqual(parseLocalSpec(printForwardSpec(spec)), spec);
      assert.deepEqual(parseTarget(printHostPort(target)), target);
    }),
  );
});

test('printing and parsing are inverse for exposed targets', () => {
  const subnet = fc.tuple(address, fc.integer({ min: 0, max: 128 })).map(([text, bits]): ExposedHost => {
    const whole = asAddress(text);
    const prefixBits = Math.min(bits, whole.bytes.length * 8);
    const bytes = whole.bytes.map((byte, at) => {
      let kept = 0;
      for (let bit = 0; bit < 8; bit++) if (at * 8 + bit < prefixBits) kept |= byte & (0x80 >> bit);
      return kept;
    });
    const groups = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const base = whole.family === 4 ? bytes.join('.') : (groups.match(/.{4}/g) ?? []).join(':');
    return { kind: 'subnet', network: asAddress(base), prefixBits };
  });
  const exposed: fc.Arbitrary<ExposedHost> = fc.oneof(
    host,
    subnet,
    fc.constant<ExposedHost>({ kind: 'any' }),
  );
  const range = fc.tuple(port, port).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
  const ports = fc.array(range, { minLength: 1, maxLength: 10, size: 'max' });
  fc.assert(
    fc.property(exposed, ports, (asked, ranges) => {
      // A network inside ::ffff:0:0/96 is IPv4 and printed as such.
      fc.pre(asked.kind !== 'subnet' || asked.network.family === 4 || asked.network.bytes[0] !== 0);
      const spec: ExposeSpec = { host: asked, ports: ranges };
      assert.deepEqual(parseExposeSpec(printExposeSpec(spec)), spec);
    }),
  );
});

test('addresses parse into one form, whatever their spelling', () => {
  assert.equal(parseAddress('::ffff:7f00:1')?.text, '127.0.0.1');
  assert.equal(parseAddress('0:0:0:0:0:FFFF:10.1.2.3')?.text, '10.1.2.3');
  assert.equal(parseAddress('2001:0DB8:0:0:0:0:0:1')?.text, '2001:db8::1');
  assert.deepEqual(
    parseAddress('1:2:3:4:5:6:7:89ab')?.bytes,
    Uint8Array.of(0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0x89, 0xab),
  );
  assert.deepEqual(parseAddress('1::')?.bytes[1], 1);
  assert.deepEqual([...(parseAddress('64:ff9b::1.2.3.4')?.bytes ?? [])].slice(12), [1, 2, 3, 4]);
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.',
    '01.2.3.4',
    '0x1.2.3.4',
    '1.2.3.256',
    '::%lo',
    '[::1]',
    ':::',
  ]) {
    assert.equal(parseAddress(text), undefined, text);
  }
});

function isSpecFault(error: unknown): error is TunnelError {
  return (
    TunnelError.is(error) &&
    error.code === 'ERR_SPEC_INVALID' &&
    /^[\x20-\x7e]{1,700}$/.test(error.message) &&
    error.message.includes('; write ') &&
    error.message.includes('for example')
  );
}

function asHost(text: string): Host {
  const read = readHost(text);
  if (typeof read === 'string') throw new Error(`${text} ${read}`);
  return read;
}

function textOf(read: Host): string {
  return read.kind === 'name' ? read.name : read.address.text;
}

function asAddress(text: string) {
  const read = parseAddress(text);
  if (read === undefined) throw new Error(`${text} is not an address`);
  return read;
}

describe('a rule for addresses that only servers listen on', () => {
  for (const text of [
    '0.0.0.0:80',
    '[::]:80',
    '0.0.0.0/32:80',
    '0.0.0.0/8:80',
    '224.0.0.1:80',
    '[ff02::1]:80-81',
  ])
    test(`${text} is refused, with what to write instead`, () => {
      assert.throws(
        () => readRule(text, () => false),
        failsWith('ERR_SPEC_INVALID', /nothing can be reached at .*write localhost:80.*local network/),
      );
    });

  for (const text of ['0.0.0.0/0:80', '[::/0]:80', '[::/8]:80', '127.0.0.1:80', '*:80'])
    test(`${text} is a rule`, () => {
      assert.ok('rule' in readRule(text, () => false));
    });

  test('is refused for one peer and for a ticket too', async () => {
    assert.throws(
      () => readRule('laptop:0.0.0.0:80', () => true),
      failsWith('ERR_SPEC_INVALID', /localhost:80/),
    );
    const bench = new CliBench();
    assert.equal(await bench.run('ticket', 'new', 'ci', '--expose', '0.0.0.0:80'), 2);
    assert.equal(await bench.run('rule', 'add', '0.0.0.0:80'), 2);
    assert.equal(await bench.run('listen', '--expose', '0.0.0.0:80'), 2);
    assert.equal(bench.stderr.text.match(/write localhost:80/g)?.length, 3);
  });
});
