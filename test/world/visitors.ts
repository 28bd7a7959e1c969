import type { Connector } from '../../src/tunnel/connector.js';
import { GOOD, type Plan } from './plan.js';
import { Stage, stackOf } from './stage.js';

export interface VisitShape {
  readonly seed: number;
  readonly nodes: number;
  readonly visits: number;
  readonly leaves: 'killed' | 'politely';
  /** The visitors, and the listener, have UDP. */
  readonly udp: boolean;
}

/** What many short visitors did to a network. */
export interface VisitOutcome {
  /** Time from the start of each visitor until it was online; Infinity: not within a minute. */
  readonly onlineMs: readonly number[];
  /** The longest silence of a stream of a connector that was there all the time. */
  readonly longestSilenceMs: number;
  /** Datagrams of the whole network in a second, at first and at last. */
  readonly datagramsPerSecond: readonly [first: number, last: number];
  /** Friends of the listener at the end. */
  readonly peers: number;
  readonly broken: readonly string[];
}

const STAY_MS = 300;
const PAUSE_MS = 700;
const LIMIT_MS = 60_000;

/**
 * A listener with one faithful connector, and visitors with fresh identities, one after the other, as CI jobs
 * do.
 */
export async function runVisitors({ seed, nodes, visits, leaves, udp }: VisitShape): Promise<VisitOutcome> {
  const place = { ...GOOD, withoutUdp: !udp };
  const plan: Plan = { seed, nodes, ends: [place, place], faults: [] };
  const stage = new Stage(plan);
  const { loop, net } = stage;
  const onlineMs: number[] = [];
  await stage.build();
  await loop.run(20_000);
  const rate = async (): Promise<number> => {
    const before = net.datagrams;
    await loop.run(loop.nowMs + 10_000);
    return (net.datagrams - before) / 10;
  };
  const first = await rate();
  for (let visit = 0; visit < visits; visit++) {
    let connector: Connector | undefined;
    let isOnline = false;
    const begunMs = loop.nowMs;
    const { own, started } = stage.startVisitor(`visitor ${visit}`, udp);
    started.then((made) => {
      connector = made;
      made.on('peer', ({ status }) => {
        isOnline ||= status === 'online';
      });
      made.on('error', (error) => stage.broke(stackOf(error)));
    }, stage.failed);
    const came = await loop.run(begunMs + LIMIT_MS, () => isOnline);
    onlineMs.push(came ? loop.nowMs - begunMs : Number.POSITIVE_INFINITY);
    await loop.run(loop.nowMs + STAY_MS);
    if (leaves === 'politely') {
      let isGone = false;
      void connector?.close().then(() => {
        isGone = true;
      });
      loop.unsettle();
      await loop.run(loop.nowMs + 5_000, () => isGone);
    }
    own.kill();
    stage.everyProcess.delete(own);
    await loop.run(loop.nowMs + PAUSE_MS);
  }
  const last = await rate();
  const [listener, faithful] = stage.ends;
  const outcome: VisitOutcome = {
    onlineMs,
    longestSilenceMs: Math.max(
      0,
      ...(faithful?.exchanges ?? []).map((exchange) => exchange.longestSilenceMs),
    ),
    datagramsPerSecond: [first, last],
    peers: listener?.tunnel?.peers().length ?? 0,
    broken: stage.broken,
  };
  for (const process of stage.everyProcess) process.kill();
  return outcome;
}
