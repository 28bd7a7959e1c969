import { createServer } from 'node:http';
import { listenOn, warnWhenPublic } from '../../forward/listen.js';
import type { PeerInfo } from '../../index.js';
import { printHostPort } from '../../rules/endpoint.js';
import { parseBind } from '../../rules/forward_spec.js';
import type { TunnelHandle } from '../api.js';
import type { Reporter } from '../output/reporter.js';

/** Source: the text exposition format of Prometheus, version 0.0.4. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const USAGE = '[bind:]port, for example 9100 or [::1]:9100';
/** Connections at once: a scraper needs one. */
const MAX_CONNECTIONS = 16;

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  /** Undefined: there is none for this peer. */
  of(peer: PeerInfo): number | undefined;
}

const METRICS: readonly Metric[] = [
  {
    name: 'peer_online',
    type: 'gauge',
    help: '1 while streams can be opened.',
    of: (peer) => Number(peer.status === 'online'),
  },
  {
    name: 'peer_relayed',
    type: 'gauge',
    help: '1 while the path leads through a TCP relay.',
    of: (peer) => Number(peer.path === 'relay'),
  },
  {
    name: 'peer_round_trip_seconds',
    type: 'gauge',
    help: 'Smoothed round trip.',
    of: ({ roundTripMs }) => (roundTripMs === undefined ? undefined : roundTripMs / 1000),
  },
  { name: 'peer_streams', type: 'gauge', help: 'Connections that are open.', of: (peer) => peer.streams },
  {
    name: 'peer_received_bytes_total',
    type: 'counter',
    help: 'Bytes of frames from the peer.',
    of: (peer) => peer.bytesIn,
  },
  {
    name: 'peer_sent_bytes_total',
    type: 'counter',
    help: 'Bytes of frames to the peer.',
    of: (peer) => peer.bytesOut,
  },
  {
    name: 'peer_received_datagrams_total',
    type: 'counter',
    help: 'UDP datagrams that came whole from the peer.',
    of: (peer) => peer.datagramsIn,
  },
  {
    name: 'peer_sent_datagrams_total',
    type: 'counter',
    help: 'UDP datagrams sent to the peer; each may get lost.',
    of: (peer) => peer.datagramsOut,
  },
  {
    name: 'peer_dropped_datagrams_total',
    type: 'counter',
    help: 'UDP datagrams that this end had no room for, or that lacked a part.',
    of: (peer) => peer.datagramsDropped,
  },
  {
    name: 'peer_opened_total',
    type: 'counter',
    help: 'Targets that were dialled for the peer.',
    of: (peer) => peer.opened,
  },
  {
    name: 'peer_denied_total',
    type: 'counter',
    help: 'Targets that the rules do not allow the peer.',
    of: (peer) => peer.denied,
  },
  {
    name: 'peer_failed_total',
    type: 'counter',
    help: 'Targets that could not be dialled.',
    of: (peer) => peer.failed,
  },
  {
    name: 'peer_limited_total',
    type: 'counter',
    help: 'Connections refused by a limit.',
    of: (peer) => peer.limited,
  },
];

/** What Prometheus reads: a row for each peer, named by its public key. */
export function metricsText(handle: Pick<TunnelHandle, 'peers' | 'stats'>): string {
  const { bytesIn, bytesOut } = handle.stats();
  const peers = handle.peers();
  const lines = [
    ...family('received_bytes_total', 'counter', 'Bytes of frames from all peers so far.', [['', bytesIn]]),
    ...family('sent_bytes_total', 'counter', 'Bytes of frames to all peers so far.', [['', bytesOut]]),
    ...METRICS.flatMap(({ name, type, help, of }) =>
      family(
        name,
        type,
        help,
        peers.map((peer) => [labels(peer), of(peer)]),
      ),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function family(
  name: string,
  type: Metric['type'],
  help: string,
  rows: readonly (readonly [labels: string, value: number | undefined])[],
): string[] {
  const full = `tox_wasm_tunnel_${name}`;
  const values = rows.flatMap(([label, value]) => (value === undefined ? [] : [`${full}${label} ${value}`]));
  return [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, ...values];
}

function labels({ publicKey, name }: PeerInfo): string {
  const named =
    name === undefined
      ? ''
      : `,name="${name.replaceAll(/["\\\n]/g, (unsafe) => (unsafe === '\n' ? '\\n' : `\\${unsafe}`))}"`;
  return `{peer="${publicKey}"${named}}`;
}

/**
 * Serves {@link metricsText} at `/metrics`, to loopback unless the bind address says otherwise.
 *
 * @param text `[bind:]port`; port 0 takes a free one
 * @returns ends it
 * @throws {TunnelError} ERR_ADDRESS_INVALID, ERR_LISTEN
 */
export async function serveMetrics(
  text: string,
  handle: Pick<TunnelHandle, 'peers' | 'stats'>,
  reporter: Reporter,
): Promise<() => void> {
  const bind = parseBind(text, USAGE);
  const server = createServer((request, response) => {
    const found = request.url === '/metrics' && (request.method === 'GET' || request.method === 'HEAD');
    response.writeHead(found ? 200 : 404, { 'content-type': CONTENT_TYPE });
    response.end(found ? metricsText(handle) : 'See /metrics\n');
  });
  server.maxConnections = MAX_CONNECTIONS;
  const local = await listenOn(server, { bind, option: '--metrics' });
  server.on('error', () => {});
  warnWhenPublic(local, reporter.logger);
  reporter.event({ event: 'metrics', url: `http://${printHostPort(local)}/metrics` });
  return () => {
    server.close();
    server.closeAllConnections();
  };
}
