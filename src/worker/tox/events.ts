import type { Path } from '../../core/tox_network.js';
import { TOX_CONSTANTS } from './constants.js';
import type { ToxEvents } from './tox.js';

/** Handlers by the id of the instance they belong to. */
export type EventTable = Map<number, ToxEvents>;

/** Handlers that do nothing but log: those of a node without friends. */
export function logOnly(log: ToxEvents['log']): ToxEvents {
  const nothing = () => {};
  return {
    log,
    selfPath: nothing,
    friendRequest: nothing,
    friendPath: nothing,
    losslessPacket: nothing,
    lossyPacket: nothing,
  };
}

/** Tox_Connection in our words. */
export function pathOf(connection: number): Path {
  if (connection === TOX_CONSTANTS.TOX_CONNECTION_UDP) return 'udp';
  return connection === TOX_CONSTANTS.TOX_CONNECTION_TCP ? 'relay' : 'none';
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Tox_Log_Level in our words. */
export function levelOf(level: number): (typeof LEVELS)[number] {
  return LEVELS[level] ?? 'error';
}
