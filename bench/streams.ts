// Many concurrent streams through one tunnel: npx tsx bench/streams.ts --help
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { dialLoopback } from '../test/support/loopback.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { moveOne } from './many/many_streams.js';
import { ownProcess } from './own_process.js';
import { peakRssOf, usageOf } from './process_usage.js';
import { table } from './table.js';

const MIB = 1024 * 1024;
/**
 * Delay in ms before the memory figure "later" is read; by then the ends have released what they do not need.
 */
const LATER_MS = 15_000;
/** How long bytes flow into connections that nobody reads, and how long the ends have to give memory back. */
const STUCK_MS = 20_000;
const BACK_MS = 30_000;
/** The documented limit of a peer (64 MiB, and 32 KiB per stream), and Node with its wasm. */
const NODE_MIB = 220;
const barOf = (streams: number): number => NODE_MIB + 64 + streams / 32;

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '1000' },
    kib: { type: 'string', default: '1024' },
    stuck: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(`Open many concurrent streams through one tunnel and check every byte with SHA-256.

  --streams N  number of streams (default 1000)
  --kib N      KiB per stream (default 1024)
  --stuck      instead, the targets and then the clients read nothing: how much memory the ends use, and give back
`);
} else {
  const streams = whole('--streams', values.streams);
  const bytes = whole('--kib', values.kib) * 1024;
  if (values.stuck) await measureStuck(streams, bytes);
  else await measure(streams, bytes);
}

async function measure(streams: number, bytes: number): Promise<void> {
  const target = ownProcess('./many/many_process.ts');
  const [, targetPort = ''] = await target.line(/^port (\d+)$/);
  const network = await PrivateNetwork.start();
  try {
    const { listener, connector, locals } = await network.tunnel([Number(targetPort)]);
    const port = locals[0]?.port ?? 0;
    const ends = [listener, connector].map(({ child }) => child.pid ?? 0);
    const rss = (): number[] => ends.map((pid) => usageOf(pid).rssBytes / MIB);
    await moveOne(port, 'down', 0, bytes);
    const rows: (string | number)[][] = [];
    for (const direction of ['down', 'up'] as const) {
      const before = rss();
      for (const pid of ends) forgetPeak(pid);
      const begunMs = performance.now();
      const moved = await Promise.allSettled(
        Array.from({ length: streams }, (_, index) => moveOne(port, direction, index, bytes)),
      );
      const seconds = (performance.now() - begunMs) / 1000;
      process.stderr.write(`${direction}: ${seconds.toFixed(1)} s\n`);
      const peaks = ends.map((pid) => peakRssOf(pid) / MIB);
      const after = rss();
      const broken = moved.filter((each) => each.status === 'rejected');
      for (const line of counted(
        broken.map(({ reason }) => String(reason).replace(/stream \d+|of [0-9a-f]{64}/g, '…')),
      ))
        process.stderr.write(`${line}\n`);
      const refusals = connector.events.filter(({ event }) => event === 'refused');
      for (const line of counted(refusals.map(({ reason, message }) => `refused: ${reason} (${message})`)))
        process.stderr.write(`${line}\n`);
      if (broken.length > 0) process.exitCode = 1;
      await new Promise((resolve) => setTimeout(resolve, LATER_MS));
      const later = rss();
      const right = `${streams - broken.length} of ${streams}`;
      const speed = (streams * bytes) / MIB / seconds;
      for (const [end, name] of ['listener', 'connector'].entries()) {
        const peak = peaks[end] ?? Number.NaN;
        const memory = [before[end], peak, after[end], later[end]].map((each) => each ?? Number.NaN);
        const bar = peak < barOf(streams) ? 'met' : 'missed';
        rows.push([direction, right, seconds, speed, name, ...memory, bar]);
      }
    }
    const bar = `peak < ${Math.round(barOf(streams))}`;
    const heads = ['way', 'right', 's', 'MiB/s', 'RSS MiB', 'before', 'peak', 'after', 'later', bar];
    process.stdout.write(`${streams} concurrent streams of ${bytes / 1024} KiB each, from the sources\n\n`);
    process.stdout.write(table(heads, rows));
  } finally {
    await network.stop();
    await target.stop();
  }
}

/** Connections whose far end reads nothing: the bytes that wait fill the windows, and are the memory to bound. */
async function measureStuck(streams: number, bytes: number): Promise<void> {
  const target = ownProcess('./many/stuck_process.ts');
  const [, targetPort = ''] = await target.line(/^port (\d+)$/);
  const network = await PrivateNetwork.start();
  try {
    const { listener, connector, locals } = await network.tunnel([Number(targetPort)]);
    const ends = [listener, connector].map(({ child }) => child.pid ?? 0);
    const rss = (): number[] => ends.map((pid) => usageOf(pid).rssBytes / MIB);
    const rows: (string | number)[][] = [];
    const piece = new Uint8Array(bytes);
    for (const direction of ['up', 'down'] as const) {
      const before = rss();
      for (const pid of ends) forgetPeak(pid);
      const sockets = Array.from({ length: streams }, () => {
        const socket = dialLoopback(locals[0]?.port ?? 0);
        socket.on('error', () => {});
        if (direction === 'up') socket.write(piece);
        // One byte asks the target for as many as it can send.
        else socket.write('d');
        return socket.pause();
      });
      await sleep(STUCK_MS);
      const open = sockets.filter((socket) => !socket.destroyed).length;
      const during = rss();
      const peaks = ends.map((pid) => peakRssOf(pid) / MIB);
      for (const socket of sockets) socket.resetAndDestroy();
      await sleep(BACK_MS);
      const later = rss();
      for (const [end, name] of ['listener', 'connector'].entries()) {
        const memory = [before[end], peaks[end], during[end], later[end]].map((each) => each ?? Number.NaN);
        rows.push([direction, `${open} of ${streams}`, name, ...memory]);
      }
    }
    process.stdout.write(
      `${streams} connections whose far end reads nothing, ${bytes / 1024} KiB sent into each\n\n`,
    );
    const heads = ['way', 'open', 'RSS MiB', 'before', 'peak', `after ${STUCK_MS / 1000} s`, 'closed, 30 s'];
    process.stdout.write(table(heads, rows));
  } finally {
    await network.stop();
    await target.stop();
  }
}

/** Distinct lines, each with how often it came. */
function counted(lines: readonly string[]): string[] {
  const times = new Map<string, number>();
  for (const line of lines) times.set(line, (times.get(line) ?? 0) + 1);
  return [...times].map(([line, count]) => `${count} × ${line}`);
}

/**
 * Resets the peak, so that the next figure covers only what follows: proc(5), clear_refs. Not permitted
 * everywhere.
 */
function forgetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // The peak then covers the whole life of the process.
  }
}

function whole(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  process.stderr.write(`${name} ${text}: expected a whole number above 0, for example ${name} 1000\n`);
  process.exit(2);
}
