import { lstatSync, rmSync } from 'node:fs';
import { chmod, type FileHandle, lstat, open, rename } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { errnoOf, TunnelError } from './errors.js';
import { exhaustionOf } from './exhaustion.js';
import { ACCEPT_BACKLOG } from './limits.js';

export interface SocketFile {
  readonly folder: string;
  /** Name of the socket in {@link folder}. */
  readonly name: string;
  /** An empty folder of mode 0700 next to the socket. The caller removes it. */
  readonly draftFolder: string;
}

/** When the server closes, libuv deletes the name that it bound. Only the draft has this name. */
const DRAFT_NAME = 'socket.draft';

/**
 * Makes a server listen at a socket file that only its owner can use, from the first moment on: creates the
 * socket in a folder that nobody else can enter, sets mode 0600, and moves it into place.
 *
 * @returns a function that deletes the file, unless another file has replaced it. The caller closes the server
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
 * What exists at a socket's path: nothing, the socket of a dead process, the socket of a live process, a
 * socket that we may not connect to, or something that is not a socket.
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
      // We could not connect at all.
      else if (exhaustionOf(error) !== undefined) reject(error);
      // A full accept queue belongs to a live process.
      else resolve(code === 'EAGAIN' ? 'answered' : 'closed-to-us');
    });
  });
}

/**
 * Creates a socket that shows that this process lives: the kernel refuses connections to it as soon as the process is
 * dead, and answers them from any container on this machine. See {@link socketFileState}.
 *
 * @returns a function that deletes it; undefined where there are no such sockets
 */
export async function openBeacon(folder: string, name: string): Promise<(() => void) | undefined> {
  // Named pipes of Windows are not files.
  if (process.platform === 'win32') return undefined;
  const server = createServer((socket) => socket.destroy());
  try {
    const address = await socketAddress(folder, name);
    try {
      await listenAt(server, address.path);
    } finally {
      await address.release();
    }
    server.unref();
    const place = join(folder, name);
    await chmod(place, 0o600);
    return () => {
      server.close();
      rmSync(place, { force: true });
    };
  } catch {
    // Some file systems have no sockets, and Node's permission model allows none.
    server.close();
    return undefined;
  }
}

/** @throws the system's error */
export function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, backlog: ACCEPT_BACKLOG }, () => {
      server.off('error', reject);
      // Ignores a failed accept before the server's owner has its own handler.
      server.on('error', () => {});
      resolve();
    });
  });
}

/**
 * Longest path of a socket, in bytes. Source: `sun_path` has 104 bytes on macOS and the BSDs and 108 on Linux,
 * including the terminating zero (unix(7)).
 */
export const MAX_SOCKET_PATH_BYTES = 103;

/** A socket's address for system calls, valid until it is released. */
export interface SocketAddress {
  readonly path: string;
  release(): Promise<void>;
}

/**
 * Returns the address of `name` in `folder`. A path that is too long for the system goes through the open folder
 * (`/proc/self/fd/7/listener.sock`). So the socket is always in the state folder, and never at a place that others
 * could prepare.
 *
 * @throws {TunnelError} ERR_STATE_IO for a long path on a system without /proc; or the error of `open`
 */
export async function socketAddress(folder: string, name: string): Promise<SocketAddress> {
  const path = join(resolve(folder), name);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, release: async () => {} };
  if (process.platform !== 'linux') {
    throw new TunnelError(
      'ERR_STATE_IO',
      `${path}: on this system the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes; choose a state folder with a shorter path`,
    );
  }
  const handle: FileHandle = await open(folder, 'r');
  return { path: `/proc/self/fd/${handle.fd}/${name}`, release: () => handle.close() };
}
