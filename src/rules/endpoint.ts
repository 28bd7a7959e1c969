import type { PathTarget, TcpTarget } from '../mux/wire/target.js';
import { bracketed } from './address.js';

/** A host and a port; the host in canonical spelling, without brackets. */
export interface HostPort {
  readonly host: string;
  /** 1 to 65535; 0 only where a free port is to be picked. */
  readonly port: number;
}

/** The path of a UNIX socket or of a Windows named pipe, absolute and normalised. */
export interface SocketPath {
  readonly path: string;
}

/** Where connections come from or go to: a port of a host, or a path. */
export type Endpoint = HostPort | SocketPath;

export function isPath(endpoint: Endpoint): endpoint is SocketPath {
  return 'path' in endpoint;
}

/** `host:port`, IPv6 in brackets; what `parseTarget` reads back as the same. */
export function printHostPort({ host, port }: HostPort): string {
  return `${bracketed(host)}:${port}`;
}

/** As it stands in a forward. */
export function printEndpoint(endpoint: Endpoint): string {
  return isPath(endpoint) ? endpoint.path : printHostPort(endpoint);
}

/** What the far end is asked for. */
export function targetOf(endpoint: Endpoint): TcpTarget | PathTarget {
  return isPath(endpoint)
    ? { kind: 'path', path: endpoint.path }
    : { kind: 'tcp', host: endpoint.host, port: endpoint.port };
}
