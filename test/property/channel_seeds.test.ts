import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runChannelWorld } from '../support/channel_world.js';

/** A few hundred of those that bench/channel_seeds.ts runs. */
const SEEDS = 300;

test('over any path that a seed makes up every frame arrives exactly once and whole, within the bounds', () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    try {
      runChannelWorld(seed);
    } catch (error) {
      throw new Error(`replay it: npx tsx bench/channel_seeds.ts --seed ${seed}`, { cause: error });
    }
  }
});

test('a seed comes to the same each time', () => {
  assert.deepEqual(runChannelWorld(5), runChannelWorld(5));
});
