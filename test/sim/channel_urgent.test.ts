/**
 * How long a keystroke waits during bulk data on a slow path: sessions, the backlog gauge and channels in
 * virtual time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { URGENT_RESERVE_BYTES } from '../../src/core/limits.js';
import { seeded } from '../support/sim_clock.js';
import { simPath } from '../support/sim_path.js';
import { simSessions } from '../support/sim_session.js';

const ONE_WAY_MS = 20;
const FOR_MS = 60_000;
/**
 * The first window of one stream is no larger than the backlog, so filling the backlog takes several streams.
 */
const UPLOADS = 4;
const BULK_CHUNK = new Uint8Array(64 * 1024);
/** A call: one voice codec packet every 20 ms. */
const CALL_BYTES = 200;
const CALL_EVERY_MS = 20;

interface Delays {
  /** Delays of keystrokes and of datagrams, shortest first. */
  readonly keysMs: number[];
  readonly datagramsMs: number[];
  readonly sent: { keys: number; datagrams: number };
  bulkBytes: number;
}

/** Measures how long one byte, and a datagram of a call, take to the far end during an upload at 5 Mbit/s. */
function beside(reserveBytes: number, seed: number): Delays {
  const path = simPath(seed, { delayMs: ONE_WAY_MS, rateMbps: 5, loss: 0, queueBytes: 100_000 });
  const { clock } = path;
  const random = seeded(seed);
  const keysSentMs: number[] = [];
  const delays: Delays = { keysMs: [], datagramsMs: [], sent: { keys: 0, datagrams: 0 }, bulkBytes: 0 };
  const { near } = simSessions(path, reserveBytes, (request) => {
    const isBulk = request.target.kind === 'tcp' && request.target.port === 1;
    const stream = request.accept({
      onData: (chunk) => {
        stream.consumed(chunk.length);
        if (isBulk) delays.bulkBytes += chunk.length;
        else for (const _ of chunk) delays.keysMs.push(clock.nowMs - (keysSentMs[delays.keysMs.length] ?? 0));
      },
      onDatagram: (datagram) =>
        delays.datagramsMs.push(
          clock.nowMs - new DataView(datagram.buffer, datagram.byteOffset).getFloat64(0),
        ),
    });
  });
  for (let i = 0; i < UPLOADS; i++) {
    const bulk = near.open({ kind: 'tcp', host: 'a', port: 1 }, { onDrain: () => fill() });
    const fill = (): void => {
      while (bulk.write(BULK_CHUNK));
    };
    fill();
  }
  const keys = near.open({ kind: 'tcp', host: 'a', port: 2 }, {});
  const press = (): void => {
    delays.sent.keys = keysSentMs.push(clock.nowMs);
    keys.write(Uint8Array.of(0));
    if (clock.nowMs < FOR_MS) clock.after(20 + random() * 160, press);
  };
  const call = near.open({ kind: 'udp', host: 'a', port: 3 }, {});
  const speak = (): void => {
    const datagram = new Uint8Array(CALL_BYTES);
    new DataView(datagram.buffer).setFloat64(0, clock.nowMs);
    delays.sent.datagrams++;
    call.sendDatagram(datagram);
    if (clock.nowMs < FOR_MS) clock.after(CALL_EVERY_MS, speak);
  };
  // At this time the path is measured and the backlog is full.
  clock.at(5_000, press);
  clock.at(5_000, speak);
  clock.run(FOR_MS + 2_000);
  for (const ms of [delays.keysMs, delays.datagramsMs]) ms.sort((a, b) => a - b);
  return delays;
}

test('a keystroke and a call during bulk at 5 Mbit/s do not wait for half of the backlog', (t) => {
  for (const seed of [1, 2, 3]) {
    const before = beside(0, seed);
    const now = beside(URGENT_RESERVE_BYTES, seed);
    for (const what of ['keysMs', 'datagramsMs'] as const) {
      for (const [which, { [what]: ms }] of [
        ['without a reserve', before],
        ['with it', now],
      ] as const) {
        const at = (part: number): string =>
          (ms[Math.floor(part * (ms.length - 1))] ?? Number.NaN).toFixed(0);
        t.diagnostic(
          `${what} ${which}: p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} of ${ms.length}`,
        );
      }
    }
    assert.deepEqual([now.keysMs.length, now.datagramsMs.length], [now.sent.keys, now.sent.datagrams]);
    assert.ok(
      (before.keysMs.at(-1) ?? 0) > 150,
      'without a reserve, the wait is that for half of the backlog',
    );
    assert.ok((now.keysMs.at(-1) ?? Number.NaN) < 80 && (now.datagramsMs.at(-1) ?? Number.NaN) < 80);
    assert.ok(now.bulkBytes > 0.99 * before.bulkBytes);
  }
});
