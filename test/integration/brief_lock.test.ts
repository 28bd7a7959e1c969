import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { NodeEntry } from '../../src/network/bootstrap_list.js';
import { awaitRoleLock } from '../../src/state/brief_lock.js';
import { createIdentity } from '../../src/state/identity.js';
import { openIdentity } from '../../src/state/identity_file.js';
import { exportState, importState } from '../../src/state/identity_transfer.js';
import { changeNames, lockNames, readNames } from '../../src/state/names_file.js';
import { changePassphrase } from '../../src/state/passphrase_change.js';
import { ownProcessMark, takeRoleLock } from '../../src/state/role_lock.js';
import { readSavedNodes, saveNodes } from '../../src/state/saved_nodes.js';
import { CliBench } from '../support/cli_bench.js';
import { failsWith } from '../support/fails_with.js';
import { hastyTimers } from '../support/hasty_timers.js';
import { TempFolder } from '../support/temp_folder.js';

let temp: TempFolder;
let folder = '';
beforeEach(async () => {
  temp = new TempFolder();
  folder = temp.file('state');
  await mkdir(folder, { mode: 0o700 });
});
afterEach(() => temp.remove());

const NODE: NodeEntry = {
  ipv4: '192.0.2.1',
  ipv6: '-',
  port: 33445,
  tcp_ports: [],
  public_key: 'A'.repeat(64),
};
const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';

/** A lock whose holder never ends. */
const held = (name: string, changes: object = {}): Promise<void> =>
  writeFile(
    join(folder, `${name}.lock.1`),
    JSON.stringify({ state: 'held', ...ownProcessMark(), brief: true, ...changes }),
  );

describe('processes that change the state folder at the same time', () => {
  test('wait for each other: six names added at once are all there', async () => {
    const benches = ['a', 'b', 'c', 'd', 'e', 'f'].map(async (name) => {
      const bench = new CliBench(folder);
      const io = { ...bench.io, timers: hastyTimers() };
      const { run } = await import('../../src/cli/run.js');
      return { code: await run(['add', name, ID], io), bench };
    });
    for (const { code, bench } of await Promise.all(benches)) assert.equal(code, 0, bench.stderr.text);
    assert.deepEqual([...(await readNames({ folder })).keys()].sort(), ['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('lists of nodes saved at once replace each other, and the last one is whole', async () => {
    const save = (number: number) =>
      saveNodes(
        folder,
        { url: `https://${number}.example`, updated: '2026-01-02', nodes: [NODE] },
        hastyTimers(),
      );
    await Promise.all([1, 2, 3, 4].map(save));
    assert.match((await readSavedNodes(folder))?.url ?? '', /^https:\/\/\d\.example$/);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => !name.includes('lock')),
      ['nodes.json'],
    );
  });

  test('a start waits until a command has changed the identity', async () => {
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail', isBrief: true });
    const identity = createIdentity();
    const timers = hastyTimers();
    const starting = openIdentity({ folder, role: 'listener', onBusy: 'fail', timers });
    await opened.save(identity);
    await opened.release();
    const started = await starting;
    assert.deepEqual(started.identity, identity);
    await started.release();
  });

  test('an import and a change of the passphrase wait for a command too', async () => {
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail', isBrief: true });
    await opened.save(createIdentity());
    const { text = '' } = (await exportState({ folder, role: 'listener' })) ?? {};
    const place = { folder, role: 'listener', timers: hastyTimers() } as const;
    const imported = importState({ ...place, text, origin: 'x', replace: true });
    const changed = changePassphrase({ folder, from: undefined, to: undefined, timers: hastyTimers() });
    await opened.release();
    assert.notEqual((await imported).kept, undefined);
    assert.deepEqual(await changed, []);
  });

  test('nobody waits for a process that runs as the role', async () => {
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
    const timers = hastyTimers();
    const answer = await awaitRoleLock(folder, 'listener', { isBrief: true, timers });
    assert.equal(answer.kind, 'busy');
    assert.equal(timers.nowMs(), 0);
    await opened.release();
  });
});

describe('a process that does not release its lock', () => {
  const who = new RegExp(
    `process ${process.pid} is changing the .* in .*did not end within 10 s; try again, or stop it`,
  );

  test('is named after 10 s', async () => {
    const names = await lockNames(folder);
    const timers = hastyTimers();
    const change = changeNames({ folder, timers }, (old) => new Map([...old, ['x', 'y']]));
    await assert.rejects(change, failsWith('ERR_STATE_BUSY', who));
    assert.ok(timers.nowMs() >= 10_000 && timers.nowMs() < 11_000);
    await names.release();
    await held('nodes');
    const list = { url: 'x', updated: 'y', nodes: [NODE] };
    await assert.rejects(saveNodes(folder, list, hastyTimers()), failsWith('ERR_STATE_BUSY', who));
    await held('listener');
    const opened = openIdentity({ folder, role: 'listener', onBusy: 'fail', timers: hastyTimers() });
    await assert.rejects(opened, failsWith('ERR_STATE_BUSY', who));
  });

  test('is named with its machine and its file when it runs elsewhere', async () => {
    await held('names', { host: `not ${hostname()}` });
    await assert.rejects(
      lockNames(folder, hastyTimers()),
      failsWith('ERR_STATE_BUSY', /on "not .*" \(if that machine is gone, delete .*names\.lock\.1\)/),
    );
  });

  test('leaves a lock that others take over once it has ended', async () => {
    await held('names', { pid: 0x3fffffff });
    await (await lockNames(folder, hastyTimers())).release();
    assert.match(await readFile(join(folder, 'names.lock.2'), 'utf8'), /"free"/);
    const answer = await takeRoleLock(folder, 'names');
    assert.equal(answer.kind, 'held');
  });
});
