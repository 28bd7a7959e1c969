import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChannelId, ChannelStats } from '../../src/bridge/contract.js';
import { logStats } from '../../src/worker/channel_set.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const QUIET: ChannelStats = {
  backlogBytes: 0,
  framesOut: 0,
  framesIn: 0,
  roundTripMs: 0,
  packetsLost: 0,
  inFlightBytes: 0,
};

function world() {
  const timers = new VirtualTimers();
  const lines: string[] = [];
  const channels = new Map<ChannelId, ChannelStats>();
  const logger = { log: (level: string, message: string) => lines.push(`${level} ${message}`) };
  const stop = logStats({ stats: () => channels.entries() }, timers, logger, () => ({ datagramsIn: 7 }));
  return { timers, lines, channels, stop };
}

test('an active channel logs a line per second, with the worker’s figures next to its own', () => {
  const { timers, lines, channels } = world();
  channels.set(3, { ...QUIET, framesOut: 5 });
  timers.advance(999);
  assert.deepEqual(lines, []);
  timers.advance(1);
  const line = JSON.stringify({ ...QUIET, framesOut: 5, datagramsIn: 7 });
  assert.deepEqual(lines, [`debug channel 3: ${line}`]);
  channels.set(3, { ...QUIET, framesOut: 5, framesIn: 1 });
  timers.advance(1_000);
  assert.equal(lines.length, 2);
});

test('an idle channel logs no line, unless frames wait in it', () => {
  const { timers, lines, channels } = world();
  channels.set(3, QUIET);
  channels.set(4, { ...QUIET, framesIn: 2 });
  timers.advance(1_000);
  assert.equal(lines.length, 1);
  timers.advance(5_000);
  assert.equal(lines.length, 1);
  channels.set(3, { ...QUIET, backlogBytes: 10 });
  timers.advance(2_000);
  assert.equal(lines.length, 3);
});

test('once stopped it writes nothing and leaves no timer', () => {
  const { timers, lines, channels, stop } = world();
  channels.set(3, { ...QUIET, backlogBytes: 10 });
  timers.advance(1_000);
  stop();
  timers.advance(10_000);
  assert.equal(lines.length, 1);
  assert.equal(timers.running, 0);
});
