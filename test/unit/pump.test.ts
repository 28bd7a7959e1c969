import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pump } from '../../src/worker/pump.js';
import { VirtualTimers } from '../support/virtual_timers.js';

/** Everything that a pump drives, on a clock and an event loop that the test turns. */
class Machine {
  readonly timers = new VirtualTimers();
  readonly did: string[] = [];
  turns: (() => void)[] = [];
  waiting = 0;
  allowed = 0;
  intervalMs = 50;
  channelsAtMs = Number.POSITIVE_INFINITY;
  inIterate: () => void = () => {};
  inChannels: () => void = () => {};

  readonly pump = new Pump({
    timers: this.timers,
    nextTurn: (callback) => this.turns.push(callback),
    network: this.#network(),
    instance: {
      iterate: () => {
        this.did.push('iterate');
        this.#take();
        this.inIterate();
      },
      poll: () => {
        this.did.push('poll');
        this.#take();
      },
      intervalMs: () => this.intervalMs,
    },
    channels: {
      pump: () => {
        this.did.push('channels');
        this.inChannels();
        return this.channelsAtMs;
      },
    },
  });

  /** The next turn of the event loop. False when nothing is due. */
  turn(): boolean {
    const turns = this.turns;
    this.turns = [];
    for (const callback of turns) callback();
    return turns.length > 0;
  }

  settle(): void {
    for (let turns = 0; this.turn(); turns++) assert.ok(turns < 100, 'the event loop never rests');
  }

  takeDid(): string[] {
    return this.did.splice(0);
  }

  #take(): void {
    this.waiting -= Math.min(this.waiting, this.allowed);
  }

  #network() {
    const machine = this;
    return {
      get datagramsWaiting() {
        return machine.waiting;
      },
      allowDatagrams(count: number) {
        machine.allowed = count;
      },
    };
  }
}

/** A machine that has had its first turn. */
function started(): Machine {
  const machine = new Machine();
  machine.pump.wake();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
  return machine;
}

test('toxcore does its full work at its own interval, and nothing happens in between', () => {
  const machine = started();
  machine.timers.advance(49);
  machine.settle();
  assert.deepEqual(machine.takeDid(), []);
  machine.timers.advance(1);
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
  machine.intervalMs = 5;
  machine.timers.advance(50);
  machine.settle();
  machine.takeDid();
  machine.timers.advance(5);
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
  assert.equal(machine.pump.iterations, 4);
});

test('datagrams are read at once, without the full work', () => {
  const machine = started();
  machine.waiting = 3;
  machine.pump.wake();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['poll', 'channels']);
  assert.equal(machine.waiting, 0);
});

test('a steady flow of datagrams does not delay the full work', () => {
  const machine = started();
  for (let ms = 0; ms < 50; ms += 10) {
    machine.timers.advance(10);
    machine.waiting = 1;
    machine.pump.wake();
    machine.settle();
  }
  assert.equal(machine.takeDid().filter((what) => what === 'iterate').length, 1);
});

test('a flood of datagrams is read in slices, with the channels in between', () => {
  const machine = started();
  machine.waiting = 600;
  machine.pump.wake();
  machine.turn();
  assert.deepEqual(machine.takeDid(), ['poll', 'channels']);
  assert.ok(machine.waiting > 0 && machine.waiting < 600);
  machine.settle();
  assert.equal(machine.waiting, 0);
});

test('wake-ups before a turn merge into one', () => {
  const machine = started();
  machine.pump.wake();
  machine.pump.wake();
  machine.pump.wakeFully();
  assert.equal(machine.turns.length, 1);
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
});

test('active TCP connections trigger the full work at once', () => {
  const machine = started();
  machine.pump.wakeFully();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
  machine.pump.wake();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['channels']);
});

test('a connection that becomes active during the full work triggers it once more', () => {
  const machine = started();
  let moves = 1;
  machine.inIterate = () => {
    if (moves-- > 0) machine.pump.wakeFully();
  };
  machine.pump.wakeFully();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels', 'iterate', 'channels']);
});

test('channels are called when they asked to be, not later', () => {
  const machine = started();
  machine.channelsAtMs = machine.timers.nowMs() + 20;
  machine.pump.wake();
  machine.settle();
  machine.takeDid();
  machine.channelsAtMs = Number.POSITIVE_INFINITY;
  machine.timers.advance(19);
  machine.settle();
  assert.deepEqual(machine.takeDid(), []);
  machine.timers.advance(1);
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['channels']);
});

test('a wait shorter than a timer is spent in turns of the event loop', () => {
  const machine = started();
  machine.channelsAtMs = machine.timers.nowMs() + 0.2;
  machine.pump.wake();
  machine.turn();
  assert.equal(machine.turns.length, 1);
  machine.channelsAtMs = Number.POSITIVE_INFINITY;
  machine.settle();
});

test('after sending, the pump asks toxcore again when its full work is due', () => {
  const machine = started();
  machine.inChannels = () => {
    machine.intervalMs = 3;
  };
  machine.pump.wake();
  machine.settle();
  machine.takeDid();
  machine.timers.advance(3);
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate', 'channels']);
});

test('the pump holds one timer at a time', () => {
  const machine = started();
  for (let i = 0; i < 20; i++) {
    machine.channelsAtMs = machine.timers.nowMs() + 1 + ((i * 7) % 20);
    machine.pump.wake();
    machine.settle();
    assert.equal(machine.timers.running, 1);
  }
});

test('a stopped pump does nothing any more, not even due work', () => {
  const machine = started();
  machine.pump.wake();
  machine.pump.stop();
  machine.settle();
  machine.timers.advance(1000);
  machine.pump.wake();
  machine.pump.wakeFully();
  machine.settle();
  assert.deepEqual(machine.takeDid(), []);
  assert.equal(machine.timers.running, 0);
});

test('a pump stopped by an event goes no further', () => {
  const machine = started();
  machine.inIterate = () => machine.pump.stop();
  machine.pump.wakeFully();
  machine.settle();
  assert.deepEqual(machine.takeDid(), ['iterate']);
  assert.equal(machine.timers.running, 0);
});
