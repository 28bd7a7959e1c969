import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processIo } from '../../src/cli/process/process_io.js';

const NAMES = ['TOX_WASM_TUNNEL_TICKET', 'TOX_WASM_TUNNEL_PASSPHRASE', 'TOX_WASM_TUNNEL_PROXY'];

test('variables with secrets leave the environment before any command runs, and are handed out once', () => {
  for (const name of NAMES) process.env[name] = `of ${name}`;
  const io = processIo(async () => {
    throw new Error('nothing is loaded for that');
  });
  for (const name of NAMES) assert.ok(!(name in process.env), name);
  for (const name of NAMES) {
    assert.equal(io.takeEnv(name), `of ${name}`);
    assert.equal(io.takeEnv(name), undefined);
  }
});

test('unset variables are missing, and other variables stay', () => {
  process.env['TOX_WASM_TEST'] = 'x';
  const io = processIo(async () => {
    throw new Error('nothing is loaded for that');
  });
  for (const name of NAMES) assert.equal(io.takeEnv(name), undefined);
  assert.equal(process.env['TOX_WASM_TEST'], 'x');
  delete process.env['TOX_WASM_TEST'];
});
