import assert from 'node:assert/strict';
import test from 'node:test';
import { answerCalls, remoteApi, unpack } from '../../src/bridge/calls.js';
import { TunnelError } from '../../src/core/errors.js';

interface Api {
  add(left: number, right: number): number;
  reject(): never;
  crash(): never;
}

function bench() {
  const faults: unknown[] = [];
  const calls: string[] = [];
  const api: Api = {
    add: (left, right) => left + right,
    reject: () => {
      throw new TunnelError('ERR_LIMIT', 'too many');
    },
    crash: () => {
      throw new TypeError('a bug');
    },
  };
  const answer = answerCalls(api, (error) => faults.push(error));
  const remote = remoteApi<Api>(async (method, args) => {
    calls.push(method);
    return unpack(structuredClone(await answer(method, args)));
  });
  return { remote, calls, faults };
}

test('a call returns the value or throws the TunnelError of the other thread', async () => {
  const { remote, faults } = bench();
  assert.equal(await remote.add(2, 3), 5);
  await assert.rejects(remote.reject(), { code: 'ERR_LIMIT', message: /too many/ });
  assert.deepEqual(faults, []);
});

test('an unintended error is a fault there, and ERR_WORKER_DIED here', async () => {
  const { remote, faults } = bench();
  await assert.rejects(remote.crash(), { code: 'ERR_WORKER_DIED', message: /a bug/ });
  assert.match(String(faults), /^TypeError: a bug$/);
});

test('code that awaits, serializes or shows the remote API calls no method of it', async () => {
  const { remote, calls } = bench();
  assert.equal(await Promise.resolve(remote), remote);
  assert.equal(JSON.stringify({ remote }), '{"remote":{}}');
  assert.deepEqual({ ...remote }, {});
  assert.deepEqual(calls, []);
});
