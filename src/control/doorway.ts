import { mkdir, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { TunnelError } from '../core/errors.js';
import { listenAt, openSocketFile, socketFileState } from '../core/socket_file.js';
import { liveDoors } from './live_doors.js';
import { type Door, pipeName, socketName } from './place.js';

/**
 * Lets a server listen at a door of the folder, for the folder's owner alone from the first moment.
 * A socket that a dead process left is replaced.
 *
 * Nobody else may do this for the same door now: of the listener's the caller holds the role's lock, and a
 * connector's has the number of its process.
 *
 * @returns closes it, and takes the socket away
 * @throws {TunnelError} ERR_STATE_BUSY when somebody answers there, ERR_STATE_IO for something else
 *   in its place; or the system's error
 */
export async function openDoorway(folder: string, door: Door, server: Server): Promise<() => Promise<void>> {
  if (process.platform === 'win32') {
    await listenAt(server, pipeName(folder, door));
    return () => closed(server);
  }
  // Nobody else takes over what dead connectors left.
  if (door !== 'listener') await liveDoors(folder);
  const name = socketName(door);
  const place = join(folder, name);
  await expectFree(folder, name);
  // One that a killed process left goes with it.
  const draftFolder = `${place}.new`;
  await rm(draftFolder, { recursive: true, force: true });
  await mkdir(draftFolder, { mode: 0o700 });
  try {
    const remove = await openSocketFile({ folder, name, draftFolder }, server);
    return async () => {
      remove();
      await closed(server);
    };
  } catch (error) {
    await closed(server);
    throw error;
  } finally {
    await rm(draftFolder, { recursive: true, force: true });
  }
}

/** One that we may not ask is nobody of ours, in our own folder: a left-over like any other. */
async function expectFree(folder: string, name: string): Promise<void> {
  const place = join(folder, name);
  const state = await socketFileState(folder, name);
  if (state === 'no-socket')
    throw new TunnelError('ERR_STATE_IO', `${place}: it is no socket and was left as it is; move it away`);
  if (state === 'answered')
    throw new TunnelError('ERR_STATE_BUSY', `${place}: another process answers there; end it first`);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // It says so when it was not listening; then it is closed already.
    server.close(() => resolve());
  });
}
