import { Timer, type Timers } from '../../core/clock.js';
import type { PeerInfo } from '../../index.js';
import type { MaybeTerminal } from '../process/output_stream.js';
import { humanBytes } from './human.js';

/** Moves to the start of the line and erases it (ECMA-48: CR, EL 2). */
const ERASE = '\r\u001b[2K';
/** Width of a terminal that does not report its own. */
const COLUMNS = 80;

/** The last line of a terminal, redrawn in place while other lines scroll past above it. */
export class LiveLine {
  readonly #terminal: MaybeTerminal;
  #text = '';

  constructor(terminal: MaybeTerminal) {
    this.#terminal = terminal;
  }

  /** Shows printable `text`, cut to the width of the terminal. An empty text removes the line. */
  show(text: string): void {
    // A wrapped line cannot be erased, and some terminals wrap after the last column.
    const cut = text.slice(0, (this.#terminal.columns ?? COLUMNS) - 1);
    // While an older line is still in the buffer, skip this one.
    if (cut === this.#text || this.#terminal.writableLength > 0) return;
    this.#text = cut;
    this.#terminal.write(`${ERASE}${cut}`);
  }

  /** Returns the text to write so that `lines` appear above the live line. */
  above(lines: string): string {
    return this.#text === '' ? lines : `${ERASE}${lines}${this.#text}`;
  }
}

const REDRAW_MS = 1_000;

export interface Watched {
  peers(): readonly PeerInfo[];
  stats(): { readonly bytesIn: number; readonly bytesOut: number };
}

/** Bytes per second. */
export interface Rates {
  readonly inRate: number;
  readonly outRate: number;
}

const PATHS: Readonly<Record<PeerInfo['path'], string>> = {
  udp: 'direct (UDP)',
  relay: 'relay (TCP)',
  none: 'no path',
};

/** `direct (UDP), 12 ms | 3 streams | in 1.2 MB/s, out 34 kB/s` */
export function statusText(peers: readonly PeerInfo[], { inRate, outRate }: Rates): string {
  const online = peers.filter(({ status }) => status === 'online');
  const streams = online.reduce((sum, peer) => sum + peer.streams, 0);
  return [
    pathText(online),
    `${streams} ${streams === 1 ? 'stream' : 'streams'}`,
    `in ${humanBytes(inRate)}/s, out ${humanBytes(outRate)}/s`,
  ].join(' | ');
}

function pathText(online: readonly PeerInfo[]): string {
  const [first, ...others] = online;
  if (first === undefined) return 'no peer online';
  if (others.length > 0) return `${online.length} peers`;
  const roundTrip = first.roundTripMs === undefined ? '' : `, ${first.roundTripMs.toFixed(0)} ms`;
  return `${PATHS[first.path]}${roundTrip}`;
}

/** Redraws {@link statusText} every second. Returns a function that stops and removes the line. */
export function showStatus(watched: Watched, timers: Timers, show: (text: string) => void): () => void {
  let last = { ...watched.stats(), atMs: timers.nowMs() };
  const timer = new Timer(timers);
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
  };
  timer.every(REDRAW_MS, draw);
  return () => {
    timer.clear();
    show('');
  };
}
