import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_FRAME_BYTES } from '../../src/core/limits.js';
import { MAX_PACKET_BYTES } from '../../src/core/packets.js';
import {
  acceptWelcome,
  answerHello,
  type HandshakeOffer,
  helloOf,
  OUR_VERSIONS,
  ourOffer,
  refuseError,
  resumes,
  welcomeOf,
} from '../../src/mux/wire/agreement.js';
import {
  decodeChallenge,
  decodeHello,
  decodeHelloVersions,
  decodeRefuse,
  decodeWelcome,
  encodeChallenge,
  encodeHello,
  encodeRefuse,
  encodeWelcome,
  FIELD_PROOF,
  packetKind,
} from '../../src/mux/wire/handshake.js';
import { toldLimits, withLimits } from '../../src/mux/wire/told_limits.js';

const protocol = readFileSync(new URL('../../docs/reference/protocol.md', import.meta.url), 'utf8');
const bytesOf = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const C0 = 'c0'.repeat(16);
const A0 = 'a0'.repeat(16);
const c0 = new Uint8Array(16).fill(0xc0);
const a0 = new Uint8Array(16).fill(0xa0);
const ours = { lowest: 2, highest: 2 };
const none = new Map<number, Uint8Array>();

const plainHello = { versions: ours, session: c0, frameBytes: 1344, features: 0, fields: none };
const fullHello = {
  versions: { lowest: 2, highest: 3 },
  session: c0,
  frameBytes: 1024,
  features: 5,
  fields: new Map([[FIELD_PROOF, Uint8Array.from(Buffer.from('proof'))]]),
};
const welcome = {
  version: 2,
  connectorSession: c0,
  session: a0,
  frameBytes: 1344,
  features: 0,
  fields: none,
};
const challenge = { connectorSession: c0, session: a0, fields: none };
const refuse = { versions: ours, reason: 'not-allowed', text: 'no' } as const;

const HELLO = `b7 01 0002 0002 ${C0} 0540 00000000`;
const FULL_HELLO = `b7 01 0002 0003 ${C0} 0400 00000005 01 0005 70726f6f66`;
const WELCOME = `b7 02 0002 ${C0} ${A0} 0540 00000000`;
const CHALLENGE = `b7 04 ${C0} ${A0}`;
const REFUSE = 'b7 03 0002 0002 0005 6e6f';

describe('handshake', () => {
  for (const [name, bytes, encoded, decode, value] of [
    ['hello', HELLO, encodeHello(plainHello), decodeHello, plainHello],
    ['hello with a field', FULL_HELLO, encodeHello(fullHello), decodeHello, fullHello],
    ['welcome', WELCOME, encodeWelcome(welcome), decodeWelcome, welcome],
    ['challenge', CHALLENGE, encodeChallenge(challenge), decodeChallenge, challenge],
    ['refuse', REFUSE, encodeRefuse(refuse), decodeRefuse, refuse],
  ] as const) {
    test(`${name} is ${bytes} in the code and in docs/reference/protocol.md`, () => {
      assert.equal(hexOf(encoded), bytes.replaceAll(' ', ''));
      assert.deepEqual(decode(Uint8Array.from(bytesOf(bytes))), value);
      assert.ok(protocol.includes(`| \`${bytes}\` |`), 'not in docs/reference/protocol.md');
    });
  }

  for (const [name, bytes, decode, whole] of [
    ['hello', HELLO, decodeHello, []],
    ['hello with a field', FULL_HELLO, decodeHello, [28]],
    ['welcome', WELCOME, decodeWelcome, []],
    ['challenge', CHALLENGE, decodeChallenge, []],
    ['refuse', REFUSE, decodeRefuse, [8, 9]],
  ] as const) {
    test(`${name} truncated anywhere is refused, and blamed on the peer`, () => {
      const packet = bytesOf(bytes);
      for (let length = 0; length < packet.length; length++) {
        const cut = packet.subarray(0, length);
        if ((whole as readonly number[]).includes(length)) decode(cut);
        else assert.throws(() => decode(cut), peerSentNonsense, `${length} bytes`);
      }
    });
  }

  for (const [why, decode, bytes] of [
    ['another packet id', decodeHello, HELLO.replace('b7', 'b6')],
    ['another kind', decodeHello, HELLO.replace('b7 01', 'b7 02')],
    ['version 0', decodeHello, HELLO.replace('0002 0002', '0000 0002')],
    ['versions in the wrong order', decodeHello, HELLO.replace('0002 0002', '0002 0001')],
    ['a nil session', decodeHello, HELLO.replace(C0, '00'.repeat(16))],
    ['a nil session in a welcome', decodeWelcome, WELCOME.replace(A0, '00'.repeat(16))],
    ['a nil session in a challenge', decodeChallenge, CHALLENGE.replace(A0, '00'.repeat(16))],
    ['the same field twice', decodeHello, `${HELLO} 07 0001 00 07 0000`],
    ['a field longer than the packet', decodeHello, `${HELLO} 07 0003 0000`],
    [
      'a packet longer than toxcore sends',
      decodeHello,
      `${HELLO} 07 ${(1374 - 31).toString(16).padStart(4, '0')} ${'00'.repeat(1374 - 31)}`,
    ],
    ['a refuse with 256 bytes of text', decodeRefuse, `b7 03 0002 0002 0005 ${'61'.repeat(256)}`],
    ['a refuse that is not UTF-8', decodeRefuse, 'b7 03 0002 0002 0005 ff'],
  ] as const) {
    test(`${why} is refused`, () => {
      assert.throws(() => decode(bytesOf(bytes)), peerSentNonsense);
    });
  }

  test('unknown fields are skipped', () => {
    const { fields } = decodeHello(bytesOf(`${HELLO} 07 0001 aa ff 0000`));
    assert.deepEqual([...fields.keys()], [7, 255]);
  });

  test('a handshake that fits no packet is refused before it is sent', () => {
    const room = MAX_PACKET_BYTES - 28 - 3;
    assert.equal(
      encodeHello({ ...plainHello, fields: new Map([[9, new Uint8Array(room)]]) }).length,
      MAX_PACKET_BYTES,
    );
    assert.throws(
      () => encodeHello({ ...plainHello, fields: new Map([[9, new Uint8Array(room + 1)]]) }),
      RangeError,
    );
  });

  test('the text of a refuse is cut to 255 bytes, and cannot control a terminal', () => {
    assert.equal(encodeRefuse({ ...refuse, text: 'a'.repeat(300) }).length, 8 + 255);
    assert.equal(decodeRefuse(bytesOf('b7 03 0002 0002 0005 1b')).text, '\ufffd');
  });

  test('a foreign packet has no kind', () => {
    assert.equal(packetKind(bytesOf('b704')), 4);
    assert.equal(packetKind(bytesOf('b604')), undefined);
    assert.equal(packetKind(bytesOf('b7')), undefined);
    assert.equal(packetKind(bytesOf('')), undefined);
  });
});

describe('agreement', () => {
  const connector: HandshakeOffer = ourOffer(c0);
  const listener: HandshakeOffer = ourOffer(a0);

  test('two ends of this version agree on version 2 and the largest frame we offer', () => {
    const answer = answerHello(listener, encodeHello(helloOf(connector)));
    assert.ok(answer.kind === 'agreed');
    const { agreement } = answer;
    assert.equal(agreement.version, 2);
    assert.equal(agreement.frameBytes, MAX_FRAME_BYTES);
    assert.deepEqual([hexOf(agreement.ourSession), hexOf(agreement.theirSession)], [A0, C0]);
    const got = acceptWelcome(connector, encodeWelcome(welcomeOf(listener, agreement)));
    assert.ok(got !== undefined);
    assert.equal(got.version, 2);
    assert.equal(got.frameBytes, MAX_FRAME_BYTES);
    assert.deepEqual([hexOf(got.ourSession), hexOf(got.theirSession)], [C0, A0]);
  });

  test('the highest common version is used', () => {
    const hello = encodeHello(helloOf({ ...connector, versions: { lowest: 2, highest: 7 } }));
    const answer = answerHello({ ...listener, versions: { lowest: 1, highest: 5 } }, hello);
    assert.equal(answer.kind === 'agreed' && answer.agreement.version, 5);
  });

  test('without a common version the hello is refused, and the text names the versions of both', () => {
    for (const [versions, advice] of [
      [{ lowest: 1, highest: 1 }, 'update tox-wasm-tunnel at your end'],
      [{ lowest: 3, highest: 4 }, 'tox-wasm-tunnel must be updated at this end'],
    ] as const) {
      const packet = encodeHello(helloOf({ ...connector, versions }));
      const answer = answerHello(listener, packet);
      assert.ok(answer.kind === 'refused');
      assert.equal(answer.refuse.reason, 'version');
      assert.match(
        answer.refuse.text,
        new RegExp(`${versions.highest}, this end speaks version 2: ${advice}$`),
      );
      assert.deepEqual(answer.refuse.versions, OUR_VERSIONS);
    }
  });

  test('a version that we no longer support is refused', () => {
    const old = encodeHello(helloOf({ ...connector, versions: { lowest: 1, highest: 2 } }));
    const answer = answerHello({ ...listener, versions: { lowest: 3, highest: 4 } }, old);
    assert.equal(answer.kind === 'refused' && answer.refuse.reason, 'version');
  });

  test('a hello of a later version, whatever follows its versions, is refused for its version', () => {
    const packet = bytesOf('b7 01 0003 0004 ff');
    assert.deepEqual(decodeHelloVersions(packet), { lowest: 3, highest: 4 });
    const answer = answerHello(listener, packet);
    assert.equal(answer.kind === 'refused' && answer.refuse.reason, 'version');
  });

  test('a hello of random bytes is refused as a protocol error', () => {
    for (const packet of ['b701', 'b701 0002 0002', '', 'b7 01 0000 0000']) {
      const answer = answerHello(listener, bytesOf(packet));
      assert.equal(answer.kind === 'refused' && answer.refuse.reason, 'protocol-error');
    }
  });

  test('the smaller of the two maximum frames is used, down to 1024', () => {
    const small = encodeHello(helloOf({ ...connector, frameBytes: 1024 }));
    const answer = answerHello(listener, small);
    assert.equal(answer.kind === 'agreed' && answer.agreement.frameBytes, 1024);
    const large = answerHello(listener, encodeHello(helloOf({ ...connector, frameBytes: 65_535 })));
    assert.equal(large.kind === 'agreed' && large.agreement.frameBytes, MAX_FRAME_BYTES);
    const refused = answerHello(listener, encodeHello(helloOf({ ...connector, frameBytes: 1023 })));
    assert.equal(refused.kind === 'refused' && refused.refuse.reason, 'protocol-error');
    assert.throws(
      () => acceptWelcome(connector, encodeWelcome({ ...welcome, frameBytes: 1023 })),
      peerSentNonsense,
    );
  });

  test('only features that both set are active', () => {
    const hello = encodeHello(helloOf({ ...connector, features: 0x8000_0005 }));
    const answer = answerHello({ ...listener, features: 0x8000_0006 }, hello);
    assert.equal(answer.kind === 'agreed' && answer.agreement.features, 0x8000_0004);
  });

  test('a welcome in a version that was not offered is refused', () => {
    for (const version of [0, 3]) {
      assert.throws(() => acceptWelcome(connector, encodeWelcome({ ...welcome, version })), peerSentNonsense);
    }
  });

  test('a welcome for another session of ours is late, and ignored', () => {
    assert.equal(acceptWelcome(connector, encodeWelcome({ ...welcome, connectorSession: a0 })), undefined);
  });

  test('the same pair of sessions resumes; another session at either end does not', () => {
    const before = acceptWelcome(connector, bytesOf(WELCOME));
    assert.ok(before !== undefined);
    assert.ok(resumes(before, { ...before }));
    assert.ok(!resumes(before, { ...before, theirSession: c0 }));
    assert.ok(!resumes(before, { ...before, ourSession: a0 }));
  });

  test('fields that the other end added are passed on', () => {
    const proof = new Map([[FIELD_PROOF, Uint8Array.of(1, 2)]]);
    const answer = answerHello(listener, encodeHello(helloOf(connector, proof)));
    assert.ok(answer.kind === 'agreed');
    assert.deepEqual(answer.agreement.fields, proof);
    const back = acceptWelcome(connector, encodeWelcome(welcomeOf(listener, answer.agreement, proof)));
    assert.deepEqual(back?.fields, proof);
  });

  test('the error for a refuse names the reason, the text and the versions', () => {
    const error = refuseError(decodeRefuse(bytesOf(REFUSE)));
    assert.equal(error.code, 'ERR_HANDSHAKE_REFUSED');
    assert.ok(error.remote);
    assert.match(error.message, /do not allow it \(it says: no\); it speaks version 2/);
  });
});

function peerSentNonsense(error: unknown): boolean {
  return TunnelError.is(error) && error.code === 'ERR_HANDSHAKE_INVALID' && error.remote;
}

describe('told limits', () => {
  const proof = new Map([[1, Uint8Array.of(7)]]);

  test('travel next to the other fields, and read back as written', () => {
    const fields = withLimits(proof, { streams: 50, opensPerSecond: 2000 });
    assert.deepEqual(
      [...fields].map(([type, value]) => [type, Buffer.from(value).toString('hex')]),
      [
        [1, '07'],
        [2, '00000032000007d0'],
      ],
    );
    assert.deepEqual(toldLimits(fields), { streams: 50, opensPerSecond: 2000 });
    assert.equal(toldLimits(proof), undefined);
  });

  test('of a later version may be longer; a truncated field and a limit of 0 are invalid', () => {
    const told = (hex: string) => toldLimits(new Map([[2, Buffer.from(hex, 'hex')]]));
    assert.deepEqual(told('0000000100000002ffff'), { streams: 1, opensPerSecond: 2 });
    for (const hex of ['', '00000001000000', '0000000000000001', '0000000100000000'])
      assert.throws(() => told(hex), { code: 'ERR_HANDSHAKE_INVALID' }, hex);
  });
});
