// Measures the throughput of a way and its cost. Run: npx tsx bench/throughput.ts --help
import { benchArguments, benchWays, type Row } from './bench_command.js';
import { startTarget } from './own_process.js';
import { usageOf } from './process_usage.js';
import { quantile } from './quantiles.js';
import { ratios } from './ratios.js';
import { rawPackets } from './raw/raw_way.js';
import { bulkBytes, type Direction, transfer } from './target.js';
import type { PacketsWay, RunningWay, Way } from './way.js';
import { allWays } from './ways.js';

const MIB = 1024 * 1024;
const DIRECTIONS: readonly Direction[] = ['down', 'up'];

/** A row to measure: transfers this many bytes and checks them. */
interface Case {
  readonly name: string;
  move(bytes: number): Promise<{ readonly ms: number; readonly lost?: number }>;
}

const args = benchArguments(
  'Measure throughput on the loopback: one stream and eight, both directions, every byte checked.',
  64,
);
if (args !== undefined) {
  const totalBytes = args.mib * MIB;
  const target = await startTarget(totalBytes);
  const source = { down: bulkBytes('down', totalBytes), up: bulkBytes('up', totalBytes) };

  async function* measure(way: RunningWay | PacketsWay): AsyncGenerator<Row> {
    const { processes } = way;
    const cases = 'carry' in way ? packetCases(way) : streamCases(way.port);
    await cases[0]?.move(Math.min(totalBytes, 4 * MIB)); // warm-up
    for (const { name: caseName, move } of cases) {
      const speeds: number[] = [];
      let lostPackets: number | undefined;
      const before = processes.map(({ pid }) => usageOf(pid));
      for (let run = 0; run < runs; run++) {
        const { ms, lost } = await move(totalBytes);
        speeds.push(mib / (ms / 1000));
        if (lost !== undefined) lostPackets = (lostPackets ?? 0) + lost;
      }
      const row: Record<string, string | number> = {
        case: caseName,
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
      if (lostPackets !== undefined) row['lost packets'] = String(lostPackets);
      yield row;
    }
  }

  function packetCases(way: PacketsWay): readonly Case[] {
    return DIRECTIONS.map((direction) => ({
      name: `packets ${direction}`,
      move: (bytes) => way.carry(direction, bytes),
    }));
  }

  function streamCases(port: number): readonly Case[] {
    return [1, 8].flatMap((streams) =>
      DIRECTIONS.map((direction) => ({
        name: `${streams} ${direction}`,
        move: (bytes: number) => moveAll(port, direction, streams, bytes),
      })),
    );
  }

  /**
   * Runs all streams at once, with the bytes shared among them; returns the milliseconds until the last
   * stream is done.
   */
  async function moveAll(
    port: number,
    direction: Direction,
    streams: number,
    bytes: number,
  ): Promise<{ readonly ms: number }> {
    const each = source[direction].subarray(0, Math.floor(bytes / streams));
    const times = await Promise.all(Array.from({ length: streams }, () => transfer(port, direction, each)));
    return { ms: Math.max(...times) };
  }

  const { mib, runs } = args;
  const ways: readonly Way<RunningWay | PacketsWay>[] = [...allWays(args), rawPackets];
  const title = `Throughput, ${mib} MiB per run, median of ${runs}`;
  const rows = await benchWays(title, args, ways, target.port, measure);
  process.stdout.write(ratios(rows));
  await target.stop();
}
