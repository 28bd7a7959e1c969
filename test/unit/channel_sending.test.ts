import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldChannel, Notes, plain } from '../support/channel_pair.js';

function fill(end: HeldChannel, frames: number): void {
  for (let i = 0; i < frames; i++) end.send('aa'.repeat(1_300));
}

test('no more leaves than the window allows, however long nothing is acknowledged', () => {
  const end = new HeldChannel();
  fill(end, 100);
  let sent = 0;
  for (let now = 0; now < 300; now++) sent += end.pump(now).length;
  assert.ok(sent >= 30 && sent <= 34, `${sent} packets`);
});

test('a burst is bounded, and an urgent frame overtakes it', () => {
  const end = new HeldChannel();
  fill(end, 30);
  const burst = end.pump(0).length;
  assert.ok(burst >= 1 && burst <= 8, `${burst} packets`);
  assert.deepEqual(end.pump(0), []);
  end.send('cc', true);
  assert.deepEqual(
    end.pump(0).map((packet) => packet.slice(28)),
    ['cc'],
  );
});

test('the controller is notified of urgent frames only', () => {
  const notes = new Notes();
  const end = new HeldChannel(1, true, notes);
  end.send('aa');
  assert.deepEqual(notes.urgentAtMs, []);
  end.send('cc', true);
  assert.equal(notes.urgentAtMs.length, 1);
});

test('a pump sends a bounded number of packets and asks to be called again at once', () => {
  const end = new HeldChannel(1, true, new Notes());
  fill(end, 100);
  assert.equal(end.channel.pump(1), 1);
  assert.equal(end.sent.length, 64);
  assert.ok(end.channel.pump(1) > 1);
  assert.equal(end.sent.length, 100);
});

test('packets with nothing queued behind them are marked as app-limited', () => {
  const notes = new Notes();
  const end = new HeldChannel(1, true, notes);
  for (let now = 0; now < 200; now += 100) {
    end.send('61');
    end.pump(now);
    const ack = now === 0 ? 'db 01 0a0b0c0d 00000000 0000 00 00' : 'db 01 0a0b0c0d 00000001 0000 00 00';
    end.receive(ack, now + 50);
  }
  assert.equal(notes.batches.at(-1)?.appLimited, true);
});

test('the last packet that the window allows demands its acknowledgement', () => {
  const notes = new Notes();
  notes.windowBytes = 2_000;
  const end = new HeldChannel(1, true, notes);
  fill(end, 3);
  assert.deepEqual(
    end.pump(1).map((packet) => packet.slice(2, 4)),
    ['06', '16'],
  );
});

test('after a thaw the packets in flight are retransmitted at once, under new numbers, on a new model', () => {
  const notes = new Notes();
  const end = new HeldChannel(1, true, notes);
  end.send('61');
  end.pump(0);
  end.channel.freeze(10);
  assert.deepEqual(end.pump(5_000), []);
  end.channel.thaw(6_000);
  assert.deepEqual(end.pump(6_000), [plain('db 06 0a0b0c0d 00000001 00000000 61')]);
  assert.equal(notes.timeouts, 1);
  end.channel.thaw(6_001);
  assert.equal(notes.timeouts, 1);
});

test('a change of path forgets the round trip, and informs the controller', () => {
  const notes = new Notes();
  const end = new HeldChannel(1, true, notes);
  end.send('61');
  end.pump(0);
  end.receive('db 01 0a0b0c0d 00000000 0000 00 00', 40);
  assert.equal(end.channel.stats(40).minRoundTripMs, 40);
  end.channel.pathChanged(50);
  assert.equal(end.channel.stats(50).minRoundTripMs, 0);
  assert.equal(notes.pathChanges, 1);
});

test('a recently heard peer is not pinged for a keep-alive', () => {
  const end = new HeldChannel();
  end.pump(0);
  end.receive('db 06 0a0b0c0d 00000000 00000000 61', 9_000);
  end.pump(9_002);
  assert.deepEqual(end.pump(18_999), []);
  assert.deepEqual(end.pump(19_000), [plain('db 12 0a0b0c0d 00000000')]);
});

test('a peer that owes an answer is probed, not pinged for a keep-alive', () => {
  const end = new HeldChannel(1, true, new Notes());
  end.pump(0);
  end.send('61');
  end.pump(0);
  assert.deepEqual(
    end.pump(10_000).map((packet) => packet.slice(0, 4)),
    ['db16', 'db16'],
  );
});

test('two probes, for the two oldest bundles, ask about losses', () => {
  const end = new HeldChannel(1, true, new Notes());
  end.send('aa'.repeat(1_000));
  end.send('bb'.repeat(1_000));
  end.pump(0);
  const probes = end.pump(1_100);
  assert.deepEqual(
    probes.map((packet) => packet.slice(0, 30)),
    [plain('db 16 0a0b0c0d 00000002 00000000 aa'), plain('db 16 0a0b0c0d 00000003 00000001 bb')],
  );
});

test('an end that only ever receives pings also returns its memory', () => {
  const end = new HeldChannel();
  end.send('61');
  end.pump(0);
  end.receive('db 01 0a0b0c0d 00000000 0000 00 00', 1);
  assert.ok(end.channel.stats(1).memoryBytes > 0);
  for (let ping = 0; ping < 2; ping++) {
    const now = 9_000 * (ping + 1);
    end.receive(`db 12 0a0b0c0d 0000000${ping}`, now);
    end.pump(now);
  }
  assert.equal(end.channel.stats(18_000).memoryBytes, 0);
});
