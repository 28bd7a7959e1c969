import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sodium from 'libsodium-wrappers';
import { parseToxId } from '../../src/network/tox_id.js';
import {
  createIdentity,
  formatIdentity,
  parseIdentity,
  publicKeyOf,
  toxIdOf,
} from '../../src/state/identity.js';
import { failsWith } from '../support/fails_with.js';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('identity', () => {
  test('the public key matches RFC 7748, section 6.1', () => {
    const alice = bytes('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
    assert.equal(
      Buffer.from(publicKeyOf(alice)).toString('hex'),
      '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
    );
  });

  test('the public key matches that of libsodium', async () => {
    await sodium.ready;
    for (let round = 0; round < 20; round++) {
      const { secretKey } = createIdentity();
      assert.deepEqual(publicKeyOf(secretKey), sodium.crypto_scalarmult_base(secretKey));
    }
  });

  test('an identity survives being written as text, in either case', () => {
    const golden = 'twk177076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a01020304bedd';
    const alice = parseIdentity(` ${golden.toUpperCase()}\n`);
    assert.equal(formatIdentity(alice), golden);
    assert.deepEqual(alice.nospam, Uint8Array.of(1, 2, 3, 4));
    for (let round = 0; round < 20; round++) {
      const identity = createIdentity();
      const read = parseIdentity(formatIdentity(identity));
      assert.deepEqual([read.secretKey, read.nospam], [identity.secretKey, identity.nospam]);
    }
  });

  test('a damaged text of an identity is refused, and the error does not repeat it', () => {
    const good = formatIdentity(createIdentity());
    const wrong = [
      ['', /does not begin with twk1/],
      ['twt1abc', /does not begin with twk1/],
      [good.slice(0, -1), /has 79 characters, not 80/],
      [`${good}0`, /has 81 characters, not 80/],
      [`${good.slice(0, 20)}g${good.slice(21)}`, /not hexadecimal digits/],
      [good.slice(0, -1) + (good.endsWith('0') ? '1' : '0'), /checksum does not match/],
      [`${good.slice(0, 72)}${good[72] === '0' ? '1' : '0'}${good.slice(73)}`, /checksum does not match/],
    ] as const;
    for (const [text, why] of wrong)
      assert.throws(
        () => parseIdentity(text),
        (error: Error) =>
          failsWith('ERR_IDENTITY_INVALID', why)(error) && !error.message.includes(good.slice(4, 20)),
      );
  });

  test('two identities differ in key and nospam', () => {
    const [one, other] = [createIdentity(), createIdentity()];
    assert.notDeepEqual(one.secretKey, other.secretKey);
    assert.notDeepEqual(one.nospam, other.nospam);
    assert.equal(one.secretKey.length, 32);
    assert.equal(one.nospam.length, 4);
  });

  test('the Tox ID holds the public key and the nospam, not the secret key', () => {
    const identity = createIdentity();
    const id = parseToxId(toxIdOf(identity));
    assert.deepEqual(id.publicKey, publicKeyOf(identity.secretKey));
    assert.deepEqual(id.nospam, identity.nospam);
  });

  test('a secret key of another length is refused', () => {
    assert.throws(() => publicKeyOf(new Uint8Array(31)), RangeError);
    assert.throws(() => publicKeyOf(new Uint8Array(33)), RangeError);
  });
});
