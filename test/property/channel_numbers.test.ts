import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NumberWindow } from '../../src/worker/channel/bundles/number_window.js';
import { Ack, RECEIVED_SPAN, ReceivedPackets } from '../../src/worker/channel/recovery/ack.js';
import { HeldChannel } from '../support/channel_pair.js';

test('an acknowledgement names exactly the packets that arrived, whatever their order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 33 }),
      fc.array(fc.oneof(fc.nat(120), fc.nat(2 * RECEIVED_SPAN)), {
        maxLength: 400,
        minLength: 1,
        size: 'max',
      }),
      (base, offsets) => {
        const packets = new ReceivedPackets();
        const model = new Set<number>();
        for (const offset of offsets) {
          const number = base + offset;
          const old = number <= packets.largest - RECEIVED_SPAN;
          assert.equal(packets.has(number), old || model.has(number));
          if (packets.has(number)) continue;
          packets.add(number);
          model.add(number);
        }
        const out = new Uint8Array(1_300);
        const end = packets.writeAck(out, 0, out.length, 0);
        const ack = new Ack();
        assert.equal(ack.read(out.subarray(0, end), 0, packets.largest + 1), end);
        const named = new Set<number>();
        for (let range = 0; range < ack.count; range++) {
          for (let number = ack.first[range]!; number <= ack.last[range]!; number++) named.add(number);
        }
        const told = [...model].filter((number) => number >= packets.toldDownTo);
        assert.deepEqual(
          [...named].sort((a, b) => a - b),
          told.sort((a, b) => a - b),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('a window of numbers is a set with a floor', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(63), { maxLength: 500, size: 'max' }), (steps) => {
      const window = new NumberWindow(64);
      const model = new Set<number>();
      let floor = 0;
      for (const step of steps) {
        const number = floor + step;
        assert.equal(window.has(number), model.has(number));
        if (model.has(number)) continue;
        window.add(number);
        model.add(number);
        while (model.has(floor)) floor++;
        assert.equal(window.floor, floor);
      }
    }),
  );
});

test('no bytes from a peer can do more than end the channel', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom(1, 2, 6, 7, 14, 15, 18, 19, 31),
          fc.uint8Array({ maxLength: 60, size: 'max' }),
        ),
        {
          maxLength: 40,
          size: 'max',
        },
      ),
      (packets) => {
        const end = new HeldChannel();
        end.send('61'.repeat(1_300));
        for (const [index, [flags, rest]] of packets.entries()) {
          end.receive(Uint8Array.from([0xdb, flags, 0x0a, 0x0b, 0x0c, 0x0d, ...rest]), index);
          end.pump(index);
        }
        if (end.error !== undefined) end.assertBlamesPeer();
        assert.ok(end.channel.stats(100).memoryBytes <= 200_000);
      },
    ),
    { numRuns: 500 },
  );
});
