import type { CliEvent } from '../../test/support/cli_process.js';
import { type Measurement, type Row, type WanBench, ways } from './bench.js';
import type { Host, LinkOptions } from './hosts.js';
import { bitRate, type Timeline, whenFullSpeed, whenMoving } from './timeline.js';
import type { TunnelPair } from './tunnel_pair.js';

const MIB = 1024 * 1024;
const LINK: LinkOptions = { delayMs: 20, rateMbit: 100, lossPercent: 0 };

/** The transfer runs at full speed by then. */
const INTERRUPT_AFTER_MS = 5_000;
const SPEED_BEFORE_MS = 2_000;

const nowMs = (): number => performance.timeOrigin + performance.now();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const seconds = (fromMs: number, toMs: number | undefined): number | string =>
  toMs === undefined ? 'never' : (toMs - fromMs) / 1000;

/** Interrupts a transfer; measures how long it took to recover after `interrupt` resolved. */
async function interrupted(
  bench: WanBench,
  tunnel: TunnelPair,
  interrupt: () => Promise<void> | void,
): Promise<Row> {
  const transfer = bench.near.get({ ...ways(bench, tunnel).tunnel, bytes: bench.mib * MIB });
  await sleep(INTERRUPT_AFTER_MS);
  const cutAtMs = nowMs();
  await interrupt();
  const backAtMs = nowMs();
  const { timeline, isWhole } = await transfer;
  return {
    whole: isWhole ? 'yes' : 'no',
    'link down s': seconds(cutAtMs, backAtMs),
    'first byte s': seconds(backAtMs, whenMoving(timeline, backAtMs)),
    'full speed s': seconds(backAtMs, whenFullSpeed(timeline, speedBefore(timeline, cutAtMs), backAtMs)),
    'friend offline s': away(tunnel.connector.events, cutAtMs, backAtMs),
  };
}

function speedBefore(timeline: Timeline, atMs: number): number {
  return bitRate(timeline, atMs - SPEED_BEFORE_MS, atMs);
}

/**
 * When toxcore gave up the friend, counted from the cut, and when it had the friend back, counted from the
 * repair.
 */
function away(events: readonly CliEvent[], cutAtMs: number, backAtMs: number): string {
  const when = (status: string): number | undefined => {
    const found = events.find(
      ({ event, time, status: told }) => event === 'peer' && told === status && Date.parse(time) > cutAtMs,
    );
    return found === undefined ? undefined : Date.parse(found.time);
  };
  const offlineAtMs = when('offline');
  const onlineAtMs = when('online');
  if (offlineAtMs === undefined) return 'never';
  const back =
    onlineAtMs === undefined ? 'never' : `${((onlineAtMs - backAtMs) / 1000).toFixed(1)} s after the repair`;
  return `${((offlineAtMs - cutAtMs) / 1000).toFixed(1)} s after the cut, back ${back}`;
}

function outage(outageSeconds: number): Measurement {
  return {
    name: `outage ${outageSeconds} s, 20 ms 100 Mbit/s`,
    link: LINK,
    measure: (bench, tunnel) =>
      interrupted(bench, tunnel, async () => {
        bench.hosts.cut();
        await sleep(outageSeconds * 1000);
        bench.hosts.mend();
      }),
  };
}

/** The bootstrap node stays at the listener's old address, so no node is left to ask for the new one. */
function move(end: string, host: Host): Measurement {
  return {
    name: `the ${end}'s address changes, 20 ms 100 Mbit/s`,
    link: LINK,
    measure: (bench, tunnel) => interrupted(bench, tunnel, () => bench.hosts.moveOn(host)),
  };
}

const UDP_BLOCKED_MS = 40_000;
const RELAY_SPEED_MS = 15_000;
/** Large enough that the transfer lasts through all phases. */
const UDP_BLOCKED_BYTES_FACTOR = 4;

/** Direct, then over the relay of the bootstrap node, then direct again. */
const udpBlocked: Measurement = {
  name: `UDP blocked for ${UDP_BLOCKED_MS / 1000} s, 20 ms 100 Mbit/s`,
  link: LINK,
  measure: async (bench, tunnel) => {
    const bytes = UDP_BLOCKED_BYTES_FACTOR * bench.mib * MIB;
    const transfer = bench.near.get({ ...ways(bench, tunnel).tunnel, bytes });
    await sleep(INTERRUPT_AFTER_MS);
    const cutAtMs = nowMs();
    bench.hosts.toggleUdp();
    await sleep(UDP_BLOCKED_MS);
    const backAtMs = nowMs();
    bench.hosts.toggleUdp();
    const { timeline, isWhole } = await transfer;
    const { events } = tunnel.connector;
    const relayAtMs = toldAtMs(events, cutAtMs, ({ path }) => path === 'relay');
    const directAtMs = toldAtMs(events, backAtMs, ({ path }) => path === 'udp');
    // Packets in flight at the cut still arrive.
    const stoppedAtMs = cutAtMs + 1_000;
    return {
      whole: isWhole ? 'yes' : 'no',
      'relay reported s': seconds(cutAtMs, relayAtMs),
      'relay first byte s': seconds(cutAtMs, whenMoving(timeline, stoppedAtMs)),
      'relay Mbit/s': bitRate(timeline, backAtMs - RELAY_SPEED_MS, backAtMs) / 1e6,
      'direct reported s': seconds(backAtMs, directAtMs),
      'full speed s': seconds(backAtMs, whenFullSpeed(timeline, speedBefore(timeline, cutAtMs), backAtMs)),
      'friend offline s': away(events, cutAtMs, backAtMs),
    };
  },
};

function toldAtMs(
  events: readonly CliEvent[],
  afterMs: number,
  is: (event: CliEvent) => boolean,
): number | undefined {
  const found = events.find(
    (event) => event.event === 'peer' && Date.parse(event.time) > afterMs && is(event),
  );
  return found === undefined ? undefined : Date.parse(found.time);
}

export const INTERRUPTIONS: readonly Measurement[] = [
  outage(1),
  outage(8),
  outage(20),
  outage(60),
  move('connector', 'a'),
  move('listener', 'b'),
  udpBlocked,
];
