/** The audit of flows: what the listener's end of a session records about its peer. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemTimers } from '../../src/core/clock.js';
import { TargetServer } from '../../src/forward/exit/target_server.js';
import { PortHolders } from '../../src/forward/reverse/port_holders.js';
import { ReverseServer } from '../../src/forward/reverse/reverse_server.js';
import type { Session } from '../../src/mux/session/session.js';
import type { MuxStream, OpenRequest } from '../../src/mux/stream/stream_api.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import { RuleBook } from '../../src/rules/rule_book.js';
import { type AuditRecord, audited, EntryAudit } from '../../src/tunnel/audit.js';
import { dialLoopback, freePort } from '../support/loopback.js';
import { FakeOwner } from '../support/port_owner.js';
import { sessionPair } from '../support/session_pair.js';
import { readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { UdpEnd } from '../support/udp_end.js';

const WHO = { peer: 'KEY', name: 'laptop' } as const;

interface Bench {
  readonly records: AuditRecord[];
  readonly near: Session;
  readonly far: Session;
  readonly rules: RuleBook;
  /** Resolves with the first record of a kind. */
  recorded(audit: AuditRecord['audit']): Promise<AuditRecord>;
}

function bench(t: TestContext, exposed: readonly string[]): Bench {
  const records: AuditRecord[] = [];
  const rules = new RuleBook(exposed.map(parseExposeSpec));
  const grant = { name: 'laptop', kind: 'ticket', rules: undefined } as const;
  const server = new TargetServer({ peer: 'KEY', rules: rules.rulesFor(() => grant) });
  rules.onChange(() => server.recheck());
  const ports = new ReverseServer({
    owner: new FakeOwner('KEY'),
    holders: new PortHolders(systemTimers),
    rules: { permitsListen: (_, port) => port === 0 },
    maxPorts: 4,
  });
  const audit = {
    clock: systemTimers,
    peer: () => WHO,
    record: (record: AuditRecord) => void records.push(record),
  };
  const onOpen = (asked: OpenRequest): void => {
    const request = audited(asked, audit);
    if (request.target.kind === 'listen') ports.handle(request, request.target);
    else server.handle(request);
  };
  const { near, far } = sessionPair(onOpen, takeAll);
  t.after(() => {
    server.close();
    ports.close();
    near.close('peer-shutdown');
    far.close('peer-shutdown');
  });
  const recorded = async (audit: AuditRecord['audit']): Promise<AuditRecord> => {
    for (;;) {
      const found = records.find((record) => record.audit === audit);
      if (found !== undefined) return found;
      await turn();
    }
  };
  return { records, near, far, rules, recorded };
}

/** The connector's end of a client of `-R`: takes everything, and answers nothing. */
function takeAll(request: OpenRequest): void {
  const stream: MuxStream = request.accept({ onData: (chunk) => stream.consumed(chunk.length) });
  stream.end();
}

/** A record without what differs in each run. */
function stable(record: AuditRecord): object {
  const { durationMs, flow, ...rest } = { durationMs: 0, flow: '', ...record };
  assert.ok(Number.isSafeInteger(durationMs) && durationMs >= 0);
  assert.ok(flow === '' || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(flow), flow);
  return rest;
}

const flowsOf = (records: readonly AuditRecord[]): Set<unknown> =>
  new Set(records.map((record) => ('flow' in record ? record.flow : undefined)));

/** Opens a stream that sends `text` and its end, and waits for the end of the answer. */
function talk(near: Session, host: string, port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const stream: MuxStream = near.open(
      { kind: 'tcp', host, port },
      {
        onOpened: () => {
          stream.write(Buffer.from(text));
          stream.end();
        },
        onData: (chunk) => {
          answer += Buffer.from(chunk).toString();
          stream.consumed(chunk.length);
        },
        onEnd: () => resolve(answer),
        onRefused: (reason) => reject(new Error(reason)),
        onReset: (reason) => reject(new Error(reason)),
      },
    );
  });
}

test('a connection is recorded when it is opened, and with its bytes and time when it ends', async (t) => {
  const target = await Target.echo();
  t.after(() => target.stop());
  const { near, records, recorded } = bench(t, [String(target.port)]);
  assert.equal(await talk(near, 'localhost', target.port, 'seven b'), 'seven b');
  await recorded('ended');
  const about = { ...WHO, kind: 'tcp', target: `localhost:${target.port}`, address: '127.0.0.1' };
  assert.deepEqual(records.map(stable), [
    { audit: 'opened', ...about },
    { audit: 'ended', ...about, how: 'ended', bytesIn: 7, bytesOut: 7 },
  ]);
  assert.equal(flowsOf(records).size, 1);
});

test('a connection that the rules forbid, and one that fails, are recorded once each', async (t) => {
  const port = await freePort();
  const { near, records } = bench(t, [String(port)]);
  await assert.rejects(talk(near, 'localhost', 1, ''), /not-allowed/);
  await assert.rejects(talk(near, 'localhost', port, ''), /refused/);
  const [denied, failed, ...others] = records;
  assert.deepEqual(others, []);
  assert.deepEqual(
    { ...denied, message: '', flow: '' },
    {
      ...{ audit: 'denied', ...WHO, flow: '', kind: 'tcp', target: 'localhost:1', reason: 'not-allowed' },
      message: '',
    },
  );
  assert.equal(failed?.audit, 'failed');
  assert.ok('reason' in failed && failed.reason === 'refused');
});

test('a connection that a new rule cuts is recorded as reset, with the reason', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { near, rules, recorded } = bench(t, [String(target.port)]);
  const answer = talk(near, 'localhost', target.port, 'x').catch((error: unknown) => error);
  await recorded('opened');
  rules.remove(parseExposeSpec(String(target.port)));
  const ended = await recorded('ended');
  assert.ok('how' in ended && ended.how === 'reset' && ended.reason === 'not-allowed');
  await answer;
});

test('a session that ends ends its connections in the audit too', async (t) => {
  const target = await Target.start();
  t.after(() => target.stop());
  const { near, far, recorded } = bench(t, [String(target.port)]);
  const answer = talk(near, 'localhost', target.port, 'x').catch((error: unknown) => error);
  await recorded('opened');
  far.abandon('peer-silent');
  const ended = await recorded('ended');
  assert.ok('how' in ended && ended.how === 'reset' && ended.reason === 'peer-silent');
  near.abandon('peer-silent');
  await answer;
});

test('datagrams are counted in both directions', async (t) => {
  const target = await UdpEnd.start();
  target.answer = (datagram) => datagram;
  t.after(() => target.stop());
  const { near, records, recorded } = bench(t, [String(target.port)]);
  await new Promise<void>((resolve) => {
    const stream: MuxStream = near.open(
      { kind: 'udp', host: '127.0.0.1', port: target.port },
      {
        onOpened: () => stream.sendDatagram(Buffer.from('12345')),
        onDatagram: () => {
          stream.reset('cancelled');
          resolve();
        },
      },
    );
  });
  await recorded('ended');
  const about = { ...WHO, kind: 'udp', target: `127.0.0.1:${target.port}`, address: '127.0.0.1' };
  assert.deepEqual(records.map(stable), [
    { audit: 'opened', ...about },
    {
      ...{ audit: 'ended', ...about, how: 'reset', reason: 'cancelled', bytesIn: 5, bytesOut: 5 },
      ...{ datagramsIn: 1, datagramsOut: 1 },
    },
  ]);
});

test('a port that is opened for the peer is recorded, with each of its clients', async (t) => {
  const { near, records, recorded } = bench(t, []);
  const port = await new Promise<number>((resolve) => {
    const stream: MuxStream = near.open(
      { kind: 'listen', host: 'localhost', port: 0 },
      {
        onData: (bytes) => {
          stream.consumed(bytes.length);
          resolve(((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
        },
      },
    );
  });
  const client = dialLoopback(port);
  client.end('hello');
  await readToEnd(client);
  await recorded('ended');
  near.close('peer-shutdown');
  await recorded('unbound');
  const listen = `127.0.0.1:${port}`;
  const about = { ...WHO, kind: 'reverse', target: listen };
  const shown = records
    .map(stable)
    .map((record) => ({ ...record, client: 'client' in record ? 'C' : undefined }));
  assert.deepEqual(shown, [
    { audit: 'bound', ...WHO, listen, client: undefined },
    { audit: 'opened', ...about, client: 'C' },
    { audit: 'ended', ...about, client: 'C', how: 'ended', bytesIn: 0, bytesOut: 5 },
    { audit: 'unbound', ...WHO, listen, client: undefined },
  ]);
});

test('a peer that asks without end fills no disk: its records have a rate, and the rest is counted', () => {
  let nowMs = 0;
  const records: AuditRecord[] = [];
  const entries = new EntryAudit({ nowMs: () => nowMs }, (record) => records.push(record));
  for (; nowMs < 3_600_000; nowMs += 50) entries.add({ audit: 'refused', peer: 'KEY', why: 'wrong-proof' });
  const omitted = records.map((record) => (record.audit === 'omitted' ? record.count : 0));
  const recorded = records.filter(({ audit }) => audit === 'refused').length;
  assert.ok(recorded > 4_000 && recorded < 5_000, `${recorded}`);
  assert.ok(omitted.reduce((sum, count) => sum + count, recorded) >= 72_000 - 20);
});
