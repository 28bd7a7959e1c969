import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { TunnelError } from '../../src/core/errors.js';
import { MAX_FRAME_BYTES } from '../../src/core/limits.js';
import { MAX_PACKET_BYTES } from '../../src/core/packets.js';
import { encodeText, printable, readU16, readU32, readU64, writeU64 } from '../../src/mux/wire/codec.js';
import * as frame from '../../src/mux/wire/frame.js';
import { REASONS, reasonNumber, reasonOf } from '../../src/mux/wire/reasons.js';
import { idText, isIdAt, isNilAt, newId } from '../../src/mux/wire/stream_id.js';
import { decodeTarget, encodeTarget, type Target } from '../../src/mux/wire/target.js';

const protocol = readFileSync(new URL('../../docs/reference/protocol.md', import.meta.url), 'utf8');
const bytesOf = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const id = bytesOf('00112233445546778899aabbccddeeff');
const token = bytesOf('0102030405060708');
const ID = '00112233445546778899aabbccddeeff';
const NIL = '00000000000000000000000000000000';

function written(bytes: number, write: (out: Uint8Array) => void): Uint8Array {
  // The earlier content of the slot must not show through.
  const out = new Uint8Array(bytes).fill(0xee);
  write(out);
  return out;
}

const target = encodeTarget({ kind: 'tcp', host: 'localhost', port: 22 });
const no = encodeText('no');
const bye = encodeText('bye');

const kinds = [
  ['a UNIX socket', `02 05 2f612f2062`, { kind: 'path', path: '/a/ b' }],
  ['a port to open', `03 0000 09 6c6f63616c686f7374`, { kind: 'listen', host: 'localhost', port: 0 }],
  [
    'an accepted connection',
    `04 ${ID} 9c40 08 31302e302e302e37`,
    { kind: 'accepted', listener: id, host: '10.0.0.7', port: 40_000 },
  ],
  ['datagrams', `05 0035 07 646e732e6c616e`, { kind: 'udp', host: 'dns.lan', port: 53 }],
] as const;

const vectors: ReadonlyArray<{
  name: string;
  bytes: string;
  frame: Uint8Array;
  read(f: Uint8Array): unknown;
  says: unknown;
}> = [
  {
    name: 'OPEN',
    bytes: `01 ${ID} 0000000000040000 01 0016 09 6c6f63616c686f7374`,
    frame: written(frame.openBytes(target), (out) => frame.writeOpen(out, id, 262_144, target)),
    read: frame.readOpen,
    says: { creditOffset: 262_144, target: { kind: 'tcp', host: 'localhost', port: 22 } },
  },
  ...kinds.map(([name, bytes, asked]) => {
    const told = encodeTarget(asked);
    return {
      name: `OPEN for ${name}`,
      bytes: `01 ${ID} 0000000000040000 ${bytes}`,
      frame: written(frame.openBytes(told), (out) => frame.writeOpen(out, id, 262_144, told)),
      read: frame.readOpen,
      says: { creditOffset: 262_144, target: asked },
    };
  }),
  {
    name: 'OPENED',
    bytes: `02 ${ID} 0000000000040000`,
    frame: written(25, (out) => frame.writeOffsetFrame(out, frame.OPENED, id, 262_144)),
    read: frame.readOffset,
    says: 262_144,
  },
  {
    name: 'REFUSED',
    bytes: `03 ${ID} 0001 6e6f`,
    frame: written(frame.refusedBytes(no), (out) => frame.writeRefused(out, id, 'refused', no)),
    read: frame.readRefused,
    says: { reason: 'refused', text: 'no' },
  },
  {
    name: 'DATA',
    bytes: `04 ${ID} 0000000100000002 6869`,
    frame: written(27, (out) => {
      frame.writeOffsetFrame(out, frame.DATA, id, 4_294_967_298);
      out.set(Buffer.from('hi'), frame.DATA_HEADER_BYTES);
    }),
    read: frame.readDataOffset,
    says: 4_294_967_298,
  },
  {
    name: 'END',
    bytes: `05 ${ID} 0000000100000004`,
    frame: written(25, (out) => frame.writeOffsetFrame(out, frame.END, id, 4_294_967_300)),
    read: frame.readOffset,
    says: 4_294_967_300,
  },
  {
    name: 'CREDIT',
    bytes: `06 ${ID} 001fffffffffffff`,
    frame: written(25, (out) => frame.writeOffsetFrame(out, frame.CREDIT, id, Number.MAX_SAFE_INTEGER)),
    read: frame.readOffset,
    says: Number.MAX_SAFE_INTEGER,
  },
  {
    name: 'GIVE_BACK',
    bytes: `09 ${ID} 0000000100000006`,
    frame: written(25, (out) => frame.writeOffsetFrame(out, frame.GIVE_BACK, id, 4_294_967_302)),
    read: frame.readOffset,
    says: 4_294_967_302,
  },
  {
    name: 'RESET',
    bytes: `07 ${ID} 0007`,
    frame: written(frame.RESET_BYTES, (out) => frame.writeReset(out, id, 'reset')),
    read: frame.readReset,
    says: 'reset',
  },
  {
    name: 'DATAGRAM',
    bytes: `08 ${ID} 00000007 00 01 6869`,
    frame: written(25, (out) => {
      frame.writeDatagramHeader(out, id, { number: 7, part: 0, parts: 1 });
      out.set(Buffer.from('hi'), frame.DATAGRAM_HEADER_BYTES);
    }),
    read: frame.readDatagramPart,
    says: { number: 7, part: 0, parts: 1 },
  },
  {
    name: 'DATAGRAM in parts',
    bytes: `08 ${ID} ffffffff 02 03 6869`,
    frame: written(25, (out) => {
      frame.writeDatagramHeader(out, id, { number: 0xffff_ffff, part: 2, parts: 3 });
      out.set(Buffer.from('hi'), frame.DATAGRAM_HEADER_BYTES);
    }),
    read: frame.readDatagramPart,
    says: { number: 0xffff_ffff, part: 2, parts: 3 },
  },
  {
    name: 'PING',
    bytes: `10 ${NIL} 0102030405060708`,
    frame: written(frame.TOKEN_FRAME_BYTES, (out) => frame.writeTokenFrame(out, frame.PING, token)),
    read: frame.checkTokenFrame,
    says: undefined,
  },
  {
    name: 'PONG',
    bytes: `11 ${NIL} 0102030405060708`,
    frame: written(frame.TOKEN_FRAME_BYTES, (out) => frame.writeTokenFrame(out, frame.PONG, token)),
    read: frame.checkTokenFrame,
    says: undefined,
  },
  {
    name: 'BYE',
    bytes: `12 ${NIL} 000a 0000000000000003 627965`,
    frame: written(frame.byeBytes(bye), (out) => frame.writeBye(out, 'peer-shutdown', 3, bye)),
    read: frame.readBye,
    says: { reason: 'peer-shutdown', framesBefore: 3, text: 'bye' },
  },
];

describe('frame', () => {
  for (const { name, bytes, frame: built, read, says } of vectors) {
    test(`${name} is ${bytes} in the code and in docs/reference/protocol.md`, () => {
      assert.equal(Buffer.from(built).toString('hex'), bytes.replaceAll(' ', ''));
      assert.deepEqual(read(bytesOf(bytes)), says);
      assert.ok(protocol.includes(`| \`${bytes}\` |`), 'not in docs/reference/protocol.md');
    });
  }

  /** Frames that have a prefix which is also a complete frame: texts and data run to the end. */
  const leastBytes: Readonly<Record<string, number>> = {
    REFUSED: 19,
    DATA: 26,
    DATAGRAM: 23,
    'DATAGRAM in parts': 24,
    BYE: 27,
  };
  for (const { name, bytes, read } of vectors) {
    test(`${name} truncated anywhere is refused, and blamed on the peer`, () => {
      const whole = bytesOf(bytes);
      const least = leastBytes[name] ?? whole.length;
      for (let length = frame.HEADER_BYTES; length < least; length++) {
        assert.throws(() => read(whole.subarray(0, length)), peerSentNonsense, `${length} bytes`);
      }
      for (let length = least; length <= whole.length; length++) read(whole.subarray(0, length));
    });
  }

  for (const { name, bytes, read } of vectors) {
    if (name in leastBytes) continue;
    test(`${name} with an extra byte is refused`, () => {
      assert.throws(() => read(bytesOf(`${bytes}00`)), peerSentNonsense);
    });
  }

  for (const [why, read, bytes] of [
    ['an offset of 2^53', frame.readOffset, `06 ${ID} 0020000000000000`],
    ['an offset of 2^64 - 1', frame.readDataOffset, `04 ${ID} ffffffffffffffff 00`],
    ['a credit of 2^53 in OPEN', frame.readOpen, `01 ${ID} 0020000000000000 01 0016 01 61`],
    ['port 0', frame.readOpen, `01 ${ID} 0000000000040000 01 0000 01 61`],
    [
      'a host shorter than the rest of the frame',
      frame.readOpen,
      `01 ${ID} 0000000000040000 01 0016 01 6161`,
    ],
    ['an empty host', frame.readOpen, `01 ${ID} 0000000000040000 01 0016 00`],
    ['a host that is not UTF-8', frame.readOpen, `01 ${ID} 0000000000040000 01 0016 01 ff`],
    ['a host with a blank', frame.readOpen, `01 ${ID} 0000000000040000 01 0016 03 612062`],
    ['a host with a zero byte', frame.readOpen, `01 ${ID} 0000000000040000 01 0016 03 610062`],
    ['a host with DEL', frame.readOpen, `01 ${ID} 0000000000040000 01 0016 03 617f62`],
    ['an empty path', frame.readOpen, `01 ${ID} 0000000000040000 02 00`],
    ['a path with a line end', frame.readOpen, `01 ${ID} 0000000000040000 02 03 2f0a62`],
    ['a path shorter than the rest of the frame', frame.readOpen, `01 ${ID} 0000000000040000 02 01 2f2f`],
    ['port 0 for datagrams', frame.readOpen, `01 ${ID} 0000000000040000 05 0000 01 61`],
    ['a truncated UUID', frame.readOpen, `01 ${ID} 0000000000040000 04 ${ID.slice(0, 30)}`],
    ['a datagram without parts', frame.readDatagramPart, `08 ${ID} 00000007 00 00 6869`],
    ['a part after the last', frame.readDatagramPart, `08 ${ID} 00000007 03 03 6869`],
    ['a datagram of 67 parts', frame.readDatagramPart, `08 ${ID} 00000007 00 43 6869`],
    ['a text that is not UTF-8', frame.readRefused, `03 ${ID} 0001 c3`],
    ['a text of 256 bytes', frame.readRefused, `03 ${ID} 0001 ${'61'.repeat(256)}`],
    ['a BYE text of 256 bytes', frame.readBye, `12 ${NIL} 000a 0000000000000003 ${'61'.repeat(256)}`],
  ] as const) {
    test(`${why} is refused`, () => {
      assert.throws(() => read(bytesOf(bytes)), peerSentNonsense);
    });
  }

  test('an OPEN with a target kind of a later version has no target, and is not a violation', () => {
    const opened = frame.readOpen(bytesOf(`01 ${ID} 0000000000040000 09 ffff`));
    assert.deepEqual(opened, { creditOffset: 262_144, target: undefined });
  });

  test('a text of 255 bytes is read in full', () => {
    assert.equal(frame.readRefused(bytesOf(`03 ${ID} 0001 ${'61'.repeat(255)}`)).text.length, 255);
  });

  test('the frame size that we offer fits a lossy packet with 28 bytes for the channel', () => {
    assert.equal(MAX_FRAME_BYTES, 1344);
    assert.equal(MAX_PACKET_BYTES - 1 - MAX_FRAME_BYTES, 28);
  });
});

describe('integers', () => {
  test('64 bits round-trip at the limits of 32 and 53 bits', () => {
    const out = new Uint8Array(8);
    for (const value of [
      0,
      1,
      0x7fff_ffff,
      0x8000_0000,
      0xffff_ffff,
      0x1_0000_0000,
      0x1f_ffff_0000_0001,
      Number.MAX_SAFE_INTEGER,
    ]) {
      writeU64(out, 0, value);
      assert.equal(Buffer.from(out).readBigUInt64BE(), BigInt(value));
      assert.equal(readU64(out, 0), value);
    }
  });

  test('16 and 32 bits are unsigned', () => {
    assert.equal(readU16(bytesOf('00ffff'), 1), 0xffff);
    assert.equal(readU32(bytesOf('00ff000001'), 1), 0xff00_0001);
  });
});

describe('reasons', () => {
  test('each has its own number, as in the table of docs/reference/protocol.md', () => {
    const numbers = Object.entries(REASONS).map(([name, { number }]) => {
      assert.ok(protocol.includes(`\n| ${number} | ${name} | `), `${name} is not ${number} in the docs`);
      return number;
    });
    assert.equal(new Set(numbers).size, numbers.length);
  });

  test('a number of a later version reads as unspecified', () => {
    assert.equal(reasonOf(60_000), 'unspecified');
    assert.equal(reasonOf(reasonNumber('busy')), 'busy');
  });
});

describe('texts and targets', () => {
  test('a long text is cut after a complete character', () => {
    assert.equal(encodeText('a'.repeat(300)).length, 255);
    // 254 and a character of 2 bytes: it does not fit.
    assert.equal(encodeText(`${'a'.repeat(254)}é`).length, 254);
  });

  test('text from a peer cannot control a terminal', () => {
    assert.equal(printable('a\u001b[2J\nb\u202ec\u0085'), 'a\ufffd[2J\ufffdb\ufffdc\ufffd');
    assert.equal(frame.readRefused(bytesOf(`03 ${ID} 0001 1b`)).text, '\ufffd');
  });

  for (const [why, wrong] of [
    ['no host', { host: '', port: 1 }],
    ['a blank', { host: 'a b', port: 1 }],
    ['a line end', { host: 'a\n', port: 1 }],
    ['256 bytes', { host: 'é'.repeat(128), port: 1 }],
    ['port 0', { host: 'a', port: 0 }],
    ['port 65536', { host: 'a', port: 65_536 }],
    ['port 1.5', { host: 'a', port: 1.5 }],
  ] as const) {
    test(`a target with ${why} is refused before it is sent`, () => {
      assert.throws(
        () => encodeTarget({ kind: 'tcp', ...wrong }),
        (error) => TunnelError.is(error) && error.code === 'ERR_ADDRESS_INVALID' && !error.remote,
      );
    });
  }

  // A JavaScript program may pass anything; an invalid target would make the peer end the session.
  for (const kind of ['tcp', 'udp', 'listen', 'path'] as const) {
    for (const odd of [undefined, null, 22, '', '22', Number.NaN, {}, [], ['a'], '\0', 'x'.repeat(300)]) {
      test(`a ${kind} target of ${String(JSON.stringify(odd)).slice(0, 9)} is refused before it is sent`, () => {
        const targets =
          kind === 'path'
            ? [{ path: odd }]
            : [
                { host: odd, port: 1 },
                { host: 'a', port: odd },
              ];
        for (const parts of targets) {
          const isFine = odd === '22' && !('port' in parts && parts.port === odd);
          const isPort = odd === 22 && 'port' in parts && parts.port === odd;
          const encode = (): Uint8Array => encodeTarget({ kind, ...parts } as unknown as Target);
          if (isFine || isPort) assert.deepEqual(decodeTarget(encode(), 0), { kind, ...parts });
          else
            assert.throws(
              encode,
              (error) => TunnelError.is(error) && error.code === 'ERR_ADDRESS_INVALID',
              JSON.stringify(parts),
            );
        }
      });
    }
  }

  test('a host of 255 bytes and port 65535 are valid', () => {
    assert.equal(encodeTarget({ kind: 'tcp', host: 'a'.repeat(255), port: 65_535 }).length, 4 + 255);
  });
});

describe('stream ids', () => {
  test('a new one is a UUID of version 4', () => {
    const made = newId(new Uint8Array(16).fill(0xff));
    assert.equal(idText(made), 'ffffffff-ffff-4fff-bfff-ffffffffffff');
  });

  test('all 16 bytes are compared', () => {
    const inFrame = Uint8Array.of(9, ...id);
    assert.ok(isIdAt(id, inFrame, 1));
    for (let at = 1; at <= 16; at++) {
      const other = inFrame.slice();
      other[at]! ^= 1;
      assert.ok(!isIdAt(id, other, 1));
      const almostNil = new Uint8Array(17);
      almostNil[at] = 1;
      assert.ok(!isNilAt(almostNil, 1));
    }
    assert.ok(isNilAt(Uint8Array.of(1, ...new Uint8Array(16)), 1));
  });
});

function peerSentNonsense(error: unknown): boolean {
  return TunnelError.is(error) && error.code === 'ERR_FRAME_INVALID' && error.remote;
}
