import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createResolver } from '../../src/worker/net/resolve.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const found = (...addresses: string[]) => Promise.resolve(addresses.map((address) => ({ address })));

test('a numeric address needs no look-up', async () => {
  const resolver = createResolver(new VirtualTimers(), () => assert.fail('asked'));
  assert.deepEqual(await resolver.resolve('192.0.2.1'), ['192.0.2.1']);
  assert.deepEqual(await resolver.resolve('2001:db8::1'), ['2001:db8::1']);
});

test('a name gives its addresses of both families, each once and at most four', async () => {
  const timers = new VirtualTimers();
  const two = createResolver(timers, () => found('192.0.2.1', '2001:db8::1', '192.0.2.1'));
  assert.deepEqual(await two.resolve('a.example'), ['192.0.2.1', '2001:db8::1']);
  const six = createResolver(timers, () => found('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'));
  assert.equal((await six.resolve('a.example')).length, 4);
  assert.equal(timers.running, 0);
});

test('a name that is not found is reported with the reason', async () => {
  const timers = new VirtualTimers();
  const resolver = createResolver(timers, () => Promise.reject(new Error('ENOTFOUND')));
  await assert.rejects(resolver.resolve('a.example'), /a\.example.*ENOTFOUND/);
  assert.equal(timers.running, 0);
  await assert.rejects(
    createResolver(timers, () => found()).resolve('b.example'),
    /b\.example has no address/,
  );
});

test('the wait for a silent name server is limited', async () => {
  const timers = new VirtualTimers();
  const resolver = createResolver(timers, () => new Promise(() => {}), 700);
  let outcome = 'waiting';
  const done = resolver.resolve('a.example').catch((error: unknown) => {
    outcome = String(error);
  });
  timers.advance(699);
  await Promise.resolve();
  assert.equal(outcome, 'waiting');
  timers.advance(1);
  await done;
  assert.match(outcome, /a\.example was not found within 700 ms/);
});

test('concurrent look-ups of a name share one query, and later ones ask again', async () => {
  const timers = new VirtualTimers();
  const asked: string[] = [];
  const answers: ((found: readonly { readonly address: string }[]) => void)[] = [];
  const resolver = createResolver(timers, (name) => {
    asked.push(name);
    return new Promise((resolve) => answers.push(resolve));
  });
  const late = resolver.resolve('a.example');
  timers.advance(5000);
  await assert.rejects(late, /a\.example was not found within 5000 ms/);
  const again = [resolver.resolve('a.example'), resolver.resolve('a.example')];
  void resolver.resolve('b.example').catch(() => {});
  assert.deepEqual(asked, ['a.example', 'b.example']);
  answers[0]?.([{ address: '192.0.2.1' }]);
  assert.deepEqual(await Promise.all(again), [['192.0.2.1'], ['192.0.2.1']]);
  void resolver.resolve('a.example').catch(() => {});
  assert.deepEqual(asked, ['a.example', 'b.example', 'a.example']);
  timers.advance(5000);
});
