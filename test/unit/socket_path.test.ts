import assert from 'node:assert/strict';
import test from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { Dialer } from '../../src/forward/exit/dial.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { foreignPath, readSocketPath } from '../../src/rules/endpoint.js';
import { parseExposeSpec, printExposeSpec, readRule } from '../../src/rules/expose.js';
import { parseLocalSpec, printForwardSpec } from '../../src/rules/forward_spec.js';
import { RuleBook } from '../../src/rules/rule_book.js';

const PIPE = '\\\\.\\pipe\\app';

test('a path is absolute and in canonical form; a pipe is one name in lower case', () => {
  for (const [text, path] of [
    ['/run/app.sock', '/run/app.sock'],
    ['/a', '/a'],
    ['/a b/..c/.d', '/a b/..c/.d'],
    [PIPE, PIPE],
    ['\\\\.\\PIPE\\App', PIPE],
    [`/${'a'.repeat(102)}`, `/${'a'.repeat(102)}`],
  ] as const) {
    assert.deepEqual(readSocketPath(text), { path });
  }
});

test('all other spellings of paths are refused with the reason', () => {
  for (const [text, says] of [
    ['run/app.sock', /absolute/],
    ['./app.sock', /absolute/],
    ['', /absolute/],
    ['C:\\app.sock', /absolute/],
    ['\\\\host\\pipe\\app', /absolute/],
    ['\\\\?\\pipe\\app', /absolute/],
    ['/run/../app.sock', /without \. and \.\./],
    ['/run/./app.sock', /without/],
    ['/run//app.sock', /without/],
    ['//./pipe/app', /without/],
    ['/run/', /without/],
    ['/', /without/],
    ['/..', /without/],
    ['/run/a\nb', /control character/],
    ['\0abstract', /control character/],
    [`/${'a'.repeat(103)}`, /longer than 103 bytes/],
    [`/${'ä'.repeat(52)}`, /longer than 103 bytes/],
    ['\\\\.\\pipe\\', /one name/],
    ['\\\\.\\pipe\\a\\b', /one name/],
    ['\\\\.\\pipe\\../x', /one name/],
    [`${PIPE}${'a'.repeat(244)}`, /255 bytes/],
    [`${PIPE}${'é'.repeat(122)}`, /255 bytes/],
    // In lower case they are longer.
    [`${PIPE}${'İ'.repeat(100)}`, /255 bytes/],
  ] as const) {
    const read = readSocketPath(text);
    assert.ok(typeof read === 'string', text);
    assert.match(read, says, text);
  }
});

test('each system has its own kind of path', () => {
  assert.equal(foreignPath('/a', 'linux'), undefined);
  assert.equal(foreignPath('/a', 'darwin'), undefined);
  assert.equal(foreignPath(PIPE, 'win32'), undefined);
  assert.match(foreignPath(PIPE, 'linux') ?? '', /only Windows has named pipes/);
  assert.match(foreignPath('/a', 'win32') ?? '', /give a named pipe/);
});

test('-L accepts a path for either end or both, and prints it as it was read', () => {
  const loopback = { host: '127.0.0.1', port: 8080, isDefault: true };
  for (const [text, spec] of [
    ['8080:/run/app.sock', { bind: loopback, target: { path: '/run/app.sock' } }],
    ['[::1]:0:/a', { bind: { host: '::1', port: 0 }, target: { path: '/a' } }],
    ['/tmp/db.sock:db.lan:5432', { bind: { path: '/tmp/db.sock' }, target: { host: 'db.lan', port: 5432 } }],
    ['/a:[::1]:80', { bind: { path: '/a' }, target: { host: '::1', port: 80 } }],
    ['/a.sock:/b.sock', { bind: { path: '/a.sock' }, target: { path: '/b.sock' } }],
    [`${PIPE}:${PIPE}`, { bind: { path: PIPE }, target: { path: PIPE } }],
    [`8080:${PIPE}`, { bind: loopback, target: { path: PIPE } }],
  ] as const) {
    assert.deepEqual(parseLocalSpec(text), spec, text);
    assert.deepEqual(parseLocalSpec(printForwardSpec(spec)), spec);
  }
});

test('-L says why a path is invalid', () => {
  for (const [text, says] of [
    ['./a.sock:h:80', /"\.\/a\.sock:h:80" at "\.\/a\.sock": the path to listen at must be absolute/],
    ['/a/../b:h:80', /"\/a\/\.\.\/b".*without \. and \.\./],
    ['8080:/run/x/', /the target path must be written without/],
    ['8080:/a:/b', /the bind address must be/],
    ['/a:8080:h:80', /too many parts/],
    ['/run/app.sock', /three or four parts/],
    ['x:/run/app.sock', /the port to listen on must be a number/],
  ] as const) {
    assert.throws(
      () => parseLocalSpec(text),
      (error) => TunnelError.is(error) && error.code === 'ERR_SPEC_INVALID' && says.test(error.message),
      text,
    );
  }
});

test('--expose accepts a path, for all or for one name, and prints it as it was read', () => {
  for (const path of ['/run/app.sock', PIPE]) {
    assert.deepEqual(parseExposeSpec(path), { path });
    assert.equal(printExposeSpec({ path }), path);
    assert.deepEqual(
      readRule(`laptop:${path}`, (name) => name === 'laptop'),
      { rule: { name: 'laptop', path } },
    );
    assert.throws(() => readRule(`laptop:${path}`, () => false), /no peer and no ticket is called/);
  }
  for (const text of ['/run/*', './a', '/a/..']) {
    if (text === '/run/*') assert.deepEqual(parseExposeSpec(text), { path: '/run/*' });
    else assert.throws(() => parseExposeSpec(text), /a value is wrong/);
  }
});

test('only a rule that names a path opens it, letter by letter', async () => {
  const dialer = (...rules: string[]): Dialer =>
    new Dialer({
      resolve: async () => [],
      rules:
        rules.length === 0 ? new AllowRules([LOOPBACK_ONLY]) : new AllowRules(rules.map(parseExposeSpec)),
    });
  for (const rules of [
    [],
    ['*:*'],
    ['localhost:*'],
    ['/run/other.sock'],
    ['/run'],
    ['/run/*'],
    ['/RUN/app.sock'],
    ['/run/app.sock2'],
  ]) {
    const result = await dialer(...rules).dial({ path: '/run/app.sock' });
    assert.ok(result.kind === 'failed');
    assert.equal(result.reason, 'not-allowed');
    assert.match(result.text, /^\/run\/app\.sock is not exposed; .*--expose \/run\/app\.sock$/);
  }
  const open = dialer('/nowhere/app.sock');
  const reasons: string[] = [];
  for (const path of [
    '/nowhere/../nowhere/app.sock',
    '/nowhere/./app.sock',
    '//nowhere/app.sock',
    'nowhere/app.sock',
    '/nowhere/app.sock/',
    '/nowhere/app.sock',
  ]) {
    const result = await open.dial({ path });
    reasons.push(result.kind === 'failed' ? result.reason : result.kind);
  }
  assert.deepEqual(reasons, [...Array.from({ length: 5 }, () => 'not-allowed'), 'unreachable']);
});

test('a path opens nothing else, and counts as a separate rule', () => {
  const rules = new AllowRules([parseExposeSpec('/run/app.sock')]);
  assert.equal(rules.mayPermit({ kind: 'name', name: 'localhost' }, 22), false);
  const book = new RuleBook([{ path: '/a' }, { name: 'laptop', path: '/b' }]);
  const general = book.rulesFor(() => undefined);
  const laptop = book.rulesFor(() => ({ name: 'laptop', kind: 'peer', rules: undefined }));
  assert.deepEqual([general.permitsPath('/a'), general.permitsPath('/b')], [true, false]);
  assert.deepEqual([laptop.permitsPath('/a'), laptop.permitsPath('/b')], [false, true]);
  book.remove({ path: '/a' });
  assert.equal(general.permitsPath('/a'), false);
});

test('a Windows pipe is never mistaken for a file of the current folder', {
  skip: process.platform === 'win32',
}, async () => {
  const result = await new Dialer({ rules: new AllowRules([{ path: PIPE }]), resolve: async () => [] }).dial({
    path: PIPE,
  });
  assert.ok(result.kind === 'failed');
  assert.equal(result.reason, 'unreachable');
  assert.match(result.text, /only Windows has named pipes/);
});
