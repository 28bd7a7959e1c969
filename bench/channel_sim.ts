// Prints how the channel performs on simulated paths in virtual time: npx tsx bench/channel_sim.ts [seed]

import { SimBbr } from '../test/support/sim_bbr.js';
import type { SimLinkOptions } from '../test/support/sim_link.js';
import { type SimPath, simEnds, simPath } from '../test/support/sim_path.js';
import { SimTcp } from '../test/support/sim_tcp.js';

const seed = Number(process.argv[2] ?? 1);
const only = process.argv[3];
const SECONDS = 20;

interface Row {
  readonly name: string;
  readonly link: SimLinkOptions;
  readonly back?: Partial<SimLinkOptions>;
  readonly rival?: 'cubic' | 'reno' | 'bbr' | 'channel';
  readonly rivalFirst?: boolean;
}

function line(oneWayMs: number, rateMbps: number, loss: number, queueBytes = 500_000): SimLinkOptions {
  return { delayMs: oneWayMs, rateMbps, loss: loss / 100, queueBytes };
}

const rows: Row[] = [
  { name: '20 ms 100 Mbit/s 0 %', link: line(20, 100, 0) },
  { name: '20 ms 100 Mbit/s 1 %', link: line(20, 100, 1) },
  { name: '20 ms 100 Mbit/s 3 %', link: line(20, 100, 3) },
  { name: '100 ms 50 Mbit/s 0 %', link: line(100, 50, 0) },
  { name: '100 ms 50 Mbit/s 1 %', link: line(100, 50, 1) },
  { name: '5+3 ms 200 Mbit/s 0.1 %', link: { ...line(5, 200, 0.1), jitterMs: 3 } },
  { name: '20 ms 100 Mbit/s, 50 kB queue', link: line(20, 100, 0, 50_000) },
  { name: '20 ms 100 Mbit/s, 5 MB queue', link: line(20, 100, 0, 5_000_000) },
  { name: '20 ms 5 Mbit/s, 100 kB queue', link: line(20, 5, 0, 100_000) },
  { name: '20 ms 1 Mbit/s, 64 kB queue', link: line(20, 1, 0, 64_000) },
  { name: '0.05 ms 1000 Mbit/s', link: line(0.05, 1000, 0, 4_000_000) },
  { name: '20 ms 100 Mbit/s, acks lost 20 %', link: line(20, 100, 0), back: { loss: 0.2 } },
  { name: '20 ms 100/1 Mbit/s', link: line(20, 100, 0), back: { rateMbps: 1, queueBytes: 30_000 } },
  { name: 'with cubic, 500 kB', link: line(20, 100, 0), rival: 'cubic' },
  { name: 'after cubic, 500 kB', link: line(20, 100, 0), rival: 'cubic', rivalFirst: true },
  { name: 'with cubic, 250 kB', link: line(20, 100, 0, 250_000), rival: 'cubic' },
  { name: 'with cubic, 1.5 MB', link: line(20, 100, 0, 1_500_000), rival: 'cubic' },
  { name: 'with cubic, 20 Mbit/s 250 kB', link: line(20, 20, 0, 250_000), rival: 'cubic' },
  { name: 'with reno, 500 kB', link: line(20, 100, 0), rival: 'reno' },
  { name: 'with bbr, 500 kB', link: line(20, 100, 0), rival: 'bbr' },
  { name: 'after bbr, 500 kB', link: line(20, 100, 0), rival: 'bbr', rivalFirst: true },
  { name: 'with bbr, 1.5 MB', link: line(20, 100, 0, 1_500_000), rival: 'bbr' },
  { name: 'with itself, 500 kB', link: line(20, 100, 0), rival: 'channel' },
  { name: 'after itself, 500 kB', link: line(20, 100, 0), rival: 'channel', rivalFirst: true },
];

function rivalTcp(rival: Row['rival'], { clock, ab, ba }: SimPath): SimTcp | SimBbr | undefined {
  if (rival === 'bbr') return new SimBbr(clock, ab, ba);
  return rival === 'cubic' || rival === 'reno' ? new SimTcp(clock, ab, ba, rival) : undefined;
}

function run(row: Row): string {
  const path = simPath(seed, row.link, row.back ?? {});
  const { clock, a, b, ab } = path;
  const delays: number[] = [];
  const sample = (): void => {
    delays.push(ab.queueMs);
    clock.after(5, sample);
  };
  const tcp = rivalTcp(row.rival, path);
  const other = row.rival === 'channel' ? simEnds(clock, ab, path.ba, seed + 100) : undefined;
  const startRival = (): void => {
    tcp?.start();
    other?.[0].bulk(1e12);
  };
  if (row.rivalFirst) {
    startRival();
    clock.run(5_000);
  }
  let firstMiBMs = 0;
  const startMs = clock.nowMs;
  b.onFrame = () => {
    if (firstMiBMs === 0 && b.receivedBytes >= 2 ** 20) firstMiBMs = clock.nowMs - startMs;
  };
  a.bulk(1e12);
  if (!row.rivalFirst) startRival();
  sample();
  const warmMs = row.rival ? 5_000 : 2_000;
  clock.run(startMs + warmMs);
  const skip = delays.length;
  const before = b.receivedBytes;
  const rivalBefore = tcp?.receivedBytes ?? other?.[1].receivedBytes ?? 0;
  const measureMs = (row.rival ? 3 * SECONDS : SECONDS) * 1000;
  clock.run(clock.nowMs + measureMs);
  const capacity = row.link.rateMbps! * 125 * measureMs;
  const share = (b.receivedBytes - before) / capacity;
  const rivalShare = ((tcp?.receivedBytes ?? other?.[1].receivedBytes ?? 0) - rivalBefore) / capacity;
  const sorted = delays.slice(skip).sort((x, y) => x - y);
  const stats = a.channel.stats(clock.nowMs);
  const back = b.channel.stats(clock.nowMs);
  const columns = [
    row.name.padEnd(34),
    `${(share * 100).toFixed(1)} %`.padStart(8),
    (row.rival ? `${(rivalShare * 100).toFixed(1)} %` : '').padStart(8),
    sorted[Math.floor(sorted.length / 2)]!.toFixed(1).padStart(8),
    sorted[Math.floor(sorted.length * 0.95)]!.toFixed(1).padStart(8),
    firstMiBMs.toFixed(0).padStart(8),
    String(stats.packetsLost - stats.packetsLate).padStart(8),
    String(stats.packetsLate).padStart(7),
    String(back.acksOut).padStart(7),
    String(stats.packetsOut).padStart(8),
  ];
  return columns.join(' ');
}

process.stdout.write(
  `${'path (one way)'.padEnd(34)}  goodput    rival  q50/ms  q95/ms  1MiB/ms     lost    late    acks  packets\n`,
);
for (const row of rows) {
  if (only !== undefined && !row.name.includes(only)) continue;
  process.stdout.write(`${run(row)}\n`);
}
