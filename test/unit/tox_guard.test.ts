import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { Guard } from '../../src/worker/tox/guard.js';
import { wasiImports } from '../../src/worker/tox/imports.js';

const isCode = (code: string) => (error: unknown) => TunnelError.is(error) && error.code === code;

test('an exception of an import leaves the call unchanged, after the call has done its work', () => {
  const guard = new Guard();
  const fault = new Error('handler');
  let finished = false;
  const call = guard.wrap(() => {
    assert.equal(guard.keep(fault), -1);
    assert.equal(guard.keep(new Error('second')), -1, 'the first one wins');
    finished = true;
    return 0;
  });
  assert.throws(call, (error) => error === fault);
  assert.equal(finished, true);
  assert.equal(guard.wrap(() => 7)(), 7, 'and is thrown once');
});

test('even a thrown undefined is rethrown', () => {
  const guard = new Guard();
  const call = guard.wrap(() => guard.keep(undefined));
  let thrown = false;
  try {
    call();
  } catch (error) {
    thrown = error === undefined;
  }
  assert.equal(thrown, true);
});

test('a nested call leaves the exception to the outer one', () => {
  const guard = new Guard();
  const fault = new Error('inner');
  const inner = guard.wrap(() => guard.keep(fault));
  let innerGave: number | undefined;
  const outer = guard.wrap(() => {
    assert.equal(guard.inside, true);
    innerGave = inner();
    return 0;
  });
  assert.throws(outer, (error) => error === fault);
  assert.equal(innerGave, -1);
  assert.equal(guard.inside, false);
});

test('arguments and results pass through', () => {
  const guard = new Guard();
  const call = guard.wrap((a = 0, b = 0, c = 0, d = 0) => a * 1000 + b * 100 + c * 10 + d);
  assert.equal(call(1, 2, 3, 4), 1234);
});

test('a trap ends the module: the call throws ERR_TOX_CRASHED, and so does every later one', () => {
  const guard = new Guard();
  const trap = new Error('unreachable');
  const dies = guard.wrap(() => {
    throw trap;
  });
  assert.throws(dies, (error) => isCode('ERR_TOX_CRASHED')(error) && (error as TunnelError).cause === trap);
  let called = false;
  const next = guard.wrap(() => {
    called = true;
    return 0;
  });
  assert.throws(next, isCode('ERR_TOX_CRASHED'));
  assert.equal(called, false);
  assert.equal(guard.inside, false);
});

test('after a crash inside a handler nothing is kept: the outer call fails as well', () => {
  const guard = new Guard();
  const dies = guard.wrap(() => {
    throw new Error('unreachable');
  });
  let ranOn = false;
  const outer = guard.wrap(() => {
    // As an import does: keep() receives any exception of a handler.
    try {
      dies();
    } catch (error) {
      guard.keep(error);
    }
    ranOn = true;
    return 0;
  });
  assert.throws(outer, isCode('ERR_TOX_CRASHED'));
  assert.equal(ranOn, false);
});

test('deferred work runs when the outermost call ends, before that call throws', () => {
  const guard = new Guard();
  const order: string[] = [];
  guard.whenOutside(() => order.push('at once'));
  const inner = guard.wrap(() => 0);
  const outer = guard.wrap(() => {
    guard.whenOutside(() => order.push('later'));
    inner();
    order.push('inside');
    return guard.keep(new Error('kept'));
  });
  assert.throws(outer, /kept/);
  assert.deepEqual(order, ['at once', 'inside', 'later']);
  assert.equal(inner(), 0);
  assert.deepEqual(order, ['at once', 'inside', 'later'], 'once');
});

test('C code that calls exit() ends the module and not the process', () => {
  const guard = new Guard();
  const call = guard.wrap(() => wasiImports(guard).proc_exit(1));
  assert.throws(
    call,
    (error) => isCode('ERR_TOX_CRASHED')(error) && /abort\(\) \(code 1\)/.test(String(error)),
  );
  assert.throws(call, isCode('ERR_TOX_CRASHED'));
});
