import type { TimerHandle, Timers } from '../../core/clock.js';
import type { PeerInfo } from '../../index.js';
import { humanBytes } from './human.js';

/** How often the line is drawn, in milliseconds. */
const EVERY_MS = 1_000;

/** What is watched. */
export interface Watched {
  peers(): readonly PeerInfo[];
  stats(): { readonly bytesIn: number; readonly bytesOut: number };
}

/** Bytes a second. */
export interface Rates {
  readonly inRate: number;
  readonly outRate: number;
}

const PATHS: Readonly<Record<PeerInfo['path'], string>> = {
  udp: 'direct (UDP)',
  relay: 'relay (TCP)',
  none: 'no path',
};

/** `direct (UDP), 12 ms | 3 streams | in 1.2 MB/s, out 34 kB/s`: how it goes, in one line. */
export function statusText(peers: readonly PeerInfo[], { inRate, outRate }: Rates): string {
  const online = peers.filter(({ status }) => status === 'online');
  const streams = online.reduce((sum, peer) => sum + peer.streams, 0);
  return [
    whoIsThere(online),
    `${streams} ${streams === 1 ? 'stream' : 'streams'}`,
    `in ${humanBytes(inRate)}/s, out ${humanBytes(outRate)}/s`,
  ].join(' | ');
}

function whoIsThere(online: readonly PeerInfo[]): string {
  const [first, ...others] = online;
  if (first === undefined) return 'no peer online';
  if (others.length > 0) return `${online.length} peers`;
  const roundTrip = first.roundTripMs === undefined ? '' : `, ${first.roundTripMs.toFixed(0)} ms`;
  return `${PATHS[first.path]}${roundTrip}`;
}

/** Draws {@link statusText} each second. @returns ends it, and removes the line */
export function showStatus(watched: Watched, timers: Timers, show: (text: string) => void): () => void {
  let last = { ...watched.stats(), atMs: timers.nowMs() };
  let timer: TimerHandle;
  const draw = (): void => {
    const now = { ...watched.stats(), atMs: timers.nowMs() };
    const seconds = (now.atMs - last.atMs) / 1000;
    const rate = (bytes: number): number => (seconds > 0 ? bytes / seconds : 0);
    show(
      statusText(watched.peers(), {
        inRate: rate(now.bytesIn - last.bytesIn),
        outRate: rate(now.bytesOut - last.bytesOut),
      }),
    );
    last = now;
    timer = timers.set(draw, EVERY_MS);
  };
  timer = timers.set(draw, EVERY_MS);
  return () => {
    timers.clear(timer);
    show('');
  };
}
