// Measures how fast a way responds, idle and during a bulk transfer. Run: npx tsx bench/latency.ts --help
import type { Socket } from 'node:net';
import { pattern } from '../test/support/pattern.js';
import { benchArguments, benchWays, type Row } from './bench_command.js';
import { ownProcess, startTarget } from './own_process.js';
import { usageOf } from './process_usage.js';
import { quantile } from './quantiles.js';
import { openEcho } from './target.js';
import type { RunningWay } from './way.js';
import { allWays } from './ways.js';

const MIB = 1024 * 1024;
const KIB = 1024;

/** Measured round trips of each size, per run. */
const ROUND_TRIPS = 500;
/** Warm-up round trips: they let the engine compile the code and the estimates settle. */
const WARM_UP = 3_000;
const IDLE_SECONDS = 10;

/**
 * Sends `bytes` bytes, waits until they come back, and repeats; returns the milliseconds of each round trip.
 */
async function pingPong(socket: Socket, bytes: number, times: () => boolean): Promise<number[]> {
  const payload = pattern('ping', bytes);
  const took: number[] = [];
  return await new Promise((resolve, reject) => {
    let left = bytes;
    let begun = 0;
    const send = (): void => {
      left = bytes;
      begun = performance.now();
      socket.write(payload);
    };
    const closed = (): void => reject(new Error('closed during a round trip'));
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      took.push(performance.now() - begun);
      if (times()) {
        send();
        return;
      }
      socket.off('data', onData).off('close', closed);
      resolve(took);
    };
    socket.on('data', onData).on('close', closed);
    send();
  });
}

function countdown(count: number): () => boolean {
  let left = count;
  return () => --left > 0;
}

const args = benchArguments(
  'Measure latency on the loopback: start, round trips idle and under load, idle CPU.',
  32,
);
if (args !== undefined) {
  const { mib, runs } = args;
  const target = await startTarget(mib * MIB);

  function figures(name: string, samples: readonly number[]): Row {
    return {
      case: name,
      'p50 ms': quantile(samples, 0.5),
      'p95 ms': quantile(samples, 0.95),
      'p99 ms': quantile(samples, 0.99),
      note: `${samples.length} round trips`,
    };
  }

  async function* measure(way: RunningWay): AsyncGenerator<Row> {
    const { port, processes, connectMs } = way;
    const dialled = performance.now();
    const socket = openEcho(port);
    await pingPong(socket, 1, () => false);
    const firstByteMs = performance.now() - dialled;
    if (connectMs > 0) yield { case: 'start to connected', 'p50 ms': connectMs };
    yield { case: 'start to first byte', 'p50 ms': connectMs + firstByteMs };

    for (const [name, bytes] of [
      ['1 byte', 1],
      ['1 KiB', KIB],
    ] as const) {
      await pingPong(socket, bytes, countdown(WARM_UP));
      yield figures(`${name}, idle`, await pingPong(socket, bytes, countdown(ROUND_TRIPS * runs)));
      const load = ownProcess('./load_process.ts', port, mib * MIB, runs);
      await load.line(/^begun$/);
      let running = true;
      const done = load.line(/^done$/).finally(() => {
        running = false;
      });
      const loaded = await pingPong(socket, bytes, () => running);
      await done;
      await load.stop();
      yield figures(`${name}, beside a transfer`, loaded);
    }

    if (processes.length === 0) {
      socket.destroy();
      return;
    }
    const before = processes.map(({ pid }) => usageOf(pid));
    await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
    for (const [i, { name, pid }] of processes.entries()) {
      const { cpuSeconds, rssBytes } = usageOf(pid);
      const share = ((cpuSeconds - (before[i]?.cpuSeconds ?? Number.NaN)) / IDLE_SECONDS) * 100;
      yield {
        case: `${name}, connected and idle`,
        note: `${share.toFixed(1)} % of one core over ${IDLE_SECONDS} s, ${(rssBytes / MIB).toFixed(0)} MiB resident`,
      };
    }
    socket.destroy();
  }

  await benchWays(
    `Latency, bulk transfers of ${runs} times ${mib} MiB`,
    args,
    allWays(args),
    target.port,
    measure,
  );
  await target.stop();
}
