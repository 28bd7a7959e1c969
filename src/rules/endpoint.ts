import { bracketed } from '../core/host.js';
import { MAX_SOCKET_PATH_BYTES } from '../core/socket_file.js';
import { MAX_TEXT_BYTES } from '../mux/wire/codec.js';
import type { PathTarget, TcpTarget } from '../mux/wire/target.js';

/** A host and a port; the host in canonical spelling, without brackets. */
export interface HostPort {
  readonly host: string;
  /** 1 to 65535; 0 only where the system may pick a free port. */
  readonly port: number;
}

/** The path of a UNIX socket or of a Windows named pipe, absolute and normalized. */
export interface SocketPath {
  readonly path: string;
}

/** Where connections come from or go to: a port of a host, or a path. */
export type Endpoint = HostPort | SocketPath;

export function isPath(endpoint: Endpoint): endpoint is SocketPath {
  return 'path' in endpoint;
}

/** Formats `host:port`, IPv6 in brackets, as `parseTarget` reads it. */
export function printHostPort({ host, port }: HostPort): string {
  return `${bracketed(host)}:${port}`;
}

/** Formats an endpoint as in a forward. */
export function printEndpoint(endpoint: Endpoint): string {
  return isPath(endpoint) ? endpoint.path : printHostPort(endpoint);
}

/** Converts an endpoint to the target that the far end is asked to dial. */
export function targetOf(endpoint: Endpoint): TcpTarget | PathTarget {
  return isPath(endpoint)
    ? { kind: 'path', path: endpoint.path }
    : { kind: 'tcp', host: endpoint.host, port: endpoint.port };
}

/** Prefix of a named pipe, which Windows reads in any case. The pipe's name follows. */
const PIPE_PREFIX = '\\\\.\\pipe\\';

/** Whether a string means a UNIX socket or a named pipe, valid or not. No host and no port starts like that. */
export function looksLikePath(text: string): boolean {
  return /^[/\\.]/.test(text);
}

/**
 * Reads the path of a UNIX socket, `/run/app.sock`, or of a Windows named pipe, `\\.\pipe\app`. It must be absolute
 * and normalized, so that a rule and a request for the same path have the same text. This does not touch the file
 * system: only the kernel follows symbolic links.
 *
 * @returns the path, or what is wrong with it, as words that follow "path"
 */
export function readSocketPath(text: string): { readonly path: string } | string {
  if (/\p{Cc}/u.test(text)) return 'has a control character';
  if (isPipe(text)) {
    const name = text.slice(PIPE_PREFIX.length);
    if (name === '' || /[\\/]/.test(name)) return 'must have one name after \\\\.\\pipe\\';
    // Windows ignores case. It allows one byte more than a request to a peer can carry.
    const path = text.toLowerCase();
    return Buffer.byteLength(path) > MAX_TEXT_BYTES ? `is longer than ${MAX_TEXT_BYTES} bytes` : { path };
  }
  if (!text.startsWith('/')) return 'must be absolute, like /run/app.sock or \\\\.\\pipe\\app';
  const parts = text.slice(1).split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    return 'must be written without . and .., double slashes, or a trailing slash';
  // The kernel or libuv would truncate it and dial another path.
  if (Buffer.byteLength(text) > MAX_SOCKET_PATH_BYTES) return `is longer than ${MAX_SOCKET_PATH_BYTES} bytes`;
  return { path: text };
}

/**
 * Returns why such a path cannot exist on this system; undefined when it can. On a system without named pipes
 * the kernel would read `\\.\pipe\app` as a file in the working directory.
 */
export function foreignPath(path: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (isPipe(path) === (platform === 'win32')) return undefined;
  return platform === 'win32'
    ? 'on Windows give a named pipe, like \\\\.\\pipe\\app, not a UNIX socket'
    : 'only Windows has named pipes';
}

function isPipe(text: string): boolean {
  return text.toLowerCase().startsWith(PIPE_PREFIX);
}
