import { lstatSync, rmSync } from 'node:fs';
import { chmod, type FileHandle, lstat, open, rename } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { errnoOf, TunnelError } from './errors.js';
import { exhaustionOf } from './exhaustion.js';

export interface SocketFile {
  readonly folder: string;
  /** Of the socket in {@link folder}. */
  readonly name: string;
  /** A folder of mode 0700 beside it, empty; the caller removes it. */
  readonly draftFolder: string;
}

/** libuv deletes what it bound by that name when the server closes: nothing else has it. */
const DRAFT_NAME = 'socket.draft';

/**
 * Lets a server listen at a socket file, for its owner alone from the first moment: the socket is made
 * in a folder that nobody else enters, given mode 0600, and moved to its place.
 *
 * @returns takes the file away, unless another has taken its place; the server is the caller's
 */
export async function openSocketFile(file: SocketFile, server: Server): Promise<() => void> {
  const { folder, name, draftFolder } = file;
  const place = join(folder, name);
  const draft = await socketAddress(draftFolder, DRAFT_NAME);
  try {
    await listenAt(server, draft.path);
    await chmod(draft.path, 0o600);
    const { ino } = await lstat(draft.path);
    await rename(draft.path, place);
    return () => {
      if (lstatSync(place, { throwIfNoEntry: false })?.ino === ino) rmSync(place, { force: true });
    };
  } finally {
    await draft.release();
  }
}

/**
 * What lies at a socket's place: nothing, the socket of a dead process, of a live one, of one that we
 * may not ask, or no socket.
 */
export type SocketFileState = 'free' | 'stale' | 'answered' | 'closed-to-us' | 'no-socket';

export async function socketFileState(folder: string, name: string): Promise<SocketFileState> {
  const found = await lstat(join(folder, name)).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return 'free';
  if (!found.isSocket()) return 'no-socket';
  const address = await socketAddress(folder, name);
  try {
    return await knock(address.path);
  } finally {
    await address.release();
  }
}

function knock(path: string): Promise<SocketFileState> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve('answered');
    });
    socket.on('error', (error) => {
      const code = errnoOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve('stale');
      // Nobody was asked.
      else if (exhaustionOf(error) !== undefined) reject(error);
      // A full queue has somebody behind it.
      else resolve(code === 'EAGAIN' ? 'answered' : 'closed-to-us');
    });
  });
}

/** @throws the system's error */
export function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      // A connection that cannot be accepted, before the server's owner listens for that.
      server.on('error', () => {});
      resolve();
    });
  });
}

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
