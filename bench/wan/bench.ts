import type { Cell } from '../table.js';
import type { End } from './end.js';
import type { LinkOptions, WanHosts } from './hosts.js';
import { BusyMeter } from './machine.js';
import { TunnelPair } from './tunnel_pair.js';

/** The means to measure a row. */
export interface WanBench {
  readonly hosts: WanHosts;
  /** The end that requests, on host a. */
  readonly near: End;
  /** The end that serves, on host b. */
  readonly servePort: number;
  /** main.js of the build to run. */
  readonly program: string;
  readonly seconds: number;
  readonly mib: number;
  readonly verbose: readonly string[];
  /** Receives the messages of both ends of the tunnel, row by row. */
  keepLog(row: string, end: string, text: string): void;
}

export type Row = Readonly<Record<string, Cell>>;

/** A row of the table, and how to measure it. */
export interface Measurement {
  readonly name: string;
  readonly link: LinkOptions;
  measure(bench: WanBench, tunnel: TunnelPair): Promise<Row>;
}

/** Sets up the link, starts a tunnel over it, measures, and stops the tunnel. */
export async function measureRow(bench: WanBench, { name, link, measure }: Measurement): Promise<Row> {
  await bench.hosts.setLink(link);
  const tunnel = await TunnelPair.start(bench.hosts, bench.program, bench.servePort, bench.verbose);
  const machine = new BusyMeter();
  try {
    const row = await measure(bench, tunnel);
    return { row: name, ...row, 'machine busy %': machine.percent() };
  } finally {
    bench.keepLog(name, 'listener', tunnel.listener.stderr);
    bench.keepLog(name, 'connector', tunnel.connector.stderr);
    await tunnel.stop();
  }
}

/** The address to request a transfer from, through the tunnel and over plain TCP. */
export function ways(
  bench: WanBench,
  tunnel: TunnelPair,
): Readonly<Record<'tunnel' | 'tcp', { readonly host: string; readonly port: number }>> {
  return {
    tunnel: { host: '127.0.0.1', port: tunnel.port },
    tcp: { host: bench.hosts.address('b'), port: bench.servePort },
  };
}
