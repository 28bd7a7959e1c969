import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TunnelError } from '../../src/core/errors.js';
import { Intervals } from '../../src/mux/stream/intervals.js';
import { Reassembly } from '../../src/mux/stream/reassembly.js';
import { ReceiveMemory } from '../../src/mux/stream/receive_memory.js';
import { SendQueue } from '../../src/mux/stream/send_queue.js';
import { encodeText, printable } from '../../src/mux/wire/codec.js';
import * as frame from '../../src/mux/wire/frame.js';
import {
  decodeHello,
  decodeRefuse,
  decodeWelcome,
  encodeHello,
  encodeWelcome,
} from '../../src/mux/wire/handshake.js';
import { REASONS, type Reason } from '../../src/mux/wire/reasons.js';
import { encodeTarget } from '../../src/mux/wire/target.js';

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const offset = fc.maxSafeNat();
// Keys of a constant table.
const reason = fc.constantFrom(...(Object.keys(REASONS) as Reason[]));

/** A slow frame reader on DataView and Buffer, used as the oracle. */
function oracle(bytes: Uint8Array): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = (at: number): number => Number(view.getBigUint64(at));
  const text = (from: number): string => Buffer.from(bytes).toString('utf8', from);
  const named = (at: number): string | undefined =>
    Object.entries(REASONS).find(([, { number }]) => number === view.getUint16(at))?.[0];
  const id = Buffer.from(bytes).toString('hex', 1, 17);
  switch (view.getUint8(0)) {
    case 1:
      return {
        id,
        credit: long(17),
        kind: view.getUint8(25),
        port: view.getUint16(26),
        length: view.getUint8(28),
        host: text(29),
      };
    case 3:
      return { id, reason: named(17), text: text(19) };
    case 7:
      return { id, reason: named(17) };
    case 0x12:
      return { id, reason: named(17), frames: long(19), text: text(27) };
    default:
      return { id, offset: long(17) };
  }
}

const built = (length: number, write: (out: Uint8Array) => void): Uint8Array => {
  const out = new Uint8Array(length).fill(0xee);
  write(out);
  return out;
};

test('the slow reader decodes every frame to the written values', () => {
  const host = fc.stringMatching(/^[a-z0-9.:é-]{1,100}$/u);
  fc.assert(
    fc.property(
      bytes16,
      offset,
      fc.integer({ min: 1, max: 65_535 }),
      host,
      reason,
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      (uuid, at, port, name, why, words) => {
        const id = Buffer.from(uuid).toString('hex');
        const target = { kind: 'tcp', host: name, port } as const;
        const told = encodeTarget(target);
        const open = built(frame.openBytes(told), (out) => frame.writeOpen(out, uuid, at, told));
        assert.deepEqual(oracle(open), {
          id,
          credit: at,
          kind: 1,
          port,
          length: Buffer.byteLength(name),
          host: name,
        });
        assert.deepEqual(frame.readOpen(open), { creditOffset: at, target });

        const text = encodeText(words);
        const said = Buffer.from(text).toString();
        assert.ok(text.length <= 255 && words.startsWith(said));
        const refused = built(frame.refusedBytes(text), (out) => frame.writeRefused(out, uuid, why, text));
        assert.deepEqual(oracle(refused), { id, reason: why, text: said });
        assert.deepEqual(frame.readRefused(refused), { reason: why, text: printable(said) });

        const bye = built(frame.byeBytes(text), (out) => frame.writeBye(out, why, at, text));
        assert.deepEqual(oracle(bye), { id: '00'.repeat(16), reason: why, frames: at, text: said });
        assert.deepEqual(frame.readBye(bye), { reason: why, framesBefore: at, text: printable(said) });

        const reset = built(frame.RESET_BYTES, (out) => frame.writeReset(out, uuid, why));
        assert.deepEqual(oracle(reset), { id, reason: why });
        assert.equal(frame.readReset(reset), why);

        for (const type of [frame.OPENED, frame.END, frame.CREDIT, frame.GIVE_BACK]) {
          const one = built(frame.OFFSET_FRAME_BYTES, (out) => frame.writeOffsetFrame(out, type, uuid, at));
          assert.equal(one[0], type);
          assert.deepEqual(oracle(one), { id, offset: at });
          assert.equal(frame.readOffset(one), at);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('the reader accepts any bytes or blames the peer', () => {
  const readers = [
    frame.readOpen,
    frame.readOffset,
    frame.readDataOffset,
    frame.readRefused,
    frame.readReset,
    frame.readBye,
    frame.checkTokenFrame,
  ];
  const decoders = [decodeHello, decodeWelcome, decodeRefuse];
  const packet = fc.tuple(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 400, size: 'max' }));
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 17, maxLength: 400, size: 'max' }),
      packet,
      (bytes, [kind, rest]) => {
        for (const read of readers) readsOrBlames(() => read(bytes));
        for (const decode of decoders)
          readsOrBlames(() => decode(Uint8Array.of(0xb7, kind, 0, 1, 0, 1, ...rest)));
      },
    ),
    { numRuns: 1000 },
  );
});

test('every hello and welcome reads back as written', () => {
  const session = bytes16.filter((bytes) => bytes.some((byte) => byte !== 0));
  const fields = fc
    .array(fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 60 })), { maxLength: 15 })
    .map((entries) => new Map(entries));
  const u16 = fc.nat(65_535);
  const u32 = fc.nat(0xffff_ffff);
  fc.assert(
    fc.property(
      session,
      session,
      u16,
      u32,
      fields,
      fc.integer({ min: 1, max: 65_535 }),
      u16,
      (one, two, frameBytes, features, map, lowest, more) => {
        const versions = { lowest, highest: Math.min(65_535, lowest + more) };
        const hello = { versions, session: one, frameBytes, features, fields: map };
        assert.deepEqual(decodeHello(encodeHello(hello)), hello);
        const welcome = {
          version: lowest,
          connectorSession: one,
          session: two,
          frameBytes,
          features,
          fields: map,
        };
        assert.deepEqual(decodeWelcome(encodeWelcome(welcome)), welcome);
      },
    ),
    { numRuns: 300 },
  );
});

test('intervals are a set of bytes, and reject bytes already in the set', () => {
  const piece = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 8 }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60, size: 'max' }), (pieces) => {
      const intervals = new Intervals();
      const model = new Set<number>();
      for (const [start, length] of pieces) {
        const added = Array.from({ length }, (_, index) => start + index);
        if (added.some((byte) => model.has(byte))) {
          assert.throws(() => intervals.add(start, start + length), TunnelError);
        } else {
          intervals.add(start, start + length);
          for (const byte of added) model.add(byte);
        }
        let contiguous = 0;
        while (model.has(contiguous)) contiguous++;
        assert.equal(intervals.contiguous, contiguous);
        assert.equal(intervals.highest, Math.max(0, ...[...model].map((byte) => byte + 1)));
        const apart = [...model].filter((byte) => byte > contiguous && !model.has(byte - 1)).length;
        assert.equal(intervals.pieces, apart);
      }
    }),
    { numRuns: 500 },
  );
});

test('reassembly returns the bytes in order and only once, whatever the cuts and the order', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 60, size: 'max' });
  const blocks = fc.constantFrom(4096, 32_768);
  const draw = fc.infiniteStream(fc.nat(1_000_000));
  fc.assert(
    fc.property(cuts, draw, fc.nat(4), blocks, (lengths, draws, deliverEvery, blockBytes) => {
      const memory = new ReceiveMemory(1024 * 1024);
      const reassembly = new Reassembly(memory, blockBytes);
      let at = 0;
      const frames = lengths.map((length) => {
        const from = at;
        at += length;
        return {
          from,
          bytes: Uint8Array.from({ length }, (_, index) => byteAt(from + index)),
          order: draws.next().value ?? 0,
        };
      });
      frames.sort((a, b) => a.order - b.order);
      const kept: Uint8Array[] = [];
      for (const [index, { from, bytes }] of frames.entries()) {
        reassembly.insert(from, bytes, 0);
        assert.ok(memory.heldBytes <= at + 3 * blockBytes);
        if (index % (deliverEvery + 1) === 0) drain(reassembly, kept);
      }
      drain(reassembly, kept);
      // The pool must not reuse a buffer that a consumer still reads.
      for (let count = 0; count < 20; count++) memory.takeBlock(blockBytes).fill(0xee);
      let offsetNow = 0;
      for (const chunk of kept) {
        assert.ok(chunk.length > 0 && chunk.every((byte, index) => byte === byteAt(offsetNow + index)));
        offsetNow += chunk.length;
      }
      assert.equal(offsetNow, at);
      assert.equal(reassembly.deliveredOffset, at);
    }),
    { numRuns: 60 },
  );
});

test('the send queue is a queue of bytes', () => {
  const step = fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.nat(40));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
      const queue = new SendQueue(1_000_000);
      const model: number[] = [];
      for (const item of steps) {
        if (typeof item === 'number') {
          const count = Math.min(item, model.length);
          const out = new Uint8Array(count);
          queue.takeInto(out, 0, count);
          assert.deepEqual([...out], model.splice(0, count));
        } else if (item.length > 0) {
          queue.push(item);
          model.push(...item);
        }
        assert.equal(queue.bytes, model.length);
      }
    }),
    { numRuns: 300 },
  );
});

function byteAt(position: number): number {
  return ((position * 2_654_435_761) >>> 13) & 0xff;
}

function drain(reassembly: Reassembly, kept: Uint8Array[]): void {
  for (let chunk = reassembly.next(); chunk !== undefined; chunk = reassembly.next()) {
    kept.push(chunk);
    if (kept.length % 7 === 0) reassembly.consumedTo(reassembly.deliveredOffset);
  }
  reassembly.consumedTo(reassembly.deliveredOffset);
  if (reassembly.hasContiguous) drain(reassembly, kept);
}

function readsOrBlames(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(TunnelError.is(error) && error.remote, String(error));
  }
}
