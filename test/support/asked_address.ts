import assert from 'node:assert/strict';
import type { Target, TargetAddress } from '../../src/mux/wire/target.js';

/** Returns the host and port that a request asks for; fails for a target without them. */
export function askedAddress(target: Target): TargetAddress {
  assert.ok(target.kind !== 'path');
  return target;
}
