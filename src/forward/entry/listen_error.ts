import { TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import type { Endpoint } from '../../rules/endpoint.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { printBind, printLocalSpec } from '../../rules/forward_spec.js';

/** Lowest port that a system lets everybody listen on. */
const FIRST_FREE_FOR_ALL = 1024;

/** Why a forward cannot listen, and what its user can do about it. @param option that asks for such a forward */
export function listenError(bind: HostPort, target: Endpoint, cause: unknown, option = '-L'): TunnelError {
  const { host, port } = bind;
  const another = (other: number): string => printLocalSpec({ bind: { host, port: other }, target });
  const suggestion = port < FIRST_FREE_FOR_ALL ? port + 8000 : port < 65_535 ? port + 1 : port - 1;
  const otherPort = `write another port, as in ${option} ${another(suggestion)}, or ${option} ${another(0)} for any free one`;
  return new TunnelError('ERR_LISTEN', `${printHostPort(bind)} ${why(cause, host, otherPort)}`, {
    cause,
  });
}

/** The same for what is only bound. @param option that says where */
export function bindError(option: string, bind: HostPort, cause: unknown): TunnelError {
  const other = `write another port, as in ${option} ${printBind({ ...bind, port: 0 })} for any free one`;
  return new TunnelError('ERR_LISTEN', `${printHostPort(bind)} ${why(cause, bind.host, other)}`, { cause });
}

/** Who asked has closed it meanwhile. */
export function closedEarly(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'the forward was closed before it listened');
}

function why(cause: unknown, host: string, otherPort: string): string {
  const exhausted = exhaustionOf(cause);
  if (exhausted !== undefined)
    return `cannot be listened on: there is ${exhausted}; close connections, and try again`;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'failed';
  switch (code) {
    case 'EADDRINUSE':
      return `is in use by another program; ${otherPort}`;
    case 'EACCES':
    case 'EPERM':
      return `is not for this user to listen on; ${otherPort}`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return `is not an address of this machine (${code}); leave the bind address out to listen on loopback`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `cannot be used, as ${host} is not known (${code}); write the address instead of the name`;
    default:
      return `cannot be used (${code}); ${otherPort}`;
  }
}
