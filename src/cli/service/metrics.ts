import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { Timer, type Timers } from '../../core/clock.js';
import { hostText, isLocalhostName, readHost } from '../../core/host.js';
import { MAX_WASM_BYTES } from '../../core/limits.js';
import { isLoopback, isUndiallable } from '../../core/special_addresses.js';
import { listenOn, warnWhenPublic } from '../../forward/listen.js';
import type { PeerInfo } from '../../index.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { isJoined } from '../output/peer_rows.js';
import type { Reporter } from '../output/reporter.js';
import type { NodeHandle, TunnelHandle } from '../process/library.js';

/** Source: the text exposition format of Prometheus, version 0.0.4. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
/** Concurrent connections. A scraper needs one. */
export const MAX_CONNECTIONS = 16;
/** How long a connection may last, in milliseconds. */
export const CLIENT_TIMEOUT_MS = 10_000;

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  /** Undefined when there is no value for this peer. */
  of(peer: PeerInfo): number | undefined;
}

const METRICS: readonly Metric[] = [
  {
    name: 'peer_online',
    type: 'gauge',
    help: '1 while the peer is online.',
    of: (peer) => Number(peer.status === 'online'),
  },
  {
    name: 'peer_relayed',
    type: 'gauge',
    help: '1 while the path uses a TCP relay.',
    of: (peer) => Number(peer.path === 'relay'),
  },
  {
    name: 'peer_round_trip_seconds',
    type: 'gauge',
    help: 'Smoothed round-trip time.',
    of: ({ roundTripMs }) => (roundTripMs === undefined ? undefined : roundTripMs / 1000),
  },
  { name: 'peer_streams', type: 'gauge', help: 'Open connections.', of: (peer) => peer.streams },
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
    help: 'Complete UDP datagrams from the peer.',
    of: (peer) => peer.datagramsIn,
  },
  {
    name: 'peer_sent_datagrams_total',
    type: 'counter',
    help: 'UDP datagrams sent to the peer.',
    of: (peer) => peer.datagramsOut,
  },
  {
    name: 'peer_dropped_datagrams_total',
    type: 'counter',
    help: 'UDP datagrams dropped here: buffers full, or a fragment lost.',
    of: (peer) => peer.datagramsDropped,
  },
  {
    name: 'peer_opened_total',
    type: 'counter',
    help: 'Targets dialled for the peer.',
    of: (peer) => peer.opened,
  },
  {
    name: 'peer_denied_total',
    type: 'counter',
    help: 'Targets that the rules deny the peer.',
    of: (peer) => peer.denied,
  },
  {
    name: 'peer_failed_total',
    type: 'counter',
    help: 'Targets that could not be reached.',
    of: (peer) => peer.failed,
  },
  {
    name: 'peer_limited_total',
    type: 'counter',
    help: 'Connections refused by a limit.',
    of: (peer) => peer.limited,
  },
];

type MeasuredHandle = Pick<TunnelHandle, 'peers' | 'stats'> & {
  readonly node: Pick<NodeHandle, 'path' | 'health'>;
};

/** Metrics in the Prometheus text format, labelled by the public key of each peer. */
export function metricsText(handle: MeasuredHandle): string {
  const { bytesIn, bytesOut } = handle.stats();
  const { wasmMemoryBytes, strangersDropped } = handle.node.health;
  const peers = handle.peers();
  const lines = [
    ...family('joined', 'gauge', '1 while this Tox node is joined to the network.', [
      ['', Number(isJoined(handle.node.path, peers))],
    ]),
    ...family('received_bytes_total', 'counter', 'Bytes of frames from all peers.', [['', bytesIn]]),
    ...family('sent_bytes_total', 'counter', 'Bytes of frames to all peers.', [['', bytesOut]]),
    ...family('toxcore_memory_bytes', 'gauge', `Memory that toxcore uses, of at most ${MAX_WASM_BYTES}.`, [
      ['', wasmMemoryBytes],
    ]),
    ...family('strangers_dropped_total', 'counter', 'UDP packets of strangers dropped in a flood.', [
      ['', strangersDropped],
    ]),
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
 * Whether a request asks for a host that is ours. A web page can have a browser here ask any name that leads to this
 * server (DNS rebinding), and would read the answer. The names of the loopback, addresses, and what the user bound are
 * beyond the control of such a page.
 *
 * @param header the `Host` header
 * @param bind host on which the user told us to listen
 */
export function isOurHost(header: string | undefined, bind: string): boolean {
  const text = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(header ?? '');
  const host = readHost(text?.[1] ?? text?.[2] ?? '');
  if (typeof host === 'string') return false;
  const own = readHost(bind);
  if (typeof own !== 'string' && hostText(own) === hostText(host)) return true;
  if (host.kind === 'name') return isLocalhostName(host.name);
  if (isLoopback(host.address)) return true;
  // 0.0.0.0 and :: mean every address of this machine.
  return typeof own !== 'string' && own.kind === 'address' && isUndiallable(own.address);
}

/**
 * Serves {@link metricsText} at `/metrics`, one request on each connection.
 *
 * @param bind port 0 takes a free one
 * @returns a function that stops the server
 * @throws {TunnelError} ERR_LISTEN
 */
export async function serveMetrics(
  bind: HostPort,
  handle: MeasuredHandle,
  reporter: Reporter,
  timers: Timers,
): Promise<() => void> {
  const clients = new Clients(timers);
  const server = createServer((request, response) => {
    clients.answer(request.socket);
    if (!isOurHost(request.headers.host, bind.host)) {
      response.writeHead(421, { 'content-type': CONTENT_TYPE, connection: 'close' });
      response.end(
        'This server answers only requests for localhost or for the host in --metrics HOST:PORT, so that no web page can read it (DNS rebinding). Ask for http://127.0.0.1, or start it with --metrics and the host that you ask for.\n',
      );
      return;
    }
    const found = request.url === '/metrics' && (request.method === 'GET' || request.method === 'HEAD');
    response.writeHead(found ? 200 : 404, { 'content-type': CONTENT_TYPE, connection: 'close' });
    response.end(found ? metricsText(handle) : 'See /metrics\n');
  });
  server.on('connection', (socket) => clients.add(socket));
  const local = await listenOn(server, { bind, option: '--metrics' });
  server.on('error', () => {});
  warnWhenPublic(local, reporter.logger);
  reporter.event({ event: 'metrics', url: `http://${printHostPort(local)}/metrics` });
  return () => {
    clients.clear();
    server.close();
    server.closeAllConnections();
  };
}

/** The connections to the metrics. Each has a deadline from its start, and silent ones make room for new ones. */
class Clients {
  readonly #timers: Timers;
  /** In order of arrival, with whether the request of each was read. */
  readonly #clients = new Map<Socket, { readonly deadline: Timer; isAnswered: boolean }>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  add(socket: Socket): void {
    if (this.#clients.size >= MAX_CONNECTIONS) {
      const silent = [...this.#clients].find(([, { isAnswered }]) => !isAnswered)?.[0];
      // All clients are slow readers: their deadlines come soon.
      if (silent === undefined) socket.destroy();
      else this.#drop(silent);
    }
    if (socket.destroyed) return;
    const deadline = new Timer(this.#timers);
    this.#clients.set(socket, { deadline, isAnswered: false });
    deadline.set(CLIENT_TIMEOUT_MS, () => this.#drop(socket));
    socket.on('close', () => this.#forget(socket));
  }

  /** Notes that the request of a connection is complete. */
  answer(socket: Socket): void {
    const client = this.#clients.get(socket);
    if (client !== undefined) client.isAnswered = true;
  }

  clear(): void {
    for (const socket of [...this.#clients.keys()]) this.#forget(socket);
  }

  #drop(socket: Socket): void {
    this.#forget(socket);
    socket.destroy();
  }

  #forget(socket: Socket): void {
    this.#clients.get(socket)?.deadline.clear();
    this.#clients.delete(socket);
  }
}
