import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Ack,
  MAX_ACK_RANGES,
  RECEIVED_SPAN,
  ReceivedPackets,
} from '../../src/worker/channel/recovery/ack.js';
import { ACK_DELAY_MS, AckSchedule } from '../../src/worker/channel/recovery/ack_schedule.js';
import { hex, plain } from '../support/channel_pair.js';

function received(...numbers: number[]): ReceivedPackets {
  const packets = new ReceivedPackets();
  for (const number of numbers) if (!packets.has(number)) packets.add(number);
  return packets;
}

function written(packets: ReceivedPackets, room = 1000, delayMs = 0): Uint8Array {
  const out = new Uint8Array(room);
  return out.subarray(0, packets.writeAck(out, 0, room, delayMs));
}

function ranges(packets: ReceivedPackets, room?: number): Array<[number, number]> {
  const ack = new Ack();
  const bytes = written(packets, room);
  assert.equal(ack.read(bytes, 0, packets.largest + 1), bytes.length);
  return Array.from({ length: ack.count }, (_, range) => [ack.first[range]!, ack.last[range]!]);
}

test('ranges are sent newest first, and small ones take one byte each for gap and length', () => {
  assert.equal(hex(written(received(0, 1, 2, 5, 9))), plain('00000009 0000 02 00 0200 0102'));
  assert.deepEqual(ranges(received(0, 1, 2, 5, 9)), [
    [9, 9],
    [5, 5],
    [0, 2],
  ]);
});

test('the delay is sent in units of 8 microseconds, up to 524 ms', () => {
  assert.equal(hex(written(received(0), 100, 1)).slice(8, 12), '007d');
  assert.equal(hex(written(received(0), 100, 9_999)).slice(8, 12), 'ffff');
  const ack = new Ack();
  ack.read(written(received(0), 100, 2), 0, 1);
  assert.equal(ack.delayMs, 2);
});

test('with little room the oldest ranges are left out, and the encoder reports how far the rest reaches', () => {
  const packets = received(0, 2, 4, 6, 8);
  assert.deepEqual(ranges(packets, 15), [
    [8, 8],
    [6, 6],
    [4, 4],
  ]);
  assert.equal(packets.toldDownTo, 4);
  assert.equal(written(packets, 8).length, 0);
  assert.equal(ranges(packets, 9).length, 1);
});

test('no more ranges are written than a reader accepts', () => {
  const packets = new ReceivedPackets();
  for (let number = 0; number < 400; number += 2) packets.add(number);
  assert.equal(ranges(packets).length, MAX_ACK_RANGES);
});

test('more ranges than the maximum are refused', () => {
  const ack = new Ack();
  const head = (further: number): Uint8Array => Uint8Array.from([0, 0, 3, 0, 0, 0, further, 0]);
  const most = new Uint8Array([...head(63), ...new Uint8Array(126)]);
  assert.equal(ack.read(most, 0, 1_000), most.length);
  assert.equal(ack.count, MAX_ACK_RANGES);
  const more = new Uint8Array([...head(64), ...new Uint8Array(128)]);
  assert.throws(() => ack.read(more, 0, 1_000), { code: 'ERR_PACKET_INVALID', remote: true });
});

test('packets further back than the span are neither accepted nor acknowledged', () => {
  const packets = received(3, RECEIVED_SPAN + 3);
  assert.equal(packets.has(3), true);
  assert.deepEqual(ranges(packets), [[RECEIVED_SPAN + 3, RECEIVED_SPAN + 3]]);
  assert.equal(packets.has(4), false);
  packets.add(4);
  assert.deepEqual(ranges(packets).at(-1), [4, 4]);
  // A jump beyond the whole span.
  packets.add(10 * RECEIVED_SPAN);
  assert.deepEqual(ranges(packets), [[10 * RECEIVED_SPAN, 10 * RECEIVED_SPAN]]);
});

test('a skipped number is missing although its slot was used a lap before', () => {
  const packets = new ReceivedPackets();
  for (let number = 0; number < RECEIVED_SPAN; number++) packets.add(number);
  packets.add(RECEIVED_SPAN + 2);
  assert.deepEqual(
    [0, 1, 2].map((n) => packets.has(RECEIVED_SPAN + n)),
    [false, false, true],
  );
});

test('an acknowledgement truncated anywhere is refused, and blamed on the peer', () => {
  const whole = written(received(0, 1, 500, 501, 900));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => new Ack().read(whole.subarray(0, length), 0, 901), {
      code: 'ERR_PACKET_INVALID',
      remote: true,
    });
  }
});

test('a packet waits up to 2 ms for its acknowledgement, counted from the first waiting packet', () => {
  const acks = new AckSchedule();
  assert.equal(acks.dueAtMs, Number.POSITIVE_INFINITY);
  acks.onPacket(0, false, 10);
  acks.onPacket(1, false, 11);
  assert.equal(acks.dueAtMs, 10 + ACK_DELAY_MS);
});

test('neither 32 packets nor a packet that demands an acknowledgement wait', () => {
  const many = new AckSchedule();
  for (let number = 0; number < 31; number++) many.onPacket(number, false, 10);
  assert.equal(many.dueAtMs, 12);
  many.onPacket(31, false, 11);
  assert.equal(many.dueAtMs, 11);
  const asked = new AckSchedule();
  asked.onPacket(0, true, 10);
  assert.equal(asked.dueAtMs, 10);
});

test('a gap is reported at once, but at most once per millisecond', () => {
  const acks = new AckSchedule();
  const out = new Uint8Array(100);
  acks.onPacket(1, false, 10);
  assert.equal(acks.dueAtMs, 10);
  acks.write(out, 0, 100, 10);
  acks.onSent(10);
  assert.equal(acks.isOwed, false);
  acks.onPacket(3, false, 10.25);
  assert.equal(acks.dueAtMs, 11);
  acks.onPacket(2, false, 10.5);
  assert.equal(acks.dueAtMs, 11);
});

test('an acknowledgement without room for all numbers leaves the rest to the next one', () => {
  const acks = new AckSchedule();
  const out = new Uint8Array(100);
  for (const number of [0, 2, 4, 6, 8]) acks.onPacket(number, false, 10);
  acks.write(out, 0, 15, 10);
  acks.onSent(10);
  assert.equal(acks.isOwed, true);
  acks.write(out, 0, 100, 10);
  acks.onSent(10);
  assert.equal(acks.isOwed, false);
  assert.equal(acks.dueAtMs, Number.POSITIVE_INFINITY);
});

test('packets beyond the gaps that can be reported are owed no acknowledgement: the peer considers them lost', () => {
  const acks = new AckSchedule();
  const out = new Uint8Array(1_373);
  for (let number = 2; number < 200; number += 2) acks.onPacket(number, false, 10);
  acks.onPacket(0, true, 10);
  // Next to a bundle there is no room for all of it: the rest stays owed.
  acks.write(out, 0, 15, 10);
  acks.onSent(10);
  assert.equal(acks.isOwed, true);
  acks.write(out, 0, out.length, 10);
  acks.onSent(10);
  assert.equal(acks.isOwed, false);
  assert.equal(acks.dueAtMs, Number.POSITIVE_INFINITY);
});

test('the reported delay is that of the largest number, not of a packet that filled a gap later', () => {
  const acks = new AckSchedule();
  const out = new Uint8Array(100);
  acks.onPacket(1, false, 10);
  acks.onPacket(0, false, 12);
  const ack = new Ack();
  ack.read(out.subarray(0, acks.write(out, 0, 100, 13)), 0, 2);
  assert.equal(ack.delayMs, 3);
});
