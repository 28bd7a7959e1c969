import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sodium from 'libsodium-wrappers';
import { parseToxId } from '../../src/network/tox_id.js';
import { createIdentity, publicKeyOf, toxIdOf } from '../../src/state/identity.js';

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
