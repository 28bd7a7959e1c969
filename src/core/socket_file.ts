import { lstatSync, rmSync } from 'node:fs';
import { chmod, lstat, rename } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { join } from 'node:path';
import { errnoOf } from './errno.js';
import { exhaustionOf } from './exhaustion.js';
import { socketAddress } from './socket_address.js';

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
