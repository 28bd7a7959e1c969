import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TunnelError } from '../../src/core/errors.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { ending } from '../support/loopback.js';
import { Target } from '../support/target.js';

/** A request that records how it was refused. */
function request(host: string, port: number, accept: OpenRequest['accept']) {
  const refusals: string[] = [];
  const asked: OpenRequest = {
    target: { kind: 'tcp', host, port },
    idBytes: new Uint8Array(16),
    opener: { open: unexpected },
    isCancelled: false,
    onCancelled: undefined,
    accept,
    refuse: (reason) => void refusals.push(reason),
  };
  return { asked, refusals };
}

const unexpected = (): never => assert.fail('nothing was to be accepted');

function bench(resolve?: () => Promise<readonly string[]>) {
  const lines: string[] = [];
  const server = new TargetServer({
    peer: 'p',
    rules: new AllowRules([LOOPBACK_ONLY, parseExposeSpec('a.example:*')]),
    logger: { log: (level, message) => lines.push(`${level} ${message}`) },
    ...(resolve === undefined ? {} : { resolve }),
  });
  return { server, lines };
}

test('a server that closes cancels its dials, and refuses new requests', async () => {
  const { server } = bench(() => new Promise(() => {}));
  const dialled = request('a.example', 80, unexpected);
  server.handle(dialled.asked);
  await turn();
  assert.deepEqual(dialled.refusals, []);
  server.close();
  await turn();
  assert.deepEqual(dialled.refusals, ['cancelled']);
  const late = request('localhost', 80, unexpected);
  server.handle(late.asked);
  assert.deepEqual(late.refusals, ['peer-shutdown']);
});

test('a request withdrawn just as its target answers resets the target, and is not an error', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { server, lines } = bench();
  const { asked, refusals } = request('127.0.0.1', target.port, () => {
    throw new TunnelError('ERR_STREAM_RESET', 'withdrawn', { remote: true });
  });
  server.handle(asked);
  const socket = (await target.connection()).resume();
  assert.equal(await ending(socket), 'ECONNRESET');
  assert.deepEqual(refusals, []);
  assert.ok(lines.includes('debug cannot answer a request from the peer'));
  assert.ok(lines.every((line) => line.startsWith('debug ')));
  assert.equal(server.counts.opened, 0);
});
