import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join, resolve } from 'node:path';
import { TunnelError } from '../core/errors.js';
import { listenAt, openSocketFile, socketFileState } from '../core/socket_file.js';

/** Which process of a state folder: its listener, or one of its connectors by the number of its process. */
export type Door = 'listener' | number;

/** Where Windows shows the named pipes that there are. */
const PIPES = '\\\\.\\pipe\\';

const CONNECTOR_PREFIX = 'connector.sock.';

/** Name of the door's socket in the state folder. */
export function socketName(door: Door): string {
  return door === 'listener' ? 'listener.sock' : `${CONNECTOR_PREFIX}${door}`;
}

/** The named pipe of a door on Windows, which knows no sockets in folders. */
export function pipeName(folder: string, door: Door): string {
  return `${PIPES}${pipePrefix(folder)}${socketName(door)}`;
}

function pipePrefix(folder: string): string {
  const digest = createHash('sha256').update(resolve(folder).toLowerCase()).digest('hex').slice(0, 32);
  return `tox-wasm-tunnel-${digest}-`;
}

/** The doors that a state folder has, the listener's first; whether somebody is behind them is another question. */
export async function doorsIn(folder: string): Promise<Door[]> {
  // Without the folder there is nobody.
  if (process.platform !== 'win32') return doorsOf(await readdir(folder).catch(() => []));
  return pipeDoors(folder, await readdir(PIPES).catch(() => []));
}

/** The doors of a state folder among the names of all named pipes. */
export function pipeDoors(folder: string, names: readonly string[]): Door[] {
  const prefix = pipePrefix(folder);
  return doorsOf(names.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])));
}

/** The doors among names of files, the listener's first. */
function doorsOf(names: readonly string[]): Door[] {
  const pids = names.flatMap((name) => {
    const digits = name.startsWith(CONNECTOR_PREFIX) ? name.slice(CONNECTOR_PREFIX.length) : '';
    return /^[1-9]\d{0,9}$/.test(digits) ? [Number(digits)] : [];
  });
  pids.sort((a, b) => a - b);
  return names.includes(socketName('listener')) ? ['listener', ...pids] : pids;
}

/**
 * The doors of a state folder that have somebody behind them, the listener's first. Sockets that dead connectors left
 * are taken away on the way: no other process takes them over, as the next listener does its own.
 */
export async function liveDoors(folder: string): Promise<Door[]> {
  const doors = await doorsIn(folder);
  // A named pipe goes with its process.
  if (process.platform === 'win32') return doors;
  const live: Door[] = [];
  for (const door of doors) {
    const name = socketName(door);
    // One that goes away meanwhile, or that we may not look at, is nobody's.
    const state = await socketFileState(folder, name).catch(() => 'free' as const);
    if (state === 'stale' && door !== 'listener')
      await rm(join(folder, name), { force: true }).catch(() => {});
    if (state === 'answered') live.push(door);
  }
  return live;
}

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
