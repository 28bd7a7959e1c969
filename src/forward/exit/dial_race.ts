import type { Socket } from 'node:net';
import type { TimerHandle, Timers } from '../../core/clock.js';

/** Head start of one address before the next is tried beside it. Source: RFC 8305 section 8. */
export const ATTEMPT_DELAY_MS = 250;

/** Starts to connect to one address; `connect` or `error` follows. Throws if the attempt cannot be started. */
export type Attempt = () => Socket;

/** How a race ended: with a connected socket, with the errors of every address, or stopped. */
export type RaceResult =
  | { readonly kind: 'connected'; readonly socket: Socket }
  | { readonly kind: 'failed'; readonly errors: readonly Error[] }
  | { readonly kind: 'stopped' };

/**
 * Takes the first of `all` that connects, each to an address of the same target: the next is tried when one fails, or beside
 * it when one takes long (RFC 8305 section 5). Whatever loses is destroyed.
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
    let next = 0;
    let headStart: TimerHandle | undefined;

    const finish = (result: RaceResult): void => {
      if (headStart !== undefined) timers.clear(headStart);
      signal.removeEventListener('abort', stop);
      for (const socket of attempts) socket.destroy();
      attempts.clear();
      resolve(result);
    };
    const stop = (): void => finish({ kind: 'stopped' });

    const tryNext = (): void => {
      if (headStart !== undefined) timers.clear(headStart);
      headStart = undefined;
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
      // Both listeners stay: they do nothing once the race has an end, and an error that
      // comes before the socket's new owner listens must find somebody.
      socket.on('error', (error) => {
        if (!attempts.delete(socket)) return;
        errors.push(error);
        tryNext();
      });
      socket.once('connect', () => {
        if (attempts.delete(socket)) finish({ kind: 'connected', socket });
      });
      if (next < all.length) headStart = timers.set(tryNext, ATTEMPT_DELAY_MS);
    };

    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener('abort', stop);
    tryNext();
  });
}
