import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { Guard } from '../../src/worker/tox/guard.js';
import { wasiImports } from '../../src/worker/tox/imports.js';

const isCode = (code: string) => (error: unknown) => TunnelError.is(error) && error.code === code;

/** Calls an import that throws. */
function throwing(guard: Guard, error: unknown): number {
  const call = guard.wrapImport(() => {
    throw error;
  });
  return Number(call(0, 0, 0, 0));
}

test('an exception of an import leaves the call unchanged, after the call has done its work', () => {
  const guard = new Guard();
  const fault = new Error('handler');
  let finished = false;
  const call = guard.wrapExport(() => {
    assert.equal(throwing(guard, fault), -1);
    assert.equal(throwing(guard, new Error('second')), -1, 'the first one wins');
    finished = true;
    return 0;
  });
  assert.throws(call, (error) => error === fault);
  assert.equal(finished, true);
  assert.equal(guard.wrapExport(() => 7)(), 7, 'and is thrown once');
});

test('even a thrown undefined is rethrown', () => {
  const guard = new Guard();
  const call = guard.wrapExport(() => throwing(guard, undefined));
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
  const inner = guard.wrapExport(() => throwing(guard, fault));
  let innerGave: number | undefined;
  const outer = guard.wrapExport(() => {
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
  const call = guard.wrapExport((a = 0, b = 0, c = 0, d = 0) => a * 1000 + b * 100 + c * 10 + d);
  assert.equal(call(1, 2, 3, 4), 1234);
});

test('a wrapped import passes arguments and results through, and returns the given value when it fails', () => {
  const guard = new Guard();
  const add = guard.wrapImport((a, b, c, d) => a * 1000 + b * 100 + c * 10 + d);
  assert.equal(add(1, 2, 3, 4), 1234);
  const fault = new Error('no length');
  const length = guard.wrapImport(() => {
    throw fault;
  }, 0);
  let given: unknown;
  const call = guard.wrapExport(() => {
    given = length(0, 0, 0, 0);
    return 0;
  });
  assert.throws(call, (error) => error === fault);
  assert.equal(given, 0);
});

test('a vital import ends the module when it throws', () => {
  const guard = new Guard();
  const fault = new Error('no entropy');
  const random = guard.wrapVitalImport(() => {
    throw fault;
  });
  const call = guard.wrapExport(() => Number(random(0, 0, 0, 0)));
  assert.throws(call, (error) => isCode('ERR_TOX_CRASHED')(error) && (error as TunnelError).cause === fault);
  assert.throws(
    guard.wrapExport(() => 0),
    isCode('ERR_TOX_CRASHED'),
  );
  assert.equal(guard.wrapVitalImport((a, b) => a + b)(3, 4, 0, 0), 7);
});

test('a trap ends the module: the call throws ERR_TOX_CRASHED, and so does every later one', () => {
  const guard = new Guard();
  const trap = new Error('unreachable');
  const dies = guard.wrapExport(() => {
    throw trap;
  });
  assert.throws(dies, (error) => isCode('ERR_TOX_CRASHED')(error) && (error as TunnelError).cause === trap);
  let called = false;
  const next = guard.wrapExport(() => {
    called = true;
    return 0;
  });
  assert.throws(next, isCode('ERR_TOX_CRASHED'));
  assert.equal(called, false);
  assert.equal(guard.inside, false);
});

test('after a crash inside a handler nothing is kept: the outer call fails as well', () => {
  const guard = new Guard();
  const dies = guard.wrapExport(() => {
    throw new Error('unreachable');
  });
  let ranOn = false;
  const outer = guard.wrapExport(() => {
    guard.wrapImport(() => dies())(0, 0, 0, 0);
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
  const inner = guard.wrapExport(() => 0);
  const outer = guard.wrapExport(() => {
    guard.whenOutside(() => order.push('later'));
    inner();
    order.push('inside');
    return throwing(guard, new Error('kept'));
  });
  assert.throws(outer, /kept/);
  assert.deepEqual(order, ['at once', 'inside', 'later']);
  assert.equal(inner(), 0);
  assert.deepEqual(order, ['at once', 'inside', 'later'], 'once');
});

test('C code that calls exit() ends the module and not the process', () => {
  const guard = new Guard();
  const call = guard.wrapExport(() => wasiImports(guard).proc_exit(1));
  assert.throws(
    call,
    (error) => isCode('ERR_TOX_CRASHED')(error) && /abort\(\) \(code 1\)/.test(String(error)),
  );
  assert.throws(call, isCode('ERR_TOX_CRASHED'));
});
