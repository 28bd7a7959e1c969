import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LOOPBACK_HOST } from '../../test/support/loopback.js';

/** Where the clients dial: a port of the loopback, or a path. */
export type Door = number | string;

/** How long a client waits for its echo. */
const ECHO_MS = 20_000;
/** How long new connections may fail after a shortage. */
const RECOVERY_MS = 30_000;

export interface Crowd {
  readonly sockets: Socket[];
  readonly served: number;
  readonly refused: number;
  /** Neither served nor refused in {@link ECHO_MS}. */
  readonly silent: number;
}

export function dialDoor(door: Door): Socket {
  const where = typeof door === 'string' ? { path: door } : { host: LOOPBACK_HOST, port: door };
  return connect({ ...where, allowHalfOpen: true }).on('error', () => {});
}

/** Dials this many clients at once, which stay open; resolves when each knows its fate. */
export async function crowd(door: Door, count: number): Promise<Crowd> {
  const sockets = Array.from({ length: count }, () => dialDoor(door));
  const fates = await Promise.all(sockets.map(echoed));
  const those = (fate: string): number => fates.filter((each) => each === fate).length;
  return { sockets, served: those('served'), refused: those('refused'), silent: those('silent') };
}

/** Dials until a client is served. @returns seconds, or NaN when none was */
export async function recovery(door: Door): Promise<number> {
  const begun = performance.now();
  while (performance.now() - begun < RECOVERY_MS) {
    const client = dialDoor(door);
    const fate = await echoed(client);
    client.destroy();
    if (fate === 'served') return (performance.now() - begun) / 1000;
    await pause(100);
  }
  return Number.NaN;
}

async function echoed(socket: Socket): Promise<'served' | 'refused' | 'silent'> {
  socket.write('e');
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve('silent'), ECHO_MS);
    const settle = (fate: 'served' | 'refused') => () => {
      clearTimeout(timer);
      resolve(fate);
    };
    socket.once('data', settle('served'));
    socket.once('end', settle('refused'));
    socket.once('close', settle('refused'));
  });
}
