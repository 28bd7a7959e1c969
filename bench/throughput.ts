// How much a way carries and what it costs. Run: npx tsx bench/throughput.ts --help
import { benchArguments, benchWays, type Row } from './bench_command.js';
import { startTarget } from './own_process.js';
import { usageOf } from './process_usage.js';
import { quantile } from './quantiles.js';
import { bulkBytes, type Direction, transfer } from './target.js';
import type { RunningWay } from './way.js';

const MIB = 1024 * 1024;
const CASES: readonly { readonly direction: Direction; readonly streams: number }[] = [
  { direction: 'down', streams: 1 },
  { direction: 'up', streams: 1 },
  { direction: 'down', streams: 8 },
  { direction: 'up', streams: 8 },
];

const args = benchArguments(
  'Throughput on loopback: one stream and eight, both directions, every byte checked.',
  64,
);
if (args !== undefined) {
  const totalBytes = args.mib * MIB;
  const target = await startTarget(totalBytes);
  const source = { down: bulkBytes('down', totalBytes), up: bulkBytes('up', totalBytes) };

  async function* measure({ port, processes }: RunningWay): AsyncGenerator<Row> {
    await moveAll(port, 'down', 1, Math.min(totalBytes, 4 * MIB)); // code is compiled, windows have grown
    for (const { direction, streams } of CASES) {
      const speeds: number[] = [];
      const before = processes.map(({ pid }) => usageOf(pid));
      for (let run = 0; run < runs; run++) {
        const seconds = (await moveAll(port, direction, streams, totalBytes)) / 1000;
        speeds.push(mib / seconds);
      }
      const row: Record<string, string | number> = {
        case: `${streams} ${direction}`,
        'MiB/s': quantile(speeds, 0.5),
        least: Math.min(...speeds),
        most: Math.max(...speeds),
      };
      for (const [i, { name, pid }] of processes.entries()) {
        const after = usageOf(pid);
        const cpuSeconds = after.cpuSeconds - (before[i]?.cpuSeconds ?? Number.NaN);
        const label = i === 0 ? 'far' : 'near';
        row[`${label} end`] = name;
        row[`${label} CPU s/GiB`] = cpuSeconds / ((mib * runs) / 1024);
        row[`${label} RSS MiB`] = after.rssBytes / MIB;
      }
      yield row;
    }
  }

  /** All streams at once, the bytes shared between them; milliseconds until the last one was done. */
  async function moveAll(
    port: number,
    direction: Direction,
    streams: number,
    bytes: number,
  ): Promise<number> {
    const each = source[direction].subarray(0, Math.floor(bytes / streams));
    const times = await Promise.all(Array.from({ length: streams }, () => transfer(port, direction, each)));
    return Math.max(...times);
  }

  const { mib, runs } = args;
  await benchWays(`Throughput, ${mib} MiB a run, median of ${runs}`, args, target.port, measure);
  await target.stop();
}
