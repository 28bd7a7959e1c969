import assert from 'node:assert/strict';
import test from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { parseAddress } from '../../src/core/ip.js';
import { parseReverseSpec, printForwardSpec } from '../../src/rules/forward_spec.js';
import { opensReverse, parseReverseRule, printReverseRule } from '../../src/rules/reverse_rule.js';
import type { Grant } from '../../src/rules/rule_book.js';
import { ReverseBook } from '../../src/rules/rule_book.js';

function opens(rule: string, host: string, port: number): boolean {
  const address = parseAddress(host);
  assert.ok(address !== undefined);
  return opensReverse(parseReverseRule(rule), address, port);
}

test('--allow-reverse opens the ports that it names, on the loopback by default', () => {
  for (const [rule, host, port, yes] of [
    ['8080', '127.0.0.1', 8080, true],
    ['8080', '127.0.0.2', 8080, true],
    ['8080', '::1', 8080, true],
    ['8080', '::ffff:127.0.0.1', 8080, true],
    ['localhost:8080', '127.0.0.1', 8080, true],
    ['8080', '0.0.0.0', 8080, false],
    ['8080', '::', 8080, false],
    ['8080', '10.0.0.1', 8080, false],
    ['8080', '127.0.0.1', 8081, false],
    ['8080', '127.0.0.1', 0, false],
    ['0', '127.0.0.1', 0, true],
    ['0', '127.0.0.1', 8080, false],
    ['8000-8099', '127.0.0.1', 8000, true],
    ['8000-8099', '127.0.0.1', 8099, true],
    ['8000-8099', '127.0.0.1', 8100, false],
    ['8000-8099', '127.0.0.1', 0, false],
    ['*', '127.0.0.1', 0, true],
    ['*', '127.0.0.1', 65535, true],
    ['*', '0.0.0.0', 80, false],
    ['0.0.0.0:80', '0.0.0.0', 80, true],
    ['0.0.0.0:80', '127.0.0.1', 80, false],
    ['[::]:80', '::', 80, true],
    ['[::]:80', '0.0.0.0', 80, false],
    ['*:80', '0.0.0.0', 80, true],
    ['*:80', '192.168.1.1', 80, true],
    ['*:80', '0.0.0.0', 81, false],
    ['127.0.0.1:80', '127.0.0.2', 80, false],
  ] as const) {
    assert.equal(opens(rule, host, port), yes, `${rule} ${host} ${port}`);
  }
});

test('--allow-reverse with a name applies to that name, and an unknown name is an error', () => {
  const isName = (name: string): boolean => name === 'laptop';
  assert.deepEqual(parseReverseRule('laptop:8080', isName), {
    name: 'laptop',
    bind: 'loopback',
    ports: { from: 8080, to: 8080 },
  });
  assert.deepEqual(parseReverseRule('Laptop:*:1-2', isName), {
    name: 'laptop',
    bind: 'any',
    ports: { from: 1, to: 2 },
  });
  for (const [text, code] of [
    ['desktop:8080', 'ERR_USAGE'],
    ['desktop:*:8080', 'ERR_SPEC_INVALID'],
    ['', 'ERR_SPEC_INVALID'],
    ['x', 'ERR_SPEC_INVALID'],
    ['80-79', 'ERR_SPEC_INVALID'],
    ['70000', 'ERR_SPEC_INVALID'],
    ['::1:80', 'ERR_SPEC_INVALID'],
    ['/a', 'ERR_SPEC_INVALID'],
    ['127.1:80', 'ERR_SPEC_INVALID'],
  ] as const) {
    assert.throws(
      () => parseReverseRule(text, isName),
      (error) => TunnelError.is(error) && error.code === code,
      text,
    );
  }
});

test('a rule prints as written, and parses back to the same', () => {
  const isName = (name: string): boolean => name === 'laptop';
  for (const [text, printed = text] of [
    ['0'],
    ['8080'],
    ['8000-8010'],
    ['*'],
    ['*:8080'],
    ['*:*'],
    ['0.0.0.0:80'],
    ['[::1]:80'],
    ['laptop:8080'],
    ['laptop:[::]:1-2'],
    ['LAPTOP:localhost:9-9', 'laptop:9'],
    ['[0::1]:80', '[::1]:80'],
    ['1-65535'],
  ] as const) {
    const rule = parseReverseRule(text, isName);
    assert.equal(printReverseRule(rule), printed);
    assert.deepEqual(parseReverseRule(printed, isName), rule);
  }
});

test('added and removed rules take effect at once; removing one opens nothing', () => {
  const loopback = parseAddress('127.0.0.1');
  assert.ok(loopback !== undefined);
  const rule = (text: string) => parseReverseRule(text, (name) => name === 'laptop');
  const book = new ReverseBook([rule('80')]);
  let changes = 0;
  const forget = book.onChange(() => changes++);
  const now: Grant = { name: 'laptop', kind: 'ticket', rules: undefined };
  const opens = (port: number, grant = now): boolean =>
    book
      .rulesFor(
        () => grant,
        () => false,
      )
      .permitsListen(loopback, port);
  assert.ok(opens(80));
  assert.deepEqual([book.add(rule('laptop:90')), book.add(rule('laptop:90'))], [true, false]);
  assert.deepEqual([opens(80), opens(90)], [false, true]);
  const ticket: Grant = { ...now, allowReverse: [rule('100')] };
  assert.deepEqual(
    [80, 90, 100].map((port) => opens(port, ticket)),
    [false, true, true],
  );
  assert.deepEqual(
    [80, 100].map((port) => opens(port, { ...ticket, name: 'ci' })),
    [false, true],
  );
  assert.deepEqual([book.remove(rule('laptop:90')), book.remove(rule('laptop:90'))], [true, false]);
  assert.deepEqual([opens(80), opens(90)], [false, false], 'its last rule is gone, but it stays restricted');
  assert.equal(changes, 2);
  book.keep((name) => name !== 'laptop');
  assert.equal(opens(80), true, 'another peer that gets the name');
  assert.equal(changes, 3);
  forget();
  assert.ok(book.remove(rule('80')));
  assert.equal(opens(80), false);
  assert.equal(changes, 3);
});

test('nothing is allowed without a rule; a name with its own rules of either kind has none of the general ones', () => {
  const loopback = parseAddress('127.0.0.1');
  assert.ok(loopback !== undefined);
  const grant = (name: string) => ({ name, kind: 'peer', rules: undefined }) as const;
  const rule = (text: string) => parseReverseRule(text, (name) => name === 'laptop');
  const ask = (book: ReverseBook, name: string | undefined, port: number, hasOwn = false): boolean =>
    book
      .rulesFor(
        () => (name === undefined ? undefined : grant(name)),
        () => hasOwn,
      )
      .permitsListen(loopback, port);
  assert.equal(ask(new ReverseBook(), 'any', 80), false);
  assert.equal(ask(new ReverseBook(), undefined, 80), false);
  const book = new ReverseBook([rule('80'), rule('laptop:90')]);
  assert.deepEqual([ask(book, 'other', 80), ask(book, 'other', 90)], [true, false]);
  assert.deepEqual([ask(book, 'laptop', 80), ask(book, 'laptop', 90)], [false, true]);
  assert.equal(ask(book, 'other', 80, true), false, 'a restricted ticket gets no more than it was made for');
  assert.equal(ask(book, 'laptop', 90, true), true);
  const narrow: Grant = { ...grant('other'), allowReverse: [] };
  assert.deepEqual(
    [grant('laptop'), grant('other'), narrow].map((each) => book.hasOwnRules(each)),
    [true, false, true],
  );
  book.keep((name) => name !== 'laptop');
  assert.deepEqual([ask(book, 'laptop', 80), ask(book, 'laptop', 90)], [true, false]);
});

test('-R parses like -L, with the far end first, and prints as it was read', () => {
  for (const [text, spec] of [
    [
      '8080:localhost:80',
      { bind: { host: '127.0.0.1', port: 8080, isDefault: true }, target: { host: 'localhost', port: 80 } },
    ],
    [
      '0:/run/a.sock',
      { bind: { host: '127.0.0.1', port: 0, isDefault: true }, target: { path: '/run/a.sock' } },
    ],
    ['0.0.0.0:8080:[::1]:80', { bind: { host: '0.0.0.0', port: 8080 }, target: { host: '::1', port: 80 } }],
    ['localhost:1:h:2', { bind: { host: 'localhost', port: 1 }, target: { host: 'h', port: 2 } }],
  ] as const) {
    assert.deepEqual(parseReverseSpec(text), spec);
    assert.deepEqual(parseReverseSpec(printForwardSpec(spec)), spec);
  }
  for (const [text, says] of [
    ['/run/a.sock:localhost:80', /at ports only/],
    ['name.example:8080:localhost:80', /must be a numeric address or localhost/],
    ['*:8080:localhost:80', /must be written out/],
    ['8080', /three or four parts/],
  ] as const) {
    assert.throws(() => parseReverseSpec(text), says);
  }
});
