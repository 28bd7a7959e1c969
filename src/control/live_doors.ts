import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { socketFileState } from '../core/socket_file.js';
import { type Door, doorsIn, socketName } from './place.js';

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
