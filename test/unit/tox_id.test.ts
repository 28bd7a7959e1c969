import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TunnelError } from '../../src/core/errors.js';
import { formatToxId, keyAddress, makeToxId, parseToxId, toxIdChecksum } from '../../src/network/tox_id.js';

/** Two public bots, whose IDs toxcore generated. */
const WILD = [
  '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5',
  '76518406F6A9F2217E8DC487CC783C25CC16A15EB36FF32E335A235342C48A39218F515C39A6',
];
const [ID = ''] = WILD;

const ids = fc
  .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 4, maxLength: 4 }))
  .map(([key, nospam]) => makeToxId(key, nospam));

const refuses = (text: string, why: RegExp): void => {
  assert.throws(
    () => parseToxId(text),
    (error) =>
      TunnelError.is(error) &&
      error.code === 'ERR_ADDRESS_INVALID' &&
      !error.remote &&
      why.test(error.message) &&
      !error.message.includes('\n'),
    text,
  );
};

describe('tox id', () => {
  for (const id of WILD) {
    test(`${id.slice(0, 8)}… of toxcore is read and written back`, () => {
      const parsed = parseToxId(id);
      assert.equal(formatToxId(parsed), id);
      assert.equal(Buffer.from(parsed.publicKey).toString('hex').toUpperCase(), id.slice(0, 64));
      assert.equal(Buffer.from(parsed.nospam).toString('hex').toUpperCase(), id.slice(64, 72));
      assert.equal(formatToxId(makeToxId(parsed.publicKey, parsed.nospam)), id);
    });
  }

  test('the checksum folds even and odd positions separately', () => {
    const body = Uint8Array.from({ length: 36 }, (_, at) => at);
    // By hand: 0 to 30 and 1 to 31 cancel out, 32 ^ 34 = 2, 33 ^ 35 = 2.
    assert.deepEqual([...toxIdChecksum(body)], [2, 2]);
    assert.deepEqual([...toxIdChecksum(Uint8Array.of(0xf0, 0x01, 0x0f, 0x10))], [0xff, 0x11]);
  });

  test('an ID reads back in either case and with white space anywhere', () => {
    const layout = fc.tuple(
      ids,
      fc.array(fc.tuple(fc.nat(76), fc.constantFrom(' ', '\r\n', '\t', '\u00a0'))),
      fc.boolean(),
    );
    fc.assert(
      fc.property(layout, ([id, blanks, lower]) => {
        let text = formatToxId(id);
        if (lower) text = text.toLowerCase();
        for (const [at, blank] of blanks) text = text.slice(0, at) + blank + text.slice(at);
        assert.deepEqual(parseToxId(text), id);
      }),
      { numRuns: 300 },
    );
  });

  test('one wrong digit, wherever it is, is detected', () => {
    const slip = fc.tuple(ids, fc.nat(75), fc.integer({ min: 1, max: 15 }));
    fc.assert(
      fc.property(slip, ([id, at, by]) => {
        const digits = formatToxId(id);
        const wrong = ((Number.parseInt(digits[at]!, 16) + by) % 16).toString(16);
        refuses(digits.slice(0, at) + wrong + digits.slice(at + 1), /mistyped/);
      }),
      { numRuns: 300 },
    );
  });

  test('every prefix of an ID is refused with its length', () => {
    for (let length = 0; length < ID.length; length++) {
      refuses(ID.slice(0, length), new RegExp(`this has ${length} digits`));
    }
    refuses(`${ID}0`, /this has 77 digits/);
  });

  test('a foreign character among the digits is named with its position', () => {
    refuses(`${ID.slice(0, 9)}G${ID.slice(10)}`, /"G" at position 10 is no/);
    refuses(`g${ID.slice(1)}`, /"g" at position 1 is no/);
    refuses(`${ID.slice(0, 75)}\u0000`, /U\+0000 at position 76 is no/);
    refuses(`${ID.slice(0, 75)}\u{1f600}`, /U\+1F600 at position 76 is no/);
    refuses(`${ID.slice(0, 75)}\u007f`, /U\+007F at/);
  });

  test('a bare public key is told apart from a Tox ID', () => {
    refuses(ID.slice(0, 64), /a public key has 64/);
    assert.throws(
      () => parseToxId(ID.slice(0, 63)),
      (error) => error instanceof Error && !/public key/.test(error.message),
    );
  });

  test('parts of the wrong size are refused', () => {
    assert.throws(() => makeToxId(new Uint8Array(31), new Uint8Array(4)), RangeError);
    assert.throws(() => makeToxId(new Uint8Array(32), new Uint8Array(5)), RangeError);
  });

  test('the address that stands for a peer begins with its key, and is no address of a network', () => {
    const key = (...bytes: readonly number[]): Uint8Array =>
      Uint8Array.from({ length: 32 }, (_, at) => bytes[at] ?? 0);
    assert.equal(keyAddress(key(0xab, 0xcd, 0, 1, 2)), '2001:2f:abcd:1:200::');
    assert.equal(
      keyAddress(key(...Array.from({ length: 32 }, () => 0xff))),
      '2001:2f:ffff:ffff:ffff:ffff:ffff:ffff',
    );
    assert.equal(isIP(keyAddress(key())), 6);
  });

  test('an ID does not change when its source bytes do', () => {
    const key = new Uint8Array(32);
    const id = makeToxId(key, new Uint8Array(4));
    key.fill(1);
    assert.equal(id.publicKey[0], 0);
  });
});
