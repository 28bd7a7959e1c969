import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  lchownSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, describe, test } from 'node:test';
import type { Output } from '../../src/cli/process/output_stream.js';
import { AuditLog } from '../../src/cli/service/audit_log.js';
import type { AuditRecord } from '../../src/index.js';
import { TextSink } from '../support/cli_bench.js';
import { failsWith } from '../support/fails_with.js';
import { TempFolder } from '../support/temp_folder.js';

const folder = new TempFolder();
after(() => folder.remove());
let count = 0;
const newFile = (): string => folder.file(`audit-${count++}.jsonl`);

const NO_FULL = existsSync('/dev/full') ? false : 'needs /dev/full';
const STRANGERS: AuditRecord = { audit: 'strangers', count: 3 };
const TIME = '2026-01-02T03:04:05.678Z';

function options(stdout: Output = new TextSink()) {
  const complaints: string[] = [];
  const complain = (message: string): void => void complaints.push(message);
  return { stdout, wallClock: () => new Date(TIME), complain, complaints };
}

const parsed = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The records in a file, without their time. */
const recordsIn = (file: string): object[] =>
  parsed(readFileSync(file, 'utf8')).map(({ time, ...record }) => {
    assert.equal(time, TIME);
    return record;
  });

describe('the audit log', () => {
  test('is a file that only its owner may read, and grows with each run', async () => {
    const file = newFile();
    for (const _ of [1, 2]) {
      const log = await AuditLog.open(file, options());
      log.record(STRANGERS);
      await log.close();
    }
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const run = [STRANGERS, { audit: 'stopped' }];
    assert.deepEqual(recordsIn(file), [...run, ...run]);
  });

  test('begins a new line after one that an earlier run could not complete', async () => {
    const file = newFile();
    writeFileSync(file, '{"audit":"sto');
    await (await AuditLog.open(file, options())).close();
    const [torn, ...others] = readFileSync(file, 'utf8').trimEnd().split('\n');
    assert.equal(torn, '{"audit":"sto');
    assert.deepEqual(
      others.map((line) => JSON.parse(line).audit),
      ['stopped'],
    );
  });

  test('goes on in a new file when the old one was renamed, and loses no record', async () => {
    const file = newFile();
    const log = await AuditLog.open(file, options());
    log.record(STRANGERS);
    renameSync(file, `${file}.1`);
    const reopened = log.reopen();
    log.record(STRANGERS);
    await reopened;
    log.record(STRANGERS);
    await log.close();
    assert.deepEqual(
      [...recordsIn(`${file}.1`), ...recordsIn(file)],
      [STRANGERS, STRANGERS, STRANGERS, { audit: 'stopped' }],
    );
    assert.deepEqual(recordsIn(file).at(-1), { audit: 'stopped' });
  });

  test('stays in the old file, and says so, when the new one cannot be opened', async () => {
    const file = newFile();
    const told = options();
    const log = await AuditLog.open(file, told);
    rmSync(file);
    symlinkSync(folder.file('nowhere/x'), file);
    await log.reopen();
    log.record(STRANGERS);
    await log.close();
    assert.match(told.complaints.join(), /no such file or folder .*; the audit continues in the old file/);
  });

  test('on a full disk says so once, counts what was lost, and goes on when there is room', {
    skip: NO_FULL,
  }, async () => {
    const file = newFile();
    symlinkSync('/dev/full', file);
    const told = options();
    const log = await AuditLog.open(file, told);
    for (const _ of [1, 2, 3]) log.record(STRANGERS);
    rmSync(file);
    while (told.complaints.length === 0) await new Promise(setImmediate);
    await log.reopen();
    log.record(STRANGERS);
    await log.close();
    assert.deepEqual(recordsIn(file), [{ audit: 'lost', count: 3 }, STRANGERS, { audit: 'stopped' }]);
    assert.equal(told.complaints.length, 2);
    assert.match(
      told.complaints[0] ?? '',
      /records are being lost: .*the disk is full \(ENOSPC\).*the tunnel continues/,
    );
    assert.match(told.complaints[1] ?? '', /again; 3 records were lost/);
  });

  test('drops and counts records that a slow reader leaves no room for', async () => {
    const stdout = new TextSink();
    stdout.stalled = true;
    const told = options(stdout);
    const log = await AuditLog.open('-', told);
    const many = 40_000;
    for (let made = 0; made < many; made++) log.record(STRANGERS);
    stdout.resume();
    await log.close();
    const records = parsed(stdout.text);
    const lost = records.find(({ audit }) => audit === 'lost')?.['count'];
    assert.ok(typeof lost === 'number' && lost > 0, String(lost));
    assert.equal(
      records.filter(({ audit }) => audit === 'strangers').length + lost,
      many + 1 - stopsIn(records),
    );
    assert.match(told.complaints[0] ?? '', /as fast as records arrive/);
  });

  test('contains no ticket, wherever a peer puts one', async () => {
    const ticket = `twt1${'0'.repeat(119)}`;
    const file = newFile();
    const log = await AuditLog.open(file, options());
    log.record({
      ...{ audit: 'denied', peer: 'KEY', name: 'laptop', flow: '', kind: 'tcp', reason: 'not-allowed' },
      ...{ target: `${ticket}:22`, message: `${ticket} port 22 is not exposed` },
    } as const);
    await log.close();
    assert.ok(!readFileSync(file, 'utf8').includes(ticket.slice(0, 20)));
  });

  test('that cannot be opened stops the start, with the reason', async () => {
    await assert.rejects(
      AuditLog.open(folder.file('nowhere/audit'), options()),
      failsWith('ERR_OUTPUT', /cannot be opened: there is no such file or folder/),
    );
    await assert.rejects(AuditLog.open(folder.path, options()), failsWith('ERR_OUTPUT', /it is a folder/));
    const file = newFile();
    writeFileSync(file, 'old\n');
    await (await AuditLog.open(file, options())).close();
    assert.match(readFileSync(file, 'utf8'), /^old\n\{/);
  });
});

/** How many records say that the listener has stopped. There is none when even that one found no room. */
function stopsIn(records: readonly Record<string, unknown>[]): number {
  return records.filter(({ audit }) => audit === 'stopped').length;
}

describe('the audit log in the hands of others', () => {
  test('is written, with a warning, when every user may read it', async () => {
    const file = newFile();
    writeFileSync(file, '', { mode: 0o644 });
    const opened = options();
    await (await AuditLog.open(file, opened)).close();
    assert.match(
      opened.complaints.join(),
      /every user of this machine can use .*\(mode 0644\); run: chmod 600/,
    );
  });

  const skip = process.geteuid?.() === 0 ? false : 'needs root';
  test("is refused as another user's file", { skip }, async () => {
    const file = newFile();
    writeFileSync(file, 'theirs\n');
    chownSync(file, 65534, 65534);
    await assert.rejects(AuditLog.open(file, options()), failsWith('ERR_OUTPUT', /belongs to another user/));
    assert.equal(readFileSync(file, 'utf8'), 'theirs\n');
  });

  test('is refused behind a link of another user, and follows our own', { skip }, async () => {
    const [file, link] = [newFile(), newFile()];
    symlinkSync(file, link);
    await (await AuditLog.open(link, options())).close();
    const text = readFileSync(file, 'utf8');
    assert.notEqual(text, '');
    lchownSync(link, 65534, 65534);
    await assert.rejects(AuditLog.open(link, options()), failsWith('ERR_OUTPUT', /a link that another user/));
    assert.equal(readFileSync(file, 'utf8'), text);
  });
});
