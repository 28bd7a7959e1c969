import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOSSY_BACKLOG_BYTES } from '../../src/worker/channel/bundles/outgoing_bundles.js';
import { HeldChannel, Notes, plain } from '../support/channel_pair.js';

/** A controller without a window or pacing limit. */
function open(): HeldChannel {
  return new HeldChannel(1, true, new Notes());
}

test('a lossy frame travels without a bundle number, and several carry their lengths', () => {
  const end = open();
  end.sendLossy('61');
  //                                   id flags tag      number   frame
  assert.deepEqual(end.pump(1), [plain('db 22 0a0b0c0d 00000000 61')]);
  end.sendLossy('61');
  end.sendLossy('6262');
  assert.deepEqual(end.pump(2), [plain('db 2a 0a0b0c0d 00000001 0001 61 0002 6262')]);
  assert.equal(end.drained, 4);
});

test('an acknowledgement shares its packet', () => {
  const end = open();
  end.receive('db 22 0a0b0c0d 00000000 61');
  end.sendLossy('62');
  assert.deepEqual(end.pump(0), [plain('db 23 0a0b0c0d 00000000 00000000 0000 00 00 62')]);
});

test('reliable frames never share its packet, and keep their bundle numbers', () => {
  const end = open();
  end.send('61');
  end.sendLossy('62');
  end.send('63');
  assert.deepEqual(end.pump(1), [
    plain('db 22 0a0b0c0d 00000000 62'),
    plain('db 0e 0a0b0c0d 00000001 00000000 0001 61 0001 63'),
  ]);
});

test('lossy and bulk frames alternate', () => {
  const end = open();
  for (let i = 0; i < 3; i++) {
    end.send('aa'.repeat(1_300));
    end.sendLossy('bb'.repeat(1_300));
  }
  assert.deepEqual(
    end.pump(1).map((packet) => packet.slice(2, 4)),
    ['22', '06', '22', '06', '22', '06'],
  );
});

test('a lost one is not retransmitted, and counts as lost', () => {
  const end = open();
  for (let i = 0; i < 5; i++) {
    end.sendLossy(`6${i}`);
    end.pump(i);
  }
  end.receive('db 01 0a0b0c0d 00000004 0000 00 03', 20);
  for (let now = 20; now < 5_000; now += 10) assert.deepEqual(end.pump(now), []);
  const stats = end.channel.stats(5_000);
  assert.equal(stats.packetsLost, 1);
  assert.equal(stats.packetsResent, 0);
  assert.equal(stats.inFlightBytes, 0);
});

test('when the last one is lost, a ping probes for it instead of its frames', () => {
  const end = open();
  end.sendLossy('61');
  end.pump(0);
  const later: string[] = [];
  for (let now = 1; now < 2_000; now++) later.push(...end.pump(now));
  assert.ok(later.length >= 2, `${later.length} packets`);
  assert.ok(later.every((packet) => packet.slice(2, 4) === '12'));
});

test('a lossy frame holds no memory once it is in flight', () => {
  const end = open();
  for (let now = 0; now < 500; now++) {
    end.sendLossy('aa'.repeat(1_300));
    end.pump(now);
  }
  assert.ok(end.channel.stats(500).memoryBytes <= 128 * 1_376);
});

test('a duplicated packet delivers its frames once', () => {
  const end = open();
  end.receive('db 2a 0a0b0c0d 00000003 0001 61 0001 62');
  end.receive('db 2a 0a0b0c0d 00000003 0001 61 0001 62');
  assert.deepEqual(end.frames, ['61', '62']);
  end.receive('db 22 0a0b0c0d 00000001 63');
  assert.deepEqual(end.frames, ['61', '62', '63']);
});

test('a packet too late to be recognized as new delivers nothing', () => {
  const end = open();
  end.receive('db 22 0a0b0c0d 00004000 61');
  end.receive('db 22 0a0b0c0d 00000001 62');
  assert.deepEqual(end.frames, ['61']);
});

test('when too many wait the oldest are dropped, and their room is returned', () => {
  const end = new HeldChannel();
  end.result = 'full';
  const frames = LOSSY_BACKLOG_BYTES / 1_024 + 10;
  for (let i = 0; i < frames; i++) end.sendLossy(i.toString(16).padStart(4, '0').repeat(512));
  assert.equal(end.channel.stats(0).lossyDroppedOut, 10);
  assert.equal(end.drained, 10 * 1_024);
  assert.equal(end.channel.backlogBytes, LOSSY_BACKLOG_BYTES);
  end.result = 'sent';
  assert.equal(end.pump(10)[0]?.slice(20, 24), '000a');
});

test('reliable frames have their room whatever lossy frames wait', () => {
  const end = new HeldChannel();
  end.result = 'full';
  for (let i = 0; i < 1_000; i++) end.sendLossy('aa'.repeat(1_024));
  end.send('61');
  assert.equal(end.channel.backlogBytes, LOSSY_BACKLOG_BYTES + 1);
});

test('none waits for an offline friend', () => {
  const end = open();
  end.sendLossy('61');
  end.sendLossy('62');
  end.channel.freeze(0);
  assert.equal(end.drained, 2);
  end.sendLossy('63');
  assert.equal(end.drained, 3);
  assert.equal(end.channel.stats(0).lossyDroppedOut, 3);
  end.channel.thaw(10);
  assert.deepEqual(end.pump(10), []);
  assert.equal(end.channel.backlogBytes, 0);
});

test('a frame without room in the inbound ring is dropped, but acknowledged', () => {
  const end = open();
  end.room = 1;
  end.receive('db 2a 0a0b0c0d 00000000 0001 61 0001 62 0001 63');
  end.receive('db 22 0a0b0c0d 00000001 64');
  end.room = 9;
  assert.deepEqual(end.pump(50), [plain('db 01 0a0b0c0d 00000001 186a 00 01')]);
  assert.deepEqual(end.frames, ['61']);
  assert.equal(end.channel.stats(0).lossyDroppedIn, 3);
  assert.equal(end.channel.stats(0).framesIn, 1);
});

test('a frame that fits no packet is refused, like any other', () => {
  const end = open();
  assert.throws(() => end.sendLossy('aa'.repeat(1_345)), { code: 'ERR_LIMIT' });
  assert.throws(() => end.sendLossy(''), { code: 'ERR_LIMIT' });
});
