import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { join } from 'node:path';
import { errnoOf } from '../core/errno.js';
import { TunnelError } from '../core/errors.js';
import { pipeName, SOCKET_NAME, socketAddress } from './place.js';

/** libuv deletes what it bound by that name when the server closes: nothing else has it. */
const DRAFT_NAME = 'listener.sock.draft';

/**
 * Lets a server listen at the folder's socket, for the folder's owner alone from the first moment:
 * the socket is made in a folder of mode 0700, given mode 0600, and moved to its place. One that a
 * dead process left is replaced.
 *
 * The caller holds the lock of the listener's role, so that nobody else does this here now.
 *
 * @returns closes it, and takes the socket away
 * @throws {TunnelError} ERR_STATE_BUSY when somebody answers there, ERR_STATE_IO for something else
 *   in its place; or the system's error
 */
export async function openDoorway(folder: string, server: Server): Promise<() => Promise<void>> {
  if (process.platform === 'win32') {
    await listenAt(server, pipeName(folder));
    return () => closed(server);
  }
  const place = join(folder, SOCKET_NAME);
  await expectFree(folder, place);
  const draftFolder = `${place}.new`;
  await rm(draftFolder, { recursive: true, force: true });
  await mkdir(draftFolder, { mode: 0o700 });
  const draft = await socketAddress(draftFolder, DRAFT_NAME);
  try {
    await listenAt(server, draft.path);
    await chmod(draft.path, 0o600);
    await rename(draft.path, place);
  } catch (error) {
    await closed(server);
    throw error;
  } finally {
    await draft.release();
    await rm(draftFolder, { recursive: true, force: true });
  }
  return async () => {
    await rm(place, { force: true });
    await closed(server);
  };
}

/** What lies at the socket's place must be nothing, or the socket of a dead process. */
async function expectFree(folder: string, place: string): Promise<void> {
  const found = await lstat(place).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new TunnelError('ERR_STATE_IO', `${place}: it is no socket and was left as it is; move it away`);
  }
  const address = await socketAddress(folder, SOCKET_NAME);
  try {
    if (await isAnswered(address.path)) {
      throw new TunnelError('ERR_STATE_BUSY', `${place}: another process answers there; end it first`);
    }
  } finally {
    await address.release();
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // EACCES and the like: nobody of ours, and to be replaced like any other left-over.
    socket.on('error', () => resolve(false));
  });
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // It says so when it was not listening; then it is closed already.
    server.close(() => resolve());
  });
}
