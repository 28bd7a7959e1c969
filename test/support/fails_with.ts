import assert from 'node:assert/strict';
import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';

/** For `assert.rejects` and `assert.throws`: matches a refusal of ours with one line that matches `why`. */
export const failsWith = (code: TunnelErrorCode, why: RegExp) => (error: unknown) => {
  assert.ok(TunnelError.is(error), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, why);
  assert.ok(!error.message.includes('\n'), error.message);
  return true;
};
