import { bracketed } from '../core/host.js';
import { MAX_SOCKET_PATH_BYTES } from '../core/socket_file.js';
import { MAX_TEXT_BYTES } from '../mux/wire/codec.js';
import type { PathTarget, TcpTarget } from '../mux/wire/target.js';

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

/** Windows reads it in any case; what follows is the pipe's name. */
const PIPE_PREFIX = '\\\\.\\pipe\\';

/** Whether a text means a UNIX socket or a named pipe, well written or not: no host and no port starts so. */
export function looksLikePath(text: string): boolean {
  return /^[/\\.]/.test(text);
}

/**
 * Reads the path of a UNIX socket, `/run/app.sock`, or of a Windows named pipe, `\\.\pipe\app`. It must be
 * absolute and in its only spelling, so that a rule and a request that mean the same path have the same text.
 * Nothing is looked up: symbolic links in it are followed by the kernel alone.
 *
 * @returns the path, or in words what is wrong with it, to stand after the word "path"
 */
export function readSocketPath(text: string): { readonly path: string } | string {
  if (/\p{Cc}/u.test(text)) return 'has a control character';
  if (isPipe(text)) {
    const name = text.slice(PIPE_PREFIX.length);
    if (name === '' || /[\\/]/.test(name)) return 'must be one name after \\\\.\\pipe\\';
    // Windows has them the same in either case. It takes one more; a peer could not be asked for that.
    const path = text.toLowerCase();
    return Buffer.byteLength(path) > MAX_TEXT_BYTES ? `is longer than ${MAX_TEXT_BYTES} bytes` : { path };
  }
  if (!text.startsWith('/')) return 'must be absolute, as /run/app.sock or \\\\.\\pipe\\app';
  const parts = text.slice(1).split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    return 'must be written without . and .., double slashes, and a slash at its end';
  // The kernel, or libuv for it, would cut it off and dial another.
  if (Buffer.byteLength(text) > MAX_SOCKET_PATH_BYTES) return `is longer than ${MAX_SOCKET_PATH_BYTES} bytes`;
  return { path: text };
}

/**
 * Why this system has no such path; undefined when it may have. On a system without named pipes the
 * kernel would take one for a file in the folder that we run in.
 */
export function foreignPath(path: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (isPipe(path) === (platform === 'win32')) return undefined;
  return platform === 'win32'
    ? 'Windows has named pipes, as \\\\.\\pipe\\app, and no UNIX sockets for us'
    : 'named pipes are of Windows alone';
}

function isPipe(text: string): boolean {
  return text.toLowerCase().startsWith(PIPE_PREFIX);
}
