import { quantile } from '../quantiles.js';
import { type Measurement, type Row, ways } from './bench.js';
import type { Transfer } from './end_contract.js';
import type { LinkOptions } from './hosts.js';
import { bitRate } from './timeline.js';

const MIB = 1024 * 1024;

/** The steady figure excludes the start, which has its own row. */
const START_MS = 2_000;

function share({ timeline, ms }: Transfer, { rateMbit }: LinkOptions, fromMs: number): number {
  const { beganAtMs } = timeline;
  return bitRate(timeline, beganAtMs + fromMs, beganAtMs + ms) / (rateMbit * 1e4);
}

/** Measures the share of the link rate that one transfer gets, through the tunnel and over plain TCP. */
function goodput(link: LinkOptions, bar: number): Measurement {
  const { delayMs, jitterMs, rateMbit, lossPercent } = link;
  const jitter = jitterMs === undefined ? '' : ` + 0 to ${jitterMs}`;
  return {
    name: `goodput ${delayMs}${jitter} ms ${rateMbit} Mbit/s ${lossPercent} %`,
    link,
    async measure(bench, tunnel) {
      const bytes = Math.round((rateMbit * 1e6 * bench.seconds) / 8);
      const { tunnel: through, tcp: bare } = ways(bench, tunnel);
      const before = tunnel.usage();
      const transfer = await bench.near.get({ ...through, bytes });
      const after = tunnel.usage();
      const tcp = await bench.near.get({ ...bare, bytes });
      const cpu = (end: 'listener' | 'connector'): number =>
        (100 * (after[end].cpuSeconds - before[end].cpuSeconds)) / (transfer.ms / 1000);
      return {
        'bar %': bar,
        'tunnel %': share(transfer, link, 0),
        'after 2 s %': share(transfer, link, START_MS),
        'TCP %': share(tcp, link, 0),
        'TCP after 2 s %': share(tcp, link, START_MS),
        'sender CPU %': cpu('listener'),
        'receiver CPU %': cpu('connector'),
      };
    },
  };
}

/** How long the share of each flow is counted. */
const SHARING_SECONDS = 20;

const GOOD_LINK: LinkOptions = { delayMs: 20, rateMbit: 100, lossPercent: 0 };

/** Transfers 1 MiB on a new tunnel, whose channel has not sent anything yet, and on a new TCP connection. */
const start: Measurement = {
  name: 'start: 1 MiB, 20 ms 100 Mbit/s',
  link: GOOD_LINK,
  async measure(bench, tunnel) {
    const { tunnel: through, tcp } = ways(bench, tunnel);
    const first = await bench.near.get({ ...through, bytes: MIB });
    const second = await bench.near.get({ ...through, bytes: MIB });
    const bare = await bench.near.get({ ...tcp, bytes: MIB });
    return { 'bar ms': 600, 'tunnel ms': first.ms, 'second ms': second.ms, 'TCP ms': bare.ms };
  },
};

/** Measures small exchanges during a transfer, and on an idle link. */
const latency: Measurement = {
  name: 'ping-pong during a transfer, 20 ms 100 Mbit/s, queue 500 kB',
  link: GOOD_LINK,
  async measure(bench, tunnel) {
    const { tunnel: through, tcp } = ways(bench, tunnel);
    const forMs = (bench.seconds * 1000) / 2;
    const figures: Record<string, number> = { 'bar p95 ms': 2 * GOOD_LINK.delayMs + 30 };
    const note = (name: string, samples: readonly number[]): void => {
      figures[`${name} p50 ms`] = quantile(samples, 0.5);
      figures[`${name} p95 ms`] = quantile(samples, 0.95);
    };
    note('TCP idle', await bench.near.ping({ ...tcp, forMs }));
    note('tunnel idle', await bench.near.ping({ ...through, forMs }));
    for (const [name, way] of [
      ['tunnel', through],
      ['TCP', tcp],
    ] as const) {
      const bulk = bench.near.get({ ...way, bytes: Number.MAX_SAFE_INTEGER, forMs: 2 * forMs });
      await new Promise((resolve) => setTimeout(resolve, START_MS));
      note(name, await bench.near.ping({ ...way, forMs: 2 * forMs - START_MS - 500 }));
      const { timeline, ms } = await bulk;
      const endMs = timeline.beganAtMs + Math.max(ms, 2 * forMs - 500);
      figures[`${name} bulk %`] =
        bitRate(timeline, timeline.beganAtMs + START_MS, endMs) / (GOOD_LINK.rateMbit * 1e4);
    }
    return figures;
  },
};

/** Runs one transfer through the tunnel and one over plain TCP at once, and measures the share of each. */
function sharing(congestionControl: string, queueKb: number): Measurement {
  const link = { ...GOOD_LINK, queueKb };
  return {
    name: `sharing with TCP ${congestionControl}, 20 ms 100 Mbit/s, queue ${queueKb} kB`,
    link,
    async measure(bench, tunnel) {
      bench.hosts.setCongestionControl(congestionControl);
      const { tunnel: through, tcp } = ways(bench, tunnel);
      const task = { bytes: Number.MAX_SAFE_INTEGER, forMs: SHARING_SECONDS * 1000 + START_MS };
      const both = await Promise.all([
        bench.near.get({ ...through, ...task }),
        bench.near.get({ ...tcp, ...task }),
      ]);
      const [ours, theirs] = both.map(({ timeline }) => {
        const fromMs = timeline.beganAtMs + START_MS;
        return bitRate(timeline, fromMs, fromMs + SHARING_SECONDS * 1000) / (link.rateMbit * 1e4);
      });
      const row: Row = { 'bar %': 25, 'tunnel %': ours ?? Number.NaN, 'TCP %': theirs ?? Number.NaN };
      return row;
    },
  };
}

export const GOODPUT: readonly Measurement[] = [
  goodput({ delayMs: 20, rateMbit: 100, lossPercent: 0 }, 90),
  goodput({ delayMs: 20, rateMbit: 100, lossPercent: 1 }, 85),
  goodput({ delayMs: 20, rateMbit: 100, lossPercent: 3 }, 70),
  goodput({ delayMs: 100, rateMbit: 50, lossPercent: 0 }, 85),
  goodput({ delayMs: 100, rateMbit: 50, lossPercent: 1 }, 75),
  goodput({ delayMs: 5, jitterMs: 3, rateMbit: 200, lossPercent: 0.1 }, 80),
];
export const START: readonly Measurement[] = [start];
export const LATENCY: readonly Measurement[] = [latency];
export const SHARING: readonly Measurement[] = [
  sharing('cubic', 500),
  sharing('bbr', 500),
  sharing('cubic', 1500),
];
