import { isIP } from 'node:net';
import type { Ports } from '../../index.js';
import type { HostPort } from '../../rules/endpoint.js';
import { parseBind } from '../../rules/forward_spec.js';
import type { Verbosity } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';
import { readValue } from './named_value.js';
import type { NetworkProxyFlags } from './proxies.js';
import { usage } from './usage.js';

/** The output options, as commander stores them. */
export interface OutputFlags {
  readonly json?: boolean;
  readonly verbose: number;
  readonly quiet?: boolean;
}

export interface StateFlags {
  readonly state?: string;
  readonly ephemeral?: boolean;
  readonly passphraseFile?: string;
}

export interface NodeListFlags {
  readonly bootstrap?: readonly string[];
  readonly nodes?: readonly string[];
}

export interface NetworkFlags extends NodeListFlags {
  readonly lan: boolean;
  readonly bind?: string;
}

export interface UdpFlags extends NetworkProxyFlags {
  readonly udp: boolean;
}

export interface MetricsFlags {
  /** Argument of `--metrics`. */
  readonly metrics?: string;
}

export interface PatienceFlags {
  /** Seconds. */
  readonly patience?: string;
}

export function verbosityOf({ json, verbose, quiet }: OutputFlags): Verbosity {
  if (quiet === true && verbose > 0) throw usage('-q and -v cannot be combined');
  return { json: json === true, verbose, quiet: quiet === true };
}

/** Returns undefined with `--ephemeral`. */
export async function stateFolderOf(
  { state, ephemeral }: StateFlags,
  io: CliIo,
): Promise<string | undefined> {
  if (ephemeral !== true) return state ?? (await io.stateFolder());
  if (state !== undefined) throw usage('--state and --ephemeral cannot be combined');
  return undefined;
}

export function networkOf({ bind, lan }: NetworkFlags): { bindAddress?: string; lanDiscovery?: boolean } {
  if (bind !== undefined && isIP(bind) === 0) {
    throw usage(`--bind ${JSON.stringify(bind)} is not a numeric address, such as 192.0.2.1 or 2001:db8::1`);
  }
  return { ...(bind === undefined ? {} : { bindAddress: bind }), ...(lan ? {} : { lanDiscovery: false }) };
}

export function udpOf({ udp, udpPort }: UdpFlags): { udp?: boolean; udpPorts?: Ports } {
  if (udpPort === undefined) return udp ? {} : { udp: false };
  if (!udp) throw usage('--udp-port and --no-udp cannot be combined');
  return { udpPorts: portsOf(udpPort, '--udp-port') };
}

const METRICS_USAGE = '[bind:]port, for example 9100 or [::1]:9100';

/** Returns where `--metrics` listens. */
export function metricsOf({ metrics }: MetricsFlags): HostPort | undefined {
  if (metrics === undefined) return undefined;
  return readValue('--metrics', metrics, (text) => parseBind(text, METRICS_USAGE));
}

/** One day: longer than any outage worth waiting for, and far below the limit of timers. */
const MAX_SECONDS = 86_400;

export function patienceOf({ patience }: PatienceFlags): { patienceMs?: number } {
  if (patience === undefined) return {};
  return { patienceMs: millisecondsOf(patience, '--patience', 0) };
}

/** Parses a number of whole seconds, `leastSeconds` or more. */
export function millisecondsOf(text: string, option: string, leastSeconds: number): number {
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds >= leastSeconds && seconds <= MAX_SECONDS)) {
    throw usage(
      `${option} ${JSON.stringify(text)} is not a number of seconds from ${leastSeconds} to ${MAX_SECONDS}, for example 60`,
    );
  }
  return seconds * 1000;
}

/** Parses `33445` or an inclusive range such as `33445-33545`. With 0 the system chooses. */
export function portsOf(text: string, option: string): Ports {
  const [first = '', last = first, ...rest] = text.split('-');
  const from = portNumber(first);
  const to = portNumber(last);
  if (rest.length > 0 || from === undefined || to === undefined || from > to) {
    throw usage(
      `${option} ${JSON.stringify(text)} is neither a port (0 to 65535) nor a range such as 33445-33545`,
    );
  }
  return { from, to };
}

/** Parses a port. With 0 the system chooses. */
export function portOf(text: string, option: string): number {
  const port = portNumber(text);
  if (port === undefined)
    throw usage(
      `${option} ${JSON.stringify(text)} is not a port, a number from 0 to 65535, for example 2222`,
    );
  return port;
}

/** The value of `--expose` that opens nothing. */
const NO_TARGET = 'none';

/** Returns the rules of `--expose`; undefined without the option. @throws {TunnelError} ERR_USAGE */
export function exposedBy(expose: readonly string[] | undefined): readonly string[] | undefined {
  if (expose?.includes(NO_TARGET) !== true) return expose;
  if (expose.some((text) => text !== NO_TARGET))
    throw usage('--expose none cannot be combined with other --expose options; keep one or the other');
  return [];
}

function portNumber(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  return port >= 0 && port <= 65535 ? port : undefined;
}
