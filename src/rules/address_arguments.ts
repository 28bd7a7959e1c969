import { boolean, objectOf, type Reader, textOr } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { LOCALHOST, readHost } from '../core/host.js';
import { parseAddress } from '../core/ip.js';
import { type HostPort, readSocketPath, type SocketPath } from './endpoint.js';
import {
  type Bind,
  type LocalSpec,
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseUdpSpec,
  type ReverseSpec,
  type UdpSpec,
} from './forward_spec.js';
import { shown } from './spec_text.js';

/** Maximum characters of the caller's text that an error shows. */
const SHOWN_CHARS = 60;

function invalid(name: string, what: string): TunnelError {
  return new TunnelError('ERR_ADDRESS_INVALID', `${name} ${what}`);
}

/** Reads a host that the far end accepts too: an ASCII name, or an address without brackets. */
export const hostArgument: Reader<string> = (value, name) => {
  if (typeof value !== 'string') throw invalid(name, 'must be a string: a name or an address');
  const read = readHost(value);
  if (typeof read === 'string') throw invalid(`${name} "${shown(value.slice(0, SHOWN_CHARS))}"`, read);
  return value;
};

/** @param least 0 where the system may pick a free port */
export function portArgument(least: 0 | 1): Reader<number> {
  return (value, name) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= 0xffff)
      return value;
    throw invalid(name, `must be a whole number from ${least} to 65535`);
  };
}

/** Reads the path of a socket. */
export const socketPathArgument: Reader<string> = (value, name) => {
  if (typeof value !== 'string') throw invalid(name, 'must be a string: the path of a socket');
  const read = readSocketPath(value);
  if (typeof read === 'string') throw invalid(`${name} "${shown(value.slice(0, SHOWN_CHARS))}"`, read);
  return read.path;
};

// Extra keys are ignored, so an offer can be passed as an endpoint. All keys here are required, so a typo is still caught.
const socketPath: Reader<SocketPath> = objectOf({ path: socketPathArgument }, {}, 'ignored');
const target: Reader<HostPort> = objectOf({ host: hostArgument, port: portArgument(1) }, {}, 'ignored');
const bind: Reader<Bind> = objectOf(
  { host: hostArgument, port: portArgument(0) },
  { isDefault: boolean },
  'ignored',
);

function orPath<Place extends HostPort>(read: Reader<Place>): Reader<Place | SocketPath> {
  return (value, name) => {
    const isPath = typeof value === 'object' && value !== null && 'path' in value && value.path !== undefined;
    return isPath ? socketPath(value, name) : read(value, name);
  };
}

const readTarget = orPath(target);

export const localSpec: Reader<LocalSpec> = textOr(
  parseLocalSpec,
  objectOf({ bind: orPath(bind), target: readTarget }, {}),
);

export const udpSpec: Reader<UdpSpec> = textOr(parseUdpSpec, objectOf({ bind, target }, {}));

/** Reads a bind address at the far end, which resolves no names for it. */
const remoteBind: Reader<Bind> = (value, name) => {
  const read = bind(value, name);
  if (read.host === LOCALHOST || parseAddress(read.host) !== undefined) return read;
  throw invalid(`${name}.host`, `must be a numeric address or ${LOCALHOST}`);
};

export const reverseSpec: Reader<ReverseSpec> = textOr(
  parseReverseSpec,
  objectOf({ bind: remoteBind, target: readTarget }, {}),
);

export const proxyBind: Reader<Bind> = textOr(parseDynamicSpec, bind);
