/** Locks of containers: host names and process ids say nothing there, so the kernel says who lives. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openBeacon } from '../../src/core/socket_file.js';
import { ownProcessMark, takeRoleLock } from '../../src/state/role_lock.js';
import { programWords } from '../support/build.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const skip = process.platform === 'linux' ? false : 'needs the boot id of Linux';

let temp: TempFolder;
beforeEach(() => {
  temp = new TempFolder();
});
afterEach(() => temp.remove());

/** Writes a lock as a process in another container has it. */
function lockOf(changes: object): void {
  const mark = { state: 'held', ...ownProcessMark(), token: 'of another process', ...changes };
  writeFileSync(join(temp.path, 'listener.lock.7'), JSON.stringify(mark), { mode: 0o600 });
}

/** A socket that nobody listens on any more, as a killed process leaves it. */
async function deadBeacon(name: string): Promise<void> {
  const [program = '', ...args] = programWords(new URL('../support/beacon_program.ts', import.meta.url));
  // It kills itself.
  await assert.rejects(runProgram(program, [...args, temp.path, name]), /SIGKILL/);
  assert.ok(readdirSync(temp.path).includes(name));
}

test('a container made anew with another host name takes the lock of its dead predecessor', {
  skip,
}, async () => {
  await deadBeacon('listener.beacon.0123abcd');
  lockOf({ host: 'old-container', pid: 7, beacon: 'listener.beacon.0123abcd' });
  const answer = await takeRoleLock(temp.path, 'listener');
  assert.equal(answer.kind, 'held');
  const names = readdirSync(temp.path);
  assert.ok(!names.includes('listener.beacon.0123abcd') && !names.includes('listener.lock.7'), names.join());
});

test('a container with the same host name does not take the lock of a live one, whatever the process ids', {
  skip,
}, async () => {
  const close = await openBeacon(temp.path, 'listener.beacon.0123abcd');
  // No process of this container has the id, or another one has.
  for (const pid of [2 ** 22 + 1, process.pid, process.ppid]) {
    lockOf({ pid, beacon: 'listener.beacon.0123abcd' });
    assert.equal((await takeRoleLock(temp.path, 'listener')).kind, 'busy', String(pid));
  }
  close?.();
});

test('a process id that another process has now does not keep a lock', { skip }, async () => {
  await deadBeacon('listener.beacon.0123abcd');
  lockOf({ pid: process.ppid, started: ownProcessMark().started, beacon: 'listener.beacon.0123abcd' });
  assert.equal((await takeRoleLock(temp.path, 'listener')).kind, 'held');
});

test('a lock of another machine stays, since its socket says nothing here', { skip }, async () => {
  await deadBeacon('listener.beacon.0123abcd');
  lockOf({ host: 'elsewhere', started: 'another-boot/1', beacon: 'listener.beacon.0123abcd' });
  const answer = await takeRoleLock(temp.path, 'listener');
  assert.ok(answer.kind === 'busy' && answer.holder.host === 'elsewhere');
});

test('a beacon is there while the lock is held, and is gone with it', { skip }, async () => {
  const answer = await takeRoleLock(temp.path, 'listener');
  assert.ok(answer.kind === 'held');
  const { beacon } = JSON.parse(readFileSync(join(temp.path, 'listener.lock.1'), 'utf8'));
  assert.ok(readdirSync(temp.path).includes(beacon));
  assert.equal((await takeRoleLock(temp.path, 'listener')).kind, 'busy');
  await answer.lock.release();
  assert.deepEqual(readdirSync(temp.path), ['listener.lock.1']);
});
