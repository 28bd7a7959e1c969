import { isIPv4 } from 'node:net';
import type { TunnelError } from '../../core/errors.js';
import { LOCALHOST } from '../../core/host.js';
import { isPath, type SocketPath } from '../../rules/endpoint.js';
import {
  type Bind,
  DEFAULT_BIND_HOST,
  parseDynamicSpec,
  parseLocalSpec,
  parseUdpSpec,
} from '../../rules/forward_spec.js';
import { readValue } from './named_value.js';
import { usage } from './usage.js';

/** A place where the command line wants to listen. */
export interface LocalPlace {
  /** The option with its value, for the error: `-L 8080:localhost:80`. */
  readonly option: string;
  readonly bind: Bind | SocketPath;
  /** Ports of TCP and UDP never collide. */
  readonly protocol: 'tcp' | 'udp';
}

/** Rejects options that name one local place twice. @throws {TunnelError} ERR_USAGE */
export function expectDistinct(places: readonly LocalPlace[]): void {
  for (const [at, place] of places.entries()) {
    const earlier = places.slice(0, at).find((other) => collide(place, other));
    if (earlier !== undefined) throw twice(earlier, place);
  }
}

function twice({ option }: LocalPlace, { option: again, bind }: LocalPlace): TunnelError {
  const what = isPath(bind) ? `local path ${bind.path}` : `local port ${bind.port}`;
  const remedy = isPath(bind)
    ? 'choose another path for one of them'
    : 'choose another port for one of them, or 0 for any free port';
  return usage(`${option} and ${again} name the same ${what}; ${remedy}`);
}

function collide(one: LocalPlace, other: LocalPlace): boolean {
  if (isPath(one.bind) || isPath(other.bind))
    return isPath(one.bind) && isPath(other.bind) && one.bind.path === other.bind.path;
  if (one.protocol !== other.protocol || one.bind.port !== other.bind.port || one.bind.port === 0)
    return false;
  const [host, otherHost] = [hostOf(one.bind), hostOf(other.bind)];
  return host === otherHost || covers(host, otherHost) || covers(otherHost, host);
}

/** Whether a socket at the first address takes the connections to the second. */
function covers(host: string, other: string): boolean {
  return host === '::' || (host === '0.0.0.0' && isIPv4(other));
}

const hostOf = ({ host }: Bind): string => (host === LOCALHOST ? DEFAULT_BIND_HOST : host);

/** The forwards of the command line that listen here. */
export interface LocalFlags {
  /** Arguments of `-L`. */
  readonly local?: readonly string[];
  /** Arguments of `-D`. */
  readonly dynamic?: readonly string[];
  /** Arguments of `--udp-forward`. */
  readonly udpForward?: readonly string[];
}

/** Where the forwards of the command line listen. @throws {TunnelError} ERR_SPEC_INVALID */
export function localPlaces({ local = [], dynamic = [], udpForward = [] }: LocalFlags): LocalPlace[] {
  const of = (
    option: string,
    texts: readonly string[],
    protocol: LocalPlace['protocol'],
    read: (text: string) => LocalPlace['bind'],
  ): LocalPlace[] =>
    texts.map((text) => ({ option: `${option} ${text}`, bind: readValue(option, text, read), protocol }));
  return [
    ...of('-L', local, 'tcp', (text) => parseLocalSpec(text).bind),
    ...of('-D', dynamic, 'tcp', parseDynamicSpec),
    ...of('--udp-forward', udpForward, 'udp', (text) => parseUdpSpec(text).bind),
  ];
}
