import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runChannelWorld } from '../support/channel_world.js';

/** A few hundred of the seeds that bench/channel_seeds.ts runs. */
const SEEDS = 300;

test('over any path generated from a seed, every frame arrives exactly once and intact, within the bounds', () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    try {
      runChannelWorld(seed);
    } catch (error) {
      throw new Error(`replay it: npx tsx bench/channel_seeds.ts --seed ${seed}`, { cause: error });
    }
  }
});

test('a seed gives the same result each time', () => {
  assert.deepEqual(runChannelWorld(5), runChannelWorld(5));
});
