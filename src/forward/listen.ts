import type { AddressInfo, Server } from 'node:net';
import { errnoOf, TunnelError } from '../core/errors.js';
import { exhaustionOf } from '../core/exhaustion.js';
import { LOCALHOST } from '../core/host.js';
import { parseAddress } from '../core/ip.js';
import { ACCEPT_BACKLOG } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { isLoopback } from '../core/special_addresses.js';
import { type Endpoint, type HostPort, printHostPort } from '../rules/endpoint.js';
import { type Bind, printBind, printForwardSpec } from '../rules/forward_spec.js';

/** The lowest port that every user may listen on. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/** An address to listen on, and what named it, for error messages. */
export interface ListenRequest {
  readonly bind: Bind;
  /** The option of the command line, such as `-L` or `--metrics`; undefined when a program called the library. */
  readonly option?: string;
  /** The target that follows the bind address in the text of a forward, if it has one. */
  readonly target?: Endpoint;
}

/**
 * Has `server` listen on a TCP address. Remove no listener from the server before the promise settles.
 *
 * @returns the address, with the port that the system chose for port 0
 * @throws {TunnelError} ERR_LISTEN, with what the user can do; ERR_CLOSED when the server closes first
 */
export function listenOn(server: Server, request: ListenRequest): Promise<HostPort> {
  const { host, port } = request.bind;
  return new Promise((resolve, reject) => {
    let isClosed = false;
    const onError = (error: Error): void => reject(listenError(request, error));
    const onClose = (): void => {
      isClosed = true;
      reject(closedEarly());
    };
    server.once('error', onError).once('close', onClose);
    server.listen({ host, port, backlog: ACCEPT_BACKLOG }, () => {
      if (isClosed) {
        // Some Node.js versions listen even if the server was closed during the look-up of a bind name.
        server.close();
        return;
      }
      server.off('error', onError).off('close', onClose);
      resolve(boundAddress(server, request.bind));
    });
  });
}

/** The IPv6 loopback. `localhost` may mean it too. */
const LOOPBACK_V6 = '::1';

/**
 * Listens at ::1 too where a forward listens at the loopback that nobody named, with the same port: a client that asks
 * for `localhost` may use either, and ssh does the same. A failure is no error.
 *
 * @param local where the forward listens over IPv4
 * @param open listens at the address; rejects with the system's error
 * @returns what `open` returns; undefined when nothing listens at ::1
 */
export async function listenBeside<Opened>(
  bind: Bind,
  local: HostPort,
  logger: Logger,
  open: (beside: HostPort) => Promise<Opened>,
): Promise<Opened | undefined> {
  if (bind.isDefault !== true) return undefined;
  const beside = { host: LOOPBACK_V6, port: local.port };
  try {
    return await open(beside);
  } catch (error) {
    const cause = TunnelError.is(error) ? error.cause : error;
    // Any other error means that this machine has no IPv6.
    if (errnoOf(cause) === 'EADDRINUSE')
      logger.log(
        'warn',
        `${printHostPort(beside)} is in use by another program, which gets the connections of clients that prefer IPv6; only ${printHostPort(local)} leads into the tunnel`,
      );
    return undefined;
  }
}

/**
 * Returns where a server or UDP socket that was bound to `bind` actually listens: port 0 becomes the chosen
 * port.
 */
export function boundAddress(server: { address(): AddressInfo | string | null }, bind: HostPort): HostPort {
  const address = server.address();
  // A server that listens on a port has an address of this kind.
  if (address === null || typeof address === 'string') return bind;
  return { host: address.address, port: address.port };
}

/** The error for a forward whose owner closed it before it could listen. */
export function closedEarly(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'the forward was closed before it could listen');
}

/**
 * Warns that other machines can use a forward, unless it listens on the loopback. `remedy` starts with `; `.
 */
export function warnWhenPublic(local: HostPort, logger: Logger, remedy = ''): void {
  const address = parseAddress(local.host);
  if (local.host === LOCALHOST || (address !== undefined && isLoopback(address))) return;
  const message = `${printHostPort(local)} can be reached from other machines: they can use the tunnel too`;
  logger.log('warn', `${message}${remedy}`);
}

/** The error for an address that cannot be listened on: what failed, and what the user can do. */
export function listenError({ bind, option, target }: ListenRequest, cause: unknown): TunnelError {
  const at = printHostPort(bind);
  const { host, port } = bind;
  const example = (other: number): string => {
    const place = { ...bind, port: other };
    const text = target === undefined ? printBind(place) : printForwardSpec({ bind: place, target });
    return option === undefined ? text : `${option} ${text}`;
  };
  const free = port < FIRST_UNPRIVILEGED_PORT ? port + 8000 : port < 65_535 ? port + 1 : port - 1;
  const otherPort = `choose another port, for example ${example(free)}, or ${example(0)} for any free port`;
  return new TunnelError('ERR_LISTEN', `${at} ${failureText(cause, host, otherPort)}`, { cause });
}

function failureText(cause: unknown, host: string, otherPort: string): string {
  const exhausted = exhaustionOf(cause);
  if (exhausted !== undefined) {
    return `cannot be opened: there is ${exhausted}; close some connections and try again`;
  }
  const code = errnoOf(cause) ?? 'failed';
  switch (code) {
    case 'EADDRINUSE':
      return `is in use by another program; ${otherPort}`;
    case 'EACCES':
    case 'EPERM':
      return `cannot be opened: permission denied; ${otherPort}`;
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return `is not an address of this machine (${code}); leave out the bind address to listen on loopback`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `cannot be opened: the name ${host} cannot be resolved (${code}); give an IP address instead`;
    default:
      return `cannot be opened (${code}); ${otherPort}`;
  }
}
