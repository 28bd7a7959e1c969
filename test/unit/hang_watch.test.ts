import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HangWatch, inspectorIsOpen } from '../../src/bridge/hang_watch.js';
import { Timer } from '../../src/core/clock.js';
import { MainRings } from '../../src/ring/main_rings.js';
import { allocateShared } from '../../src/ring/shared.js';
import { WorkerRings } from '../../src/ring/worker_rings.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** A clock that can jump: timers that fell due meanwhile run late, as after a sleep of the machine. */
class JumpingTimers extends VirtualTimers {
  #jumpedMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#jumpedMs;
  }

  jump(ms: number): void {
    this.#jumpedMs += ms;
  }
}

function watched({ isDebugged = false } = {}) {
  const timers = new JumpingTimers();
  const state = { beats: 0, isDebugged, hung: 0 };
  const watch = new HangWatch({
    timers,
    beats: () => state.beats,
    isDebugged: () => state.isDebugged,
    onHung: () => void state.hung++,
  });
  return { timers, state, watch };
}

test('a worker that takes no turn for 30 s is reported once', () => {
  const { timers, state } = watched();
  timers.advance(29_000);
  assert.equal(state.hung, 0);
  timers.advance(2_000);
  assert.equal(state.hung, 1);
  assert.equal(timers.running, 0);
  timers.advance(600_000);
  assert.equal(state.hung, 1);
});

test('a worker that takes a turn now and then is never reported, even when its counter wraps', () => {
  const { timers, state } = watched();
  state.beats = 2 ** 31 - 2;
  for (let turns = 0; turns < 20; turns++) {
    timers.advance(25_000);
    state.beats = (state.beats + 1) | 0;
  }
  assert.equal(state.hung, 0);
});

test('a turn ends the silence: only 30 s in one piece count', () => {
  const { timers, state } = watched();
  timers.advance(28_000);
  state.beats++;
  timers.advance(28_000);
  assert.equal(state.hung, 0);
  timers.advance(4_000);
  assert.equal(state.hung, 1);
});

test('a process that was stopped or slept does not count the time', () => {
  const { timers, state } = watched();
  for (const sleepMs of [60_000, 3_600_000, 86_400_000]) {
    timers.jump(sleepMs);
    timers.advance(10_000);
    state.beats++;
    timers.advance(2_000);
  }
  assert.equal(state.hung, 0);
});

test('a main thread that is busy itself does not count the time, and reports a worker that hangs later', () => {
  const { timers, state } = watched();
  // Each of its turns takes 4 s.
  for (let turns = 0; turns < 50; turns++) {
    timers.jump(4_000);
    timers.advance(2_000);
  }
  assert.equal(state.hung, 0);
  timers.advance(30_000);
  assert.equal(state.hung, 1);
});

test('a worker that a debugger may have paused is not reported before the debugger is gone', () => {
  const { timers, state } = watched({ isDebugged: true });
  timers.advance(3_600_000);
  assert.equal(state.hung, 0);
  state.isDebugged = false;
  timers.advance(30_000);
  assert.equal(state.hung, 1);
  assert.equal(inspectorIsOpen(), false);
});

test('a watch that was stopped says nothing and leaves no timer', () => {
  const { timers, state, watch } = watched();
  watch.stop();
  timers.advance(600_000);
  assert.deepEqual([state.hung, timers.running], [0, 0]);
});

test('each turn of the worker shows in the memory that the main thread sees, and nothing else does', () => {
  const pair = allocateShared({ capacityBytes: 4096 });
  const [main, worker] = [new MainRings(pair.main), new WorkerRings(pair.worker)];
  const timers = new VirtualTimers();
  let hung = 0;
  const isDebugged = (): boolean => false;
  const watch = new HangWatch({
    timers,
    beats: () => main.workerBeats,
    isDebugged,
    onHung: () => void hung++,
  });
  const turns = new Timer(timers);
  turns.every(1_000, () => worker.inOneTurn(() => {}));
  timers.advance(120_000);
  assert.equal(hung, 0);
  turns.clear();
  timers.advance(32_000);
  assert.equal(hung, 1);
  watch.stop();
  main.close();
  worker.close();
});
