import type { Socket } from 'node:net';
import { Timer, type Timers } from '../../core/clock.js';

/**
 * How long one address is tried alone before the next one is tried in parallel. Source: RFC 8305, section 8.
 */
export const ATTEMPT_DELAY_MS = 250;

/**
 * Starts connecting to one address. The socket emits `connect` or `error`. Throws if the attempt cannot
 * start.
 */
export type Attempt = () => Socket;

/** `failed` has one error for each address. */
export type RaceResult =
  | { readonly kind: 'connected'; readonly socket: Socket }
  | { readonly kind: 'failed'; readonly errors: readonly Error[] }
  | { readonly kind: 'stopped' };

/**
 * Connects to one of several addresses of the same target, and takes the first that connects (RFC 8305,
 * section 5). Tries the next address when one fails, or in parallel when it is slow. Destroys the sockets
 * that lose.
 *
 * @param signal stops the race
 */
export function raceToConnect(
  all: readonly Attempt[],
  timers: Timers,
  signal: AbortSignal,
): Promise<RaceResult> {
  return new Promise((resolve) => {
    const attempts = new Set<Socket>();
    const errors: Error[] = [];
    const headStart = new Timer(timers);
    let next = 0;

    const finish = (result: RaceResult): void => {
      headStart.clear();
      signal.removeEventListener('abort', stop);
      for (const socket of attempts) socket.destroy();
      attempts.clear();
      resolve(result);
    };
    const stop = (): void => finish({ kind: 'stopped' });

    const tryNext = (): void => {
      const attempt = all[next++];
      if (attempt === undefined) {
        if (attempts.size === 0) finish({ kind: 'failed', errors });
        return;
      }
      let socket: Socket;
      try {
        socket = attempt();
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        errors.push(error);
        tryNext();
        return;
      }
      attempts.add(socket);
      // Both handlers stay on the socket. They do nothing after the race, but they catch an error that comes
      // before the socket's new owner listens for it.
      socket.on('error', (error) => {
        if (!attempts.delete(socket)) return;
        errors.push(error);
        tryNext();
      });
      socket.once('connect', () => {
        if (attempts.delete(socket)) finish({ kind: 'connected', socket });
      });
      if (next < all.length) headStart.set(ATTEMPT_DELAY_MS, tryNext);
    };

    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener('abort', stop);
    tryNext();
  });
}
