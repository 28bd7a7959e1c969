import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_PACKET_BYTES } from '../../src/core/packets.js';
import {
  BUNDLE_BYTES,
  PIGGYBACK_ACK_BYTES,
  readU32,
  widen,
  writeU32,
} from '../../src/worker/channel/packet.js';
import { bytes, HeldChannel, plain } from '../support/channel_pair.js';

describe('the bytes of a packet', () => {
  test('a single frame fills its packet without a length', () => {
    const end = new HeldChannel();
    end.send('68656c6c6f');
    //                                    id flags tag      number   bundle   frame
    assert.deepEqual(end.pump(), [plain('db 06 0a0b0c0d 00000000 00000000 68656c6c6f')]);
  });

  test('each of several frames is preceded by its length', () => {
    const end = new HeldChannel();
    end.send('6869');
    end.send('686f');
    assert.deepEqual(end.pump(), [plain('db 0e 0a0b0c0d 00000000 00000000 0002 6869 0002 686f')]);
  });

  test('an acknowledgement shares a packet with the next frame', () => {
    const end = new HeldChannel();
    end.receive('db 06 0a0b0c0d 00000000 00000000 61');
    end.send('62');
    //                                    id flags tag      number   bundle   largest  delay ranges length frame
    assert.deepEqual(end.pump(1), [plain('db 07 0a0b0c0d 00000000 00000000 00000000 007d 00 00 62')]);
    assert.deepEqual(end.pump(9), []);
  });

  test('an acknowledgement without data is sent after 2 ms, with its gaps', () => {
    const end = new HeldChannel();
    end.receive('db 06 0a0b0c0d 00000000 00000000 61', 0);
    end.receive('db 06 0a0b0c0d 00000001 00000001 62', 0);
    assert.deepEqual(end.pump(1.9), []);
    end.receive('db 06 0a0b0c0d 000000ff 00000002 63', 2);
    //                                    id flags tag      largest  delay ranges length gap-1 length-1
    assert.deepEqual(end.pump(2), [plain('db 01 0a0b0c0d 000000ff 0000 01 00 80fc 01')]);
    assert.deepEqual(end.pump(50), []);
  });

  test('a ping has a number, demands an acknowledgement at once and gets it', () => {
    const end = new HeldChannel();
    end.pump(0);
    assert.deepEqual(end.pump(10_000), [plain('db 12 0a0b0c0d 00000000')]);
    const other = new HeldChannel(2);
    other.receive('db 12 0a0b0c0d 00000000', 5);
    assert.deepEqual(other.pump(5), [plain('db 01 0a0b0c0d 00000000 0000 00 00')]);
  });

  test('the largest frame leaves room for an acknowledgement, and fills the packet exactly', () => {
    const end = new HeldChannel();
    end.receive('db 06 0a0b0c0d 00000000 00000000 61');
    end.send('00'.repeat(BUNDLE_BYTES));
    const [packet] = end.pump();
    assert.ok(packet !== undefined && packet.length / 2 <= MAX_PACKET_BYTES && packet.startsWith('db07'));
    assert.equal(PIGGYBACK_ACK_BYTES, 15);
  });

  test('a frame that is empty or too long is refused with the reason', () => {
    const end = new HeldChannel();
    for (const frame of ['', '00'.repeat(BUNDLE_BYTES + 1)]) {
      assert.throws(() => end.send(frame), { code: 'ERR_LIMIT', message: /split it/ });
    }
  });
});

describe('sending order', () => {
  test('urgent frames overtake earlier bulk', () => {
    const end = new HeldChannel();
    end.send('aa'.repeat(1000));
    end.send('bb'.repeat(1000));
    end.send('cc', true);
    assert.deepEqual(
      end.pump().map((packet) => packet.slice(28, 30)),
      ['cc', 'aa', 'bb'],
    );
  });

  test('small frames share a packet until the next one does not fit', () => {
    const end = new HeldChannel();
    for (let i = 0; i < 3; i++) end.send('aa'.repeat(446));
    end.send('bb');
    end.send('cc', true);
    end.send('dd'.repeat(670), true);
    // With three lengths: one byte too many.
    end.send('ee'.repeat(668), true);
    const [urgent, urgentToo, ...packets] = end.pump();
    assert.deepEqual(
      [urgent, urgentToo].map((packet) => packet!.length / 2 - 14),
      [675, 668],
    );
    assert.deepEqual(
      packets.map((packet) => packet.length / 2 - 14),
      [BUNDLE_BYTES, 1],
    );
  });

  test('a frame is reported as drained when it first leaves, and not again', () => {
    const end = new HeldChannel();
    end.send('aa'.repeat(700));
    end.send('bb'.repeat(700));
    assert.equal(end.channel.backlogBytes, 1400);
    end.pump(0);
    assert.equal(end.drained, 1400);
    assert.equal(end.channel.backlogBytes, 0);
    assert.ok(end.pump(2_000).length > 0);
    assert.equal(end.drained, 1400);
  });

  test('a frame that toxcore refused waits, and leaves together with newer frames', () => {
    const end = new HeldChannel();
    end.result = 'full';
    end.send('6869');
    assert.deepEqual(end.pump(0), []);
    assert.equal(end.drained, 0);
    end.send('686f');
    end.result = 'sent';
    assert.deepEqual(end.pump(1.9), []);
    assert.deepEqual(end.pump(2), [plain('db 0e 0a0b0c0d 00000000 00000000 0002 6869 0002 686f')]);
    assert.equal(end.drained, 4);
  });

  test('a channel that starts offline sends nothing until it thaws', () => {
    const end = new HeldChannel(1, false);
    end.send('61');
    assert.deepEqual(end.pump(0), []);
    end.channel.thaw(5);
    assert.equal(end.pump(5).length, 1);
  });
});

describe('incoming packets', () => {
  const frame = 'db 06 0a0b0c0d 00000000 00000000 61';

  test('a duplicate packet is delivered once', () => {
    const end = new HeldChannel();
    end.receive(frame);
    end.receive(frame);
    assert.deepEqual(end.frames, ['61']);
  });

  test('a bundle repeated under another number is delivered once, and acknowledged again', () => {
    const end = new HeldChannel();
    end.receive(frame);
    end.pump(5);
    end.receive('db 16 0a0b0c0d 00000005 00000000 61', 6);
    assert.deepEqual(end.frames, ['61']);
    assert.deepEqual(end.pump(6), [plain('db 01 0a0b0c0d 00000005 0000 01 00 03 00')]);
    assert.equal(end.channel.stats(6).duplicatesIn, 1);
  });

  test('a bundle without room in the ring is not acknowledged, and is accepted when it is repeated', () => {
    const end = new HeldChannel();
    end.room = 0;
    end.receive(frame);
    assert.deepEqual(end.pump(10), []);
    assert.equal(end.channel.stats(10).refusedIn, 1);
    end.room = 1;
    end.receive(frame, 11);
    assert.deepEqual(end.frames, ['61']);
    assert.equal(end.pump(20).length, 1);
  });

  test('a bundle that found room for some frames delivers each frame once, before any other bundle', () => {
    const end = new HeldChannel();
    end.room = 1;
    end.receive('db 0e 0a0b0c0d 00000000 00000000 0001 61 0001 62 0001 63');
    end.receive('db 06 0a0b0c0d 00000001 00000001 64');
    end.room = 2;
    end.pump(1);
    assert.deepEqual(end.frames, ['61', '62']);
    end.room = 9;
    end.pump(2);
    assert.deepEqual(end.frames, ['61', '62', '63']);
    end.receive('db 06 0a0b0c0d 00000001 00000001 64');
    assert.deepEqual(end.frames, ['61', '62', '63', '64']);
  });

  test('while the rest of a bundle waits, no other bundle is accepted', () => {
    const end = new HeldChannel();
    end.room = 1;
    end.receive('db 0e 0a0b0c0d 00000000 00000000 0001 61 0001 62 0001 63');
    end.room = 2;
    end.receive('db 0e 0a0b0c0d 00000001 00000001 0001 64 0001 65');
    end.room = 9;
    end.pump(1);
    assert.deepEqual(end.frames, ['61', '62', '63']);
    assert.equal(end.channel.stats(1).refusedIn, 1);
  });

  test('a bundle none of whose frames was accepted is refused completely', () => {
    const end = new HeldChannel();
    end.room = 0;
    end.receive('db 0e 0a0b0c0d 00000000 00000000 0001 61 0001 62');
    assert.equal(end.channel.stats(0).refusedIn, 1);
    assert.deepEqual(end.pump(10), []);
  });

  test('packets of another channel, or of none, are dropped and counted', () => {
    const end = new HeldChannel();
    for (const stray of [
      '',
      'db',
      'db 06 0a0b0c',
      'db 06 ffffffff 00000000 00000000 61',
      'dc 06 0a0b0c0d 00',
    ]) {
      end.receive(stray);
    }
    assert.equal(end.error, undefined);
    assert.deepEqual(end.frames, []);
    assert.equal(end.channel.stats(0).strayIn, 5);
  });
});

describe('a hostile peer', () => {
  const faults = {
    'unknown flags': 'db 42 0a0b0c0d 00000000',
    'frames of both kinds': 'db 26 0a0b0c0d 00000000 00000000 61',
    'frames sent once, without a number': 'db 21 0a0b0c0d 00000000 0000 00 00 61',
    'frames sent once, of which there are none': 'db 22 0a0b0c0d 00000000',
    'frames sent once, cut short': 'db 2a 0a0b0c0d 00000000 0002 61',
    'no flags': 'db 00 0a0b0c0d',
    'nothing but a wish for an answer': 'db 10 0a0b0c0d',
    'frames without a number': 'db 04 0a0b0c0d 00000000 61',
    'lengths without frames': 'db 0a 0a0b0c0d 00000000',
    'a ping with bytes behind it': 'db 02 0a0b0c0d 00000000 61',
    'no frame in a bundle': 'db 06 0a0b0c0d 00000000 00000000',
    'no frame in a bundle of many': 'db 0e 0a0b0c0d 00000000 00000000',
    'an empty frame among many': 'db 0e 0a0b0c0d 00000000 00000000 0001 61 0000',
    'a length past the end': 'db 0e 0a0b0c0d 00000000 00000000 0002 61',
    'half a length': 'db 0e 0a0b0c0d 00000000 00000000 0001 61 00',
    'a bundle far out of the window': 'db 06 0a0b0c0d 00000000 00010000 61',
    'a packet number below the first': 'db 06 0a0b0c0d fffffff0 00000000 61',
    'an acknowledgement of what was never sent': 'db 01 0a0b0c0d 00000003 0000 00 00',
    'an acknowledgement before the first packet': 'db 01 0a0b0c0d 00000002 0000 00 03',
    'a gap before the first packet': 'db 01 0a0b0c0d 00000002 0000 01 00 05 00',
    'more ranges than there may be': `db 01 0a0b0c0d 00000002 0000 40 ${'00'.repeat(200)}`,
    'bytes behind an acknowledgement': 'db 01 0a0b0c0d 00000002 0000 00 00 00',
  };
  for (const [name, packet] of Object.entries(faults)) {
    test(`${name} ends the channel, and nothing is delivered`, () => {
      const end = new HeldChannel();
      for (const frame of ['aa', 'bb', 'cc']) end.send(frame.repeat(1_000));
      assert.equal(end.pump(0).length, 3);
      end.send('dd');
      end.receive(packet, 1);
      end.assertBlamesPeer();
      assert.deepEqual(end.frames, []);
      // The room of waiting frames is returned, and the channel does nothing more.
      assert.equal(end.drained, 3_001);
      assert.equal(end.channel.backlogBytes, 0);
      assert.deepEqual(end.pump(5_000), []);
      end.send('ee');
      assert.equal(end.drained, 3_002);
    });
  }

  test('a packet truncated anywhere never delivers half a frame, and never throws', () => {
    const whole = bytes('db 0f 0a0b0c0d 00000000 00000000 00000002 0000 01 00 00 00 0002 6869 0003 616263');
    for (let length = 0; length < whole.length; length++) {
      const end = new HeldChannel();
      for (const frame of ['aa', 'bb', 'cc']) end.send(frame.repeat(1_000));
      end.pump(0);
      end.receive(whole.subarray(0, length), 1);
      const isStray = length < 6;
      // A cut right after the first frame leaves a valid packet with that one frame.
      const isWhole = end.frames.length === 1 && end.frames[0] === '6869';
      if (isStray || isWhole) assert.equal(end.error, undefined);
      else end.assertBlamesPeer();
    }
  });

  test('a peer that acknowledges a skipped number is caught', () => {
    // Acknowledges everything at once, seen or not.
    const end = new HeldChannel(3);
    let now = 0;
    for (let turn = 0; turn < 10_000 && end.error === undefined; turn++) {
      end.send('aa'.repeat(1_300));
      now += 1;
      end.pump(now);
      const last = end.sent.at(-1);
      if (last === undefined) continue;
      const ack = bytes('db 01 0a0b0c0d 00000000 0000 00 00');
      ack.set(last.subarray(6, 10), 6);
      const all = Math.min(readU32(last, 6), 100);
      ack[13] = all;
      end.receive(ack, now);
    }
    end.assertBlamesPeer();
  });
});

describe('numbers past 2^32', () => {
  test('the low half is widened to the number nearest to the expected one', () => {
    const rows = [
      [0, 0, 0],
      [5, 3, 5],
      [0xffff_ffff, 2 ** 32, 2 ** 32 - 1],
      [1, 2 ** 32 - 1, 2 ** 32 + 1],
      [0x8000_0000, 0, 2 ** 31],
      [0xffff_fff0, 0, -16],
      [7, 3 * 2 ** 32 + 9, 3 * 2 ** 32 + 7],
    ] as const;
    for (const [low, expected, number] of rows) assert.equal(widen(low, expected), number);
  });

  test('the low half is sent', () => {
    const out = new Uint8Array(4);
    for (const number of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 52 + 77]) {
      writeU32(out, 0, number);
      assert.equal(readU32(out, 0), number % 2 ** 32);
    }
  });
});
