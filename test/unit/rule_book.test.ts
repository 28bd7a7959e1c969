import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseName } from '../../src/access/name.js';
import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { readHost } from '../../src/core/host.js';
import { parseAddress } from '../../src/core/ip.js';
import { parseExposeSpec, printRule, type Rule, readRule } from '../../src/rules/expose.js';
import { parseReverseRule, type ReverseRule } from '../../src/rules/reverse_rule.js';
import type { Grant } from '../../src/rules/rule_book.js';
import { MAX_RULES, ReverseBook, RuleBook } from '../../src/rules/rule_book.js';

const isName = (name: string): boolean => ['laptop', 'ci'].includes(name);
const rule = (text: string) => readRule(text, isName).rule;

const grant = (name: string, ...rules: string[]): Grant => ({
  name,
  kind: rules.length > 0 ? 'ticket' : 'peer',
  rules: rules.length > 0 ? rules.map(parseExposeSpec) : undefined,
});

/** Whether `who` may connect to the address and port. */
function opens(book: RuleBook, who: Grant | undefined, addressText: string, port: number): boolean {
  const host = readHost(addressText);
  const address = parseAddress(addressText);
  assert.ok(typeof host !== 'string' && address !== undefined);
  const rules = book.rulesFor(() => who);
  const permits = rules.permits(host, address, port);
  assert.equal(rules.mayPermit(host, port), permits);
  return permits;
}

const failsWith = (code: TunnelErrorCode, why: RegExp) => (error: unknown) => {
  assert.ok(TunnelError.is(error), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, why);
  return true;
};

describe('the text of a rule', () => {
  const READ: readonly (readonly [string, string])[] = [
    ['22', 'localhost:22'],
    ['db.lan:5432', 'db.lan:5432'],
    ['laptop:22', 'laptop:localhost:22'],
    ['LAPTOP:22', 'laptop:localhost:22'],
    ['laptop:10.0.0.0/24:80,443', 'laptop:10.0.0.0/24:80,443'],
    ['laptop:53/udp', 'laptop:localhost:53/udp'],
    ['laptop:[2001:db8::/32]:22', 'laptop:[2001:db8::/32]:22'],
    ['laptop:*:*', 'laptop:*:*'],
    ['laptop:ci:22', 'laptop:ci:22'],
    ['laptop.:22', 'laptop.:22'],
    ['laptop.lan:22', 'laptop.lan:22'],
    ['desk.:22', 'desk.:22'],
    ['2desk:22', '2desk:22'],
    ['localhost:22', 'localhost:22'],
    ['[::1]:22', '[::1]:22'],
  ];
  for (const [text, canonical] of READ) {
    test(`${text} is ${canonical}, and parses back to the same`, () => {
      assert.equal(printRule(rule(text)), canonical);
      assert.deepEqual(rule(canonical), rule(text));
    });
  }

  test('a word that is a name and could be a host is the name, and that is reported', () => {
    const read = readRule('laptop:22', isName);
    assert.equal(read.rule.name, 'laptop');
    assert.match(read.note ?? '', /localhost:22 to laptop only; for a host of that name write laptop\.:PORT/);
    assert.equal(readRule('desk.:22', isName).note, undefined);
    assert.equal(rule('laptop.:22').name, undefined);
  });

  test('a word that is no name but could become one is refused: a rule never changes its meaning', () => {
    assert.throws(
      () => rule('Desk:22/tcp'),
      failsWith(
        'ERR_USAGE',
        /Desk is neither a ticket nor an allowed peer; for the host of that name write Desk\.:22\/tcp$/,
      ),
    );
  });

  test('an unknown name is refused where only a name is possible', () => {
    for (const text of [
      'desk:localhost:22',
      ':localhost:22',
      '::1',
      '*:localhost:22',
      '10.0.0.1:localhost:22',
    ]) {
      assert.throws(() => rule(text), failsWith('ERR_USAGE', /no peer and no ticket is called/), text);
    }
  });

  test('the part after a name is parsed as strictly as without one', () => {
    for (const text of [
      'laptop:',
      'laptop:0',
      'laptop::22',
      'laptop:*',
      'laptop:0x7f.1:22',
      'laptop:a:b:22',
    ]) {
      assert.throws(() => rule(text), failsWith('ERR_SPEC_INVALID', /./), text);
    }
  });
});

describe('a name', () => {
  test('matches regardless of case', () => assert.equal(parseName('Laptop-2'), 'laptop-2'));
  for (const text of ['', '2fast', 'a.b', 'a b', 'ä', 'a'.repeat(33), '*', 'localhost', 'all', 'a:b', '-x']) {
    test(`cannot be ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseName(text), failsWith('ERR_USAGE', /./));
    });
  }
});

describe('a rule book', () => {
  test('without any rule opens nothing', () => {
    for (const book of [new RuleBook(), new RuleBook([])]) {
      assert.equal(book.isDefault, false);
      assert.deepEqual(book.list(), []);
      assert.ok(!opens(book, undefined, '127.0.0.1', 22));
      assert.ok(!opens(book, grant('laptop'), '127.0.0.1', 22));
    }
  });

  test('opens the loopback on request, and reports that this is the default', () => {
    const book = new RuleBook([], true);
    assert.equal(book.isDefault, true);
    assert.deepEqual(
      book.list().map((each) => printRule(each)),
      ['localhost:*'],
    );
    assert.ok(opens(book, undefined, '127.0.0.1', 1));
    assert.ok(!opens(book, undefined, '10.0.0.1', 1));
  });

  test('the first rule replaces the default without closing its own targets in between', () => {
    const book = new RuleBook([], true);
    const seen: boolean[] = [];
    book.onChange(() => seen.push(opens(book, undefined, '127.0.0.1', 22)));
    book.add(rule('22'));
    assert.equal(book.isDefault, false);
    assert.ok(opens(book, undefined, '127.0.0.1', 22));
    assert.ok(!opens(book, undefined, '127.0.0.1', 23));
    assert.ok(seen.length > 0 && seen.every((isOpen) => isOpen));
  });

  test('a rule for a name, or one with the same effect, also replaces the default', () => {
    const named = new RuleBook([], true);
    named.add(rule('laptop:22'));
    assert.ok(!opens(named, grant('ci'), '127.0.0.1', 22));
    const same = new RuleBook([], true);
    assert.equal(same.add(rule('localhost:*')), true);
    assert.equal(same.isDefault, false);
    assert.ok(opens(same, undefined, '127.0.0.1', 22));
  });

  test('nothing brings the default back: neither removing the last rule nor removing a name', () => {
    const book = new RuleBook([], true);
    let changes = 0;
    book.onChange(() => changes++);
    book.closeDefault();
    book.closeDefault();
    assert.equal(changes, 1);
    for (const text of ['22', 'laptop:22']) {
      assert.ok(book.add(rule(text)));
      assert.ok(book.remove(rule(text)));
    }
    book.keep(() => false);
    assert.deepEqual([book.isDefault, book.list()], [false, []]);
    assert.ok(!opens(book, undefined, '127.0.0.1', 22));
    assert.ok(!opens(book, grant('laptop'), '127.0.0.1', 22));
  });

  test('the default applies next to the initial rules, and can be removed by itself', () => {
    const book = new RuleBook([rule('db.lan:80')], true);
    assert.ok(opens(book, undefined, '127.0.0.1', 1));
    book.closeDefault();
    assert.ok(!opens(book, undefined, '127.0.0.1', 1));
    assert.equal(book.list().length, 1);
  });

  test('a name with its own rules of the other kind has none of the general ones', () => {
    const book = new RuleBook([rule('22')]);
    const host = readHost('127.0.0.1');
    assert.ok(typeof host !== 'string');
    const may = (hasOtherRules: boolean): boolean =>
      book
        .rulesFor(
          () => grant('laptop'),
          () => hasOtherRules,
        )
        .mayPermit(host, 22);
    assert.deepEqual([may(false), may(true)], [true, false]);
  });

  test('a rule for only one name leaves nothing open to the others', () => {
    const book = new RuleBook([rule('laptop:22')]);
    assert.ok(opens(book, grant('laptop'), '127.0.0.1', 22));
    assert.ok(!opens(book, grant('ci'), '127.0.0.1', 22));
    assert.ok(!opens(book, undefined, '127.0.0.1', 22));
  });

  test('a name with its own rules has only those', () => {
    const book = new RuleBook(['22', 'laptop:10.0.0.0/24:80,443'].map(rule));
    assert.ok(opens(book, grant('laptop'), '10.0.0.9', 443));
    assert.ok(!opens(book, grant('laptop'), '127.0.0.1', 22));
    assert.ok(!opens(book, grant('ci'), '10.0.0.9', 443));
    assert.ok(opens(book, grant('ci'), '127.0.0.1', 22));
    assert.ok(opens(book, grant('x', '8080'), '127.0.0.1', 8080));
    assert.ok(!opens(book, grant('x', '8080'), '127.0.0.1', 22));
  });

  test('a ticket with an empty list of rules opens nothing', () => {
    const none: Grant = { name: 'x', kind: 'ticket', rules: [] };
    assert.ok(!opens(new RuleBook([], true), none, '127.0.0.1', 22));
  });

  test('removing a rule never opens anything', () => {
    const book = new RuleBook(['*:*', 'laptop:22'].map(rule));
    assert.ok(book.remove(rule('laptop:22')));
    assert.ok(!opens(book, grant('laptop'), '127.0.0.1', 22));
    assert.ok(!opens(book, grant('laptop'), '10.0.0.1', 1));
    assert.ok(book.remove(rule('*:*')));
    assert.ok(!opens(book, undefined, '127.0.0.1', 22));
    assert.equal(book.isDefault, false);
  });

  test('the default can be removed', () => {
    const book = new RuleBook([], true);
    assert.ok(book.remove(rule('localhost:*')));
    assert.equal(book.isDefault, false);
    assert.ok(!opens(book, undefined, '127.0.0.1', 22));
  });

  test('changes apply to later questions', () => {
    const book = new RuleBook([rule('22')]);
    const rules = book.rulesFor(() => undefined);
    const host = readHost('127.0.0.1');
    assert.ok(typeof host !== 'string');
    book.add(rule('23'));
    assert.ok(rules.mayPermit(host, 23));
    book.remove(rule('23'));
    assert.ok(!rules.mayPermit(host, 23));
  });

  test('the order of rules does not matter', () => {
    for (const texts of [
      ['127.0.0.1:22', '*:80'],
      ['*:80', '127.0.0.1:22'],
    ]) {
      const book = new RuleBook(texts.map(rule));
      assert.ok(opens(book, undefined, '127.0.0.1', 22));
      assert.ok(opens(book, undefined, '10.0.0.1', 80));
      assert.ok(!opens(book, undefined, '10.0.0.1', 22));
    }
  });

  test('a repeated rule counts once, and a missing rule cannot be removed', () => {
    const book = new RuleBook();
    assert.equal(book.add(rule('22')), true);
    assert.equal(book.add(rule('localhost:22')), false);
    assert.equal(book.list().length, 1);
    assert.equal(book.remove(rule('23')), false);
  });

  test('reports changes, and nothing else', () => {
    const book = new RuleBook();
    let told = 0;
    const forget = book.onChange(() => told++);
    book.add(rule('22'));
    book.add(rule('22'));
    book.remove(rule('23'));
    book.remove(rule('22'));
    book.add(rule('laptop:22'));
    book.forget('laptop');
    book.forget('laptop');
    assert.equal(told, 4);
    forget();
    book.add(rule('24'));
    assert.equal(told, 4);
  });

  test('is bounded', () => {
    const book = new RuleBook();
    for (let port = 1; port <= MAX_RULES; port++) book.add(rule(String(port)));
    assert.throws(() => book.add(rule('60000')), failsWith('ERR_LIMIT', /remove one first/));
  });
});

describe('the rules that still open a port after another one is removed', () => {
  const CASES: readonly (readonly [removed: string, others: string[], still: string[]])[] = [
    [
      '22',
      ['20-30', 'localhost:22/tcp', '127.0.0.1:22'],
      ['localhost:20-30', 'localhost:22/tcp', '127.0.0.1:22'],
    ],
    ['22', ['127.0.0.0/8:1-99', '[::1]:*'], ['127.0.0.0/8:1-99', '[::1]:*']],
    ['127.0.0.1:22', ['22'], ['localhost:22']],
    ['22', ['23', '*:22', '10.0.0.1:22', 'laptop:22', 'db.lan:22'], []],
    ['22/tcp', ['22/udp'], []],
    ['laptop:22', ['22', 'laptop:20-30', 'ci:22'], ['laptop:localhost:20-30']],
    ['10.0.0.1:80', ['10.0.0.0/8:80', '*:*'], ['10.0.0.0/8:80', '*:*']],
    ['10.0.0.0/8:80', ['10.1.2.3:80', '11.0.0.1:80'], ['10.1.2.3:80']],
    ['db.lan:80', ['*:80', '10.0.0.1:80'], ['*:80']],
    ['*:80', ['db.lan:80', '10.0.0.1:80', '80'], ['db.lan:80', '10.0.0.1:80']],
    ['/run/a', ['/run/b', '22'], []],
  ];
  for (const [removed, others, still] of CASES)
    test(`${removed}, with ${others.join(' ')}: ${still.join(' ') || 'none'}`, () => {
      const book = new RuleBook(others.map(rule));
      assert.deepEqual(new Set(book.stillOpening(rule(removed)).map(printRule)), new Set(still));
    });
});

describe('rules from a program', () => {
  const wrong: readonly unknown[] = [
    '22',
    undefined,
    {},
    { host: 'localhost', ports: [{ from: 22, to: 22 }] },
    { ...parseExposeSpec('22'), ports: [] },
    { ...parseExposeSpec('22'), protocoll: 'udp' },
  ];
  for (const [at, given] of wrong.entries()) {
    test(`number ${at} is no rule, and changes nothing`, () => {
      const book = new RuleBook([], true);
      // TypeScript does not check what JavaScript programs pass.
      const rule = given as Rule;
      assert.throws(() => book.add(rule), failsWith('ERR_ARGUMENT_INVALID', /add\(\): rule/));
      assert.throws(() => book.remove(rule), failsWith('ERR_ARGUMENT_INVALID', /remove\(\): rule/));
      assert.ok(book.isDefault);
    });
  }

  test('for ports at the far end are checked too', () => {
    const book = new ReverseBook();
    for (const given of ['8080', { bind: 'loopback' }, { bind: '0.0.0.0', ports: { from: 1, to: 1 } }])
      assert.throws(() => book.add(given as ReverseRule), failsWith('ERR_ARGUMENT_INVALID', /add\(\): rule/));
    assert.ok(book.add(parseReverseRule('8080')));
  });
});
