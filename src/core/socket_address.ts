import { type FileHandle, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TunnelError } from './errors.js';

/**
 * Longest path of a socket, in bytes. Source: `sun_path` has 104 bytes on macOS and the BSDs, 108 on
 * Linux, the zero at the end counted (unix(7)).
 */
export const MAX_SOCKET_PATH_BYTES = 103;

/** A socket's address for the system, good until it is released. */
export interface SocketAddress {
  readonly path: string;
  release(): Promise<void>;
}

/**
 * The address of `name` in `folder`. One that is too long for the system is reached through the
 * open folder (`/proc/self/fd/7/listener.sock`), so that the socket lies in the state folder in any
 * case, and nowhere that others could prepare.
 *
 * @throws {TunnelError} ERR_STATE_IO for a long path on a system without /proc, or what `open` says
 */
export async function socketAddress(folder: string, name: string): Promise<SocketAddress> {
  const path = join(resolve(folder), name);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, release: async () => {} };
  if (process.platform !== 'linux') {
    throw new TunnelError(
      'ERR_STATE_IO',
      `${path}: a socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes here; choose a folder with a shorter name`,
    );
  }
  const handle: FileHandle = await open(folder, 'r');
  return { path: `/proc/self/fd/${handle.fd}/${name}`, release: () => handle.close() };
}
