import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';

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
