import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeHealth } from '../../src/bridge/contract.js';
import { MAX_WASM_BYTES } from '../../src/core/limits.js';
import { HealthWatch } from '../../src/worker/health_watch.js';
import { VirtualTimers } from '../support/virtual_timers.js';

class Bench {
  readonly timers = new VirtualTimers();
  bytes = 1_000_000;
  dropped = 0;
  readonly logs: string[] = [];
  readonly told: NodeHealth[] = [];
  readonly short: boolean[] = [];
  readonly watch = new HealthWatch({
    timers: this.timers,
    wasmMemoryBytes: () => this.bytes,
    strangersDropped: () => this.dropped,
    log: (level, message) => void this.logs.push(`${level}: ${message}`),
    tell: (health) => void this.told.push(health),
    memoryIsShort: (isShort) => void this.short.push(isShort),
  });

  pass(seconds: number): void {
    for (let i = 0; i < seconds; i++) this.timers.advance(1000);
  }
}

test('short memory is told once with what to do, and newcomers are taken again only when much is free', () => {
  const bench = new Bench();
  bench.bytes = MAX_WASM_BYTES * 0.79;
  bench.pass(20);
  assert.deepEqual(bench.short, []);
  bench.bytes = MAX_WASM_BYTES * 0.81;
  bench.pass(20);
  bench.bytes = MAX_WASM_BYTES * 0.75;
  bench.pass(20);
  assert.deepEqual(bench.short, [true]);
  assert.equal(bench.logs.length, 1);
  assert.match(bench.logs[0] ?? '', /^error: toxcore uses 415 of 512 MiB .*refused.*lower --max-peers/);
  bench.bytes = MAX_WASM_BYTES * 0.6;
  bench.pass(20);
  assert.deepEqual(bench.short, [true, false]);
  assert.match(bench.logs[1] ?? '', /^info: .*accepted again/);
});

test('a flood is logged when it begins and every ten minutes, and a few stray packets never', () => {
  const bench = new Bench();
  for (let i = 0; i < 600; i++) {
    bench.dropped += 10;
    bench.pass(1);
  }
  assert.deepEqual(bench.logs, []);
  for (let i = 0; i < 1500; i++) {
    bench.dropped += 40_000;
    bench.pass(1);
  }
  assert.equal(bench.logs.length, 3);
  assert.match(bench.logs.join(), /^warn: strangers send more .* \d+ were dropped/);
});

test('values are told when they have changed, and after the end nothing is', () => {
  const bench = new Bench();
  bench.pass(30);
  assert.deepEqual(bench.told, [{ wasmMemoryBytes: 1_000_000, strangersDropped: 0 }]);
  bench.dropped = 5;
  bench.pass(30);
  assert.deepEqual(bench.told.at(-1), { wasmMemoryBytes: 1_000_000, strangersDropped: 5 });
  assert.equal(bench.told.length, 2);
  bench.watch.stop();
  bench.dropped = 6;
  bench.pass(30);
  assert.equal(bench.told.length, 2);
});
