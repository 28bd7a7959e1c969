import { LOCALHOST } from '../../core/host.js';
import { isLoopback, parseAddress } from '../../core/ip.js';
import type { Logger } from '../../core/logger.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';

/** True for what no other machine reaches. */
export function isPrivateBind({ host }: HostPort): boolean {
  const address = parseAddress(host);
  return host === LOCALHOST || (address !== undefined && isLoopback(address));
}

/** Says so when others than this machine can use a forward. @param remedy what to do, with its `; ` before it */
export function warnWhenPublic(local: HostPort, logger: Logger, remedy = ''): void {
  if (isPrivateBind(local)) return;
  const message = `${printHostPort(local)} can be reached from other machines: they can use the tunnel too`;
  logger.log('warn', `${message}${remedy}`);
}
