import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withDeadline } from '../../src/core/aborting.js';
import { Timer } from '../../src/core/clock.js';
import { TunnelError } from '../../src/core/errors.js';
import { VirtualTimers } from '../support/virtual_timers.js';

describe('Timer', () => {
  test('runs its callback once, and is unset while the callback runs', () => {
    const timers = new VirtualTimers();
    const timer = new Timer(timers);
    const seen: boolean[] = [];
    timer.set(10, () => seen.push(timer.isSet));
    assert.equal(timer.isSet, true);
    timers.advance(9);
    assert.deepEqual(seen, []);
    timers.advance(100);
    assert.deepEqual(seen, [false]);
  });

  test('set again, it drops the pending call', () => {
    const timers = new VirtualTimers();
    const timer = new Timer(timers);
    const seen: string[] = [];
    timer.set(10, () => seen.push('first'));
    timer.set(20, () => seen.push('second'));
    timers.advance(100);
    assert.deepEqual(seen, ['second']);
  });

  test('cleared, it runs nothing', () => {
    const timers = new VirtualTimers();
    const timer = new Timer(timers);
    timer.set(10, () => assert.fail('the callback ran'));
    timer.clear();
    assert.equal(timer.isSet, false);
    timers.advance(100);
  });
});

describe('withDeadline', () => {
  const never = new Promise<never>(() => {});
  const late = new TunnelError('ERR_CONTROL', 'too late');
  const timeout = (timers: VirtualTimers) => ({ ms: 10, timers, error: () => late });

  test('resolves with the result of the work, and leaves no timer and no listener behind', async () => {
    const timers = new VirtualTimers();
    const { signal } = new AbortController();
    assert.equal(await withDeadline(Promise.resolve(7), { signal, timeout: timeout(timers) }), 7);
    assert.equal(timers.running, 0);
  });

  test('rejects with the given error when the time is up', async () => {
    const timers = new VirtualTimers();
    const waiting = withDeadline(never, { timeout: timeout(timers) });
    timers.advance(10);
    await assert.rejects(waiting, late);
  });

  test('rejects with ERR_ABORTED when aborted, before or while it waits', async () => {
    const controller = new AbortController();
    const waiting = withDeadline(never, { signal: controller.signal });
    controller.abort();
    await assert.rejects(waiting, { code: 'ERR_ABORTED' });
    await assert.rejects(withDeadline(never, { signal: controller.signal }), { code: 'ERR_ABORTED' });
  });

  test('ignores work that fails after the deadline', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(withDeadline(Promise.reject(new Error('late')), { signal }), {
      code: 'ERR_ABORTED',
    });
  });
});
