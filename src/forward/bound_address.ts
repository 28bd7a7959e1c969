import type { AddressInfo } from 'node:net';
import type { HostPort } from '../rules/endpoint.js';

/** Where a server or a UDP socket listens that was bound to `bind`, with the port that was picked for port 0. */
export function boundAddress(server: { address(): AddressInfo | string | null }, bind: HostPort): HostPort {
  const address = server.address();
  // A server that listens on a port has an address of this kind.
  if (address === null || typeof address === 'string') return bind;
  return { host: address.address, port: address.port };
}
