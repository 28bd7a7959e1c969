import { DEFAULT_LIMITS, LIMIT_RANGES, type Limits } from '../../core/peer_limits.js';
import { usage } from './usage.js';

/** The option for one limit. */
interface LimitFlag {
  readonly flag: `--${string}`;
  /** The attribute name of the option. */
  readonly name: keyof LimitFlags;
  readonly limit: keyof Limits;
  readonly value: 'N' | 'BYTES' | 'SECONDS';
  /** If missing, the limit also applies to a connector, for what its listener asks of it. */
  readonly of?: 'listener';
  readonly help: string;
  print(value: number): string;
}

/** The values of the options, as commander stores them. */
export interface LimitFlags {
  readonly maxPeers?: string;
  readonly maxStreams?: string;
  readonly maxOpensPerSecond?: string;
  readonly maxDials?: string;
  readonly maxReversePorts?: string;
  readonly maxStreamBuffer?: string;
  readonly maxPeerBuffer?: string;
  readonly handshakeTimeout?: string;
  readonly idleTimeout?: string;
  readonly udpIdle?: string;
  readonly maxControlFrames?: string;
  readonly rate?: string;
}

const MIB = 1024 * 1024;
const count = String;
const bytes = (value: number): string => `${value / MIB}M`;
const seconds = (value: number): string => String(value / 1000);

export const LIMIT_FLAGS: readonly LimitFlag[] = [
  {
    flag: '--max-peers',
    name: 'maxPeers',
    limit: 'maxPeers',
    value: 'N',
    of: 'listener',
    help: 'peers at the same time',
    print: count,
  },
  {
    flag: '--max-streams',
    name: 'maxStreams',
    limit: 'maxStreams',
    value: 'N',
    help: 'connections per peer at the same time; others wait',
    print: count,
  },
  {
    flag: '--max-opens-per-second',
    name: 'maxOpensPerSecond',
    limit: 'maxOpensPerSecond',
    value: 'N',
    help: 'connections that a peer may open per second; others wait',
    print: count,
  },
  {
    flag: '--max-reverse-ports',
    name: 'maxReversePorts',
    limit: 'maxReversePorts',
    value: 'N',
    of: 'listener',
    help: 'ports that a peer may open here with -R',
    print: count,
  },
  {
    flag: '--max-dials',
    name: 'maxDials',
    limit: 'maxDials',
    value: 'N',
    help: 'dials in progress per peer, at most half to one target; others wait',
    print: count,
  },
  {
    flag: '--max-stream-buffer',
    name: 'maxStreamBuffer',
    limit: 'maxStreamBufferBytes',
    value: 'BYTES',
    help: 'buffer per connection, such as 512K or 16M',
    print: bytes,
  },
  {
    flag: '--max-peer-buffer',
    name: 'maxPeerBuffer',
    limit: 'maxPeerBufferBytes',
    value: 'BYTES',
    help: 'buffer for all connections of a peer',
    print: bytes,
  },
  {
    flag: '--handshake-timeout',
    name: 'handshakeTimeout',
    limit: 'handshakeTimeoutMs',
    value: 'SECONDS',
    of: 'listener',
    help: 'drop a friend that has not completed the handshake by then',
    print: seconds,
  },
  {
    flag: '--idle-timeout',
    name: 'idleTimeout',
    limit: 'idleTimeoutMs',
    value: 'SECONDS',
    of: 'listener',
    help: 'end a session that has had no connections for this long; 0: never',
    print: seconds,
  },
  {
    flag: '--udp-idle',
    name: 'udpIdle',
    limit: 'udpIdleMs',
    value: 'SECONDS',
    help: 'forget a UDP client after this long without a datagram; the far end waits twice as long as its own value',
    print: seconds,
  },
  {
    flag: '--rate',
    name: 'rate',
    limit: 'maxBytesPerSecond',
    value: 'BYTES',
    help: 'bytes per second for all connections of a peer, each way, such as 10M; 0: no limit',
    print: (value) => (value === 0 ? '0' : bytes(value)),
  },
  {
    flag: '--max-control-frames',
    name: 'maxControlFrames',
    limit: 'maxControlFramesPerSecond',
    value: 'N',
    help: 'frames without data that a peer may send per second',
    print: count,
  },
];

const FACTORS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: MIB, G: 1024 * MIB };

/** Parses `512K`, `16M` or `1G` to bytes. @returns NaN for anything else */
export function bytesOf(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})([KMG]?)$/i.exec(text) ?? [];
  return digits === undefined ? Number.NaN : Number(digits) * (FACTORS[unit.toUpperCase()] ?? 1);
}

/** Returns the limits that the options set. */
export function limitsOfFlags(flags: LimitFlags): { limits?: Partial<Limits> } {
  const limits: { -readonly [Name in keyof Limits]?: number } = {};
  for (const { flag, name, limit, value, print } of LIMIT_FLAGS) {
    const text = flags[name];
    if (text === undefined) continue;
    const factor = value === 'SECONDS' ? 1000 : 1;
    const { least, most } = LIMIT_RANGES[limit];
    const isPlain = /^\d+$/.test(text);
    const number = isPlain || value === 'BYTES' ? bytesOf(text) * factor : Number.NaN;
    if (!(number >= least && number <= most)) {
      const what =
        value === 'N'
          ? 'a number'
          : value === 'BYTES'
            ? 'a number of bytes (K, M and G may follow)'
            : 'a number of seconds';
      throw usage(
        `${flag} ${JSON.stringify(text)} is not ${what} from ${least / factor} to ${most / factor}, for example ${print(DEFAULT_LIMITS[limit])}`,
      );
    }
    limits[limit] = number;
  }
  return Object.keys(limits).length === 0 ? {} : { limits };
}
