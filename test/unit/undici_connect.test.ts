import assert from 'node:assert/strict';
import { Duplex, PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { undiciConnect } from '../../src/forward/stream/undici_connect.js';
import type { Endpoint } from '../../src/rules/endpoint.js';

type Result = readonly [error: Error | null, socket: unknown];

describe('the connect of an undici agent', () => {
  test('dials host and port: the protocol’s default port, and IPv6 without brackets', () => {
    const dialled: Endpoint[] = [];
    const connect = undiciConnect((target) => {
      dialled.push(target);
      return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    });
    for (const [protocol, hostname, port] of [
      ['http:', 'intra.lan', ''],
      ['https:', 'intra.lan', ''],
      ['http:', '[::1]', '8080'],
    ] as const) {
      connect({ protocol, hostname, port }, () => assert.fail('nobody has answered'));
    }
    assert.deepEqual(dialled, [
      { host: 'intra.lan', port: 80 },
      { host: 'intra.lan', port: 443 },
      { host: '::1', port: 8080 },
    ]);
  });

  test('returns the stream when it is connected, and never touches it again', () => {
    const stream = new PassThrough();
    const results: Result[] = [];
    undiciConnect(() => stream)({ protocol: 'http:', hostname: 'a', port: '1' }, (...result) =>
      results.push(result),
    );
    assert.deepEqual(results, []);
    stream.emit('connect');
    stream.emit('connect');
    assert.deepEqual(results, [[null, stream]]);
    assert.equal(stream.listenerCount('error') + stream.listenerCount('connect'), 0);
  });

  test('reports why there is none: a failure of the stream, or of the dial itself', async () => {
    const [refused, closed] = [new Error('refused'), new Error('closed')];
    const stream = new PassThrough();
    const results: Result[] = [];
    const take = (...result: Result): void => {
      results.push(result);
    };
    undiciConnect(() => stream)({ protocol: 'http:', hostname: 'a', port: '1' }, take);
    const over = new Promise((resolve) => stream.once('close', resolve));
    stream.destroy(refused);
    await over;
    undiciConnect(() => {
      throw closed;
    })({ protocol: 'http:', hostname: 'a', port: '1' }, take);
    assert.deepEqual(results, [
      [refused, null],
      [closed, null],
    ]);
  });

  test('speaks TLS inside for https, with the requested name', async () => {
    const sent: Buffer[] = [];
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        sent.push(chunk);
        done();
      },
    });
    const result = new Promise<Result>((resolve) => {
      undiciConnect(() => stream)({ protocol: 'https:', hostname: 'secure.lan', port: '' }, (...each) =>
        resolve(each),
      );
    });
    while (sent.length === 0) await new Promise(setImmediate);
    const hello = Buffer.concat(sent);
    assert.equal(hello[0], 22, 'a TLS handshake');
    assert.ok(hello.includes('secure.lan'));
    stream.push('this is no TLS');
    const [error, socket] = await result;
    assert.match(String(error), /SSL|TLS|wrong version/i);
    assert.ok(!(socket instanceof TLSSocket));
  });
});
