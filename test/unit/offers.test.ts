import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Offers } from '../../src/forward/stream/offers.js';
import { AllowRules, LOOPBACK_ONLY } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { failsWith } from '../support/fails_with.js';

describe('offers', () => {
  test('are found by name and port, in any spelling of the name, and by nothing else', () => {
    const offers = new Offers([
      { host: 'Web.Ours', port: 80 },
      { host: 'shell', port: 1, allowHalfOpen: true },
    ]);
    assert.deepEqual(offers.find({ host: 'web.OURS.', port: 80 }), { host: 'web.ours', port: 80 });
    assert.deepEqual(offers.find({ host: 'shell', port: 1 }), {
      host: 'shell',
      port: 1,
      allowHalfOpen: true,
    });
    for (const [host, port] of [
      ['web.ours', 81],
      ['ours', 80],
      ['127.0.0.1', 80],
      ['web ours', 80],
    ] as const) {
      assert.equal(offers.find({ host, port }), undefined, host);
    }
    assert.equal(new Offers().find({ host: 'web', port: 80 }), undefined);
  });

  test('have their own names: not an address, not localhost, and with a port', () => {
    for (const [host, port] of [
      ['10.0.0.7', 80],
      ['::1', 80],
      ['LocalHost.', 80],
      ['', 80],
      ['web', 0],
      ['web', 65_536],
      ['web', 1.5],
    ] as const) {
      assert.throws(
        () => new Offers([{ host, port }]),
        failsWith('ERR_ADDRESS_INVALID', /cannot be offered: /),
        `${host} ${port}`,
      );
    }
  });

  test('are open by their own rules, by rules that name them, and by *, and by no others', () => {
    const { rules } = new Offers([{ host: 'web', port: 80 }]);
    const opens = (...texts: string[]): boolean =>
      new AllowRules(texts.map(parseExposeSpec)).permitsName('web', 80);
    assert.ok(new AllowRules(rules).permitsName('web', 80));
    assert.ok(opens('22', 'web:80'));
    assert.ok(opens('web:1-100'));
    assert.ok(opens('*:80'));
    for (const text of ['80', 'web:81', 'other:80', '127.0.0.0/8:*', '/run/web.sock', '*:81']) {
      assert.equal(opens(text), false, text);
    }
    assert.equal(new AllowRules([LOOPBACK_ONLY]).permitsName('web', 80), false);
  });
});
