import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, beforeEach, describe, test } from 'node:test';
import type { AuditRecord } from '../../src/index.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const temp = new TempFolder();
after(() => temp.remove());

const PEER = 'AB'.repeat(32);
const WHO = { peer: PEER, name: 'laptop' } as const;
const FLOW = { ...WHO, flow: '6f1c7a52-8c0e-4a57-9b51-0b8a3c1d2e3f' } as const;
const WEB = { ...FLOW, kind: 'tcp', target: 'web.lan:80' } as const;

/** One record of each kind, with all of its fields. */
const RECORDS: readonly AuditRecord[] = [
  { audit: 'admitted', ...WHO, kind: 'ticket', resumes: false },
  { audit: 'refused', ...WHO, why: 'expired' },
  { audit: 'strangers', count: 3 },
  { audit: 'omitted', count: 2 },
  { audit: 'online', ...WHO, path: 'udp' },
  { audit: 'offline', ...WHO, durationMs: 61_000 },
  { audit: 'opened', ...WEB, address: '10.0.0.7', client: '192.0.2.1:5' },
  { audit: 'denied', ...WEB, reason: 'not-allowed', message: 'web.lan port 80 is not exposed' },
  { audit: 'failed', ...WEB, reason: 'timeout', message: 'web.lan port 80 does not answer' },
  {
    ...{ audit: 'ended', ...WEB, address: '10.0.0.7', client: '192.0.2.1:5', how: 'reset', reason: 'reset' },
    ...{ durationMs: 12, bytesIn: 7, bytesOut: 9, datagramsIn: 1, datagramsOut: 2 },
  } as const,
  { audit: 'bound', ...FLOW, listen: '127.0.0.1:8080' },
  { audit: 'unbound', ...FLOW, listen: '127.0.0.1:8080', durationMs: 5 },
];

const time = '2026-01-02T03:04:05.678Z';

let bench = new CliBench();
let count = 0;
let file = '';
beforeEach(() => {
  bench = new CliBench();
  file = temp.file(`audit-${count++}`);
});

const linesIn = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);

describe('listen --audit-log', () => {
  test('writes each record as a line of JSON, from the start to the end', async () => {
    const { ended } = await bench.start(/Listening/, 'listen', '--expose', '22', '--audit-log', file);
    for (const record of RECORDS) bench.tunnel.emit('audit', record);
    bench.signal('SIGTERM');
    assert.equal(await ended, 0);
    const all = [{ audit: 'started', toxId: bench.tunnel.toxId }, ...RECORDS, { audit: 'stopped' }];
    assert.deepEqual(
      linesIn(file),
      all.map((record) => JSON.stringify({ time, ...record })),
    );
    assert.equal(bench.stdout.text, '');
  });

  test('- writes to standard output, next to events that --json prints there', async () => {
    const { ended } = await bench.start(
      /"started"/,
      'listen',
      '--json',
      '--expose',
      '22',
      '--audit-log',
      '-',
    );
    bench.tunnel.emit('audit', { audit: 'strangers', count: 3 });
    bench.signal('SIGTERM');
    assert.equal(await ended, 0);
    const names = bench.stdout.lines.map((line) => JSON.parse(line));
    const audits = names.filter((line) => 'audit' in line).map(({ audit }) => audit);
    assert.deepEqual(audits, ['started', 'strangers', 'stopped']);
    assert.ok(names.every((line) => 'audit' in line !== 'event' in line));
  });

  test('has no ticket in it', async () => {
    const { ended } = await bench.start(/Listening/, 'listen', '--expose', '22', '--audit-log', file);
    const { ticket = '' } = bench.tunnel;
    assert.notEqual(ticket, '');
    bench.tunnel.emit('audit', {
      audit: 'denied',
      ...WEB,
      target: ticket,
      reason: 'not-allowed',
      message: ticket,
    });
    bench.signal('SIGTERM');
    await ended;
    assert.ok(!readFileSync(file, 'utf8').includes(ticket.slice(10, 40)));
  });

  test('makes no file when the call is wrong, and starts nothing when there can be no file', async () => {
    assert.equal(await bench.run('listen', '--expose', 'x:y:z:1', '--audit-log', file), 2);
    assert.ok(!existsSync(file));
    assert.equal(await bench.run('listen', '--expose', '22', '--audit-log', temp.file('no/where')), 1);
    assert.match(bench.stderr.text, /the audit log .* cannot be opened: there is no such file or folder/);
    assert.equal(await bench.run('listen', '--expose', '22', '--audit-log', ''), 2);
    assert.deepEqual(bench.calls, []);
  });
});

test('docs/reference/audit-log.md has every record and every field, and no other', () => {
  const page = readFileSync(new URL('../../docs/reference/audit-log.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| `(?!audit`)\w+` \|/.test(line));
  const written = new Map(
    rows.map((row) => {
      const [, audit = '', fields = ''] = row.split('|');
      const names = [...fields.replaceAll(/\(.*?\)/g, '').matchAll(/`(\w+)`/g)].map(([, field]) => field);
      return [audit.replaceAll(/[` ]/g, ''), names.sort()];
    }),
  );
  const own = [{ audit: 'started', toxId: '' }, { audit: 'stopped' }, { audit: 'lost', count: 1 }];
  const real = new Map(
    [...own, ...RECORDS].map(({ audit, ...fields }) => [audit, Object.keys(fields).sort()]),
  );
  assert.deepEqual(new Map([...written].sort()), new Map([...real].sort()));
});
