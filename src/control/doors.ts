import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join, resolve } from 'node:path';
import { TunnelError } from '../core/errors.js';
import { listenAt, openSocketFile, socketFileState } from '../core/socket_file.js';

/** Which process of a state folder: its listener, or one of its connectors by process id. */
export type Door = 'listener' | number;

/** Where Windows lists all named pipes. */
const PIPES = '\\\\.\\pipe\\';

const CONNECTOR_PREFIX = 'connector.sock.';

/** Name of the door's socket file in the state folder. */
export function socketName(door: Door): string {
  return door === 'listener' ? 'listener.sock' : `${CONNECTOR_PREFIX}${door}`;
}

/** The named pipe of a door on Windows, where Node has no sockets in folders. */
export function pipeName(folder: string, door: Door): string {
  return `${PIPES}${pipePrefix(folder)}${socketName(door)}`;
}

function pipePrefix(folder: string): string {
  const digest = createHash('sha256').update(resolve(folder).toLowerCase()).digest('hex').slice(0, 32);
  return `tox-wasm-tunnel-${digest}-`;
}

/** Lists the doors of a state folder, the listener's first, whether or not a process is behind them. */
export async function doorsIn(folder: string): Promise<Door[]> {
  // A missing folder has no doors.
  if (process.platform !== 'win32') return doorsOf(await readdir(folder).catch(() => []));
  return pipeDoors(folder, await readdir(PIPES).catch(() => []));
}

/** Picks the doors of a state folder from the names of all named pipes. */
export function pipeDoors(folder: string, names: readonly string[]): Door[] {
  const prefix = pipePrefix(folder);
  return doorsOf(names.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])));
}

/** Picks the doors from file names, the listener's first. */
function doorsOf(names: readonly string[]): Door[] {
  const pids = names.flatMap((name) => {
    const digits = name.startsWith(CONNECTOR_PREFIX) ? name.slice(CONNECTOR_PREFIX.length) : '';
    return /^[1-9]\d{0,9}$/.test(digits) ? [Number(digits)] : [];
  });
  pids.sort((a, b) => a - b);
  return names.includes(socketName('listener')) ? ['listener', ...pids] : pids;
}

/**
 * Lists the doors of a state folder that a process answers at, the listener's first. Deletes the sockets of dead
 * connectors, which no later process takes over. The next listener replaces a dead listener's socket itself.
 */
export async function liveDoors(folder: string): Promise<Door[]> {
  const doors = await doorsIn(folder);
  // A named pipe ends with its process.
  if (process.platform === 'win32') return doors;
  const live: Door[] = [];
  for (const door of doors) {
    const name = socketName(door);
    // A socket that disappears during the check, or that we may not inspect, counts as free.
    const state = await socketFileState(folder, name).catch(() => 'free' as const);
    if (state === 'stale' && door !== 'listener')
      await rm(join(folder, name), { force: true }).catch(() => {});
    if (state === 'answered') live.push(door);
  }
  return live;
}

/**
 * Makes a server listen at a door of the folder. From the first moment only the folder's owner can connect. Replaces
 * the socket of a dead process.
 *
 * No other process may do this for the same door at the same time: for the listener's door the caller holds the
 * role's lock, and a connector's door has its own process id in its name.
 *
 * @returns a function that deletes the socket and closes the server
 * @throws {TunnelError} ERR_STATE_BUSY when a process answers there, ERR_STATE_IO when something other than a
 *   socket is in its place; or the system's error
 */
export async function openDoorway(folder: string, door: Door, server: Server): Promise<() => Promise<void>> {
  if (process.platform === 'win32') {
    await listenAt(server, pipeName(folder, door));
    return () => closed(server);
  }
  // This deletes what dead connectors left, because nobody else does.
  if (door !== 'listener') await liveDoors(folder);
  const name = socketName(door);
  const place = join(folder, name);
  await expectFree(folder, name);
  // This also deletes the draft of a killed process.
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

/**
 * A socket in our own folder that we may not connect to is not ours. It counts as a leftover like any other.
 */
async function expectFree(folder: string, name: string): Promise<void> {
  const place = join(folder, name);
  const state = await socketFileState(folder, name);
  if (state === 'no-socket')
    throw new TunnelError(
      'ERR_STATE_IO',
      `${place}: this is not a socket, so it was left unchanged; move it away`,
    );
  if (state === 'answered')
    throw new TunnelError('ERR_STATE_BUSY', `${place}: another process answers there; stop it first`);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The callback gets an error when the server was not listening; then it is closed already.
    server.close(() => resolve());
  });
}
