import { setMaxListeners } from 'node:events';
import { Timer, type Timers } from './clock.js';
import { TunnelError } from './errors.js';

export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** @param missing what had not happened by then */
export function abortedError(signal: AbortSignal | undefined, missing?: string): TunnelError {
  const before = missing === undefined ? '' : ` before ${missing}`;
  return new TunnelError('ERR_ABORTED', `its signal was aborted${before}`, { cause: signal?.reason });
}

/** @throws {TunnelError} ERR_ABORTED */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (isAborted(signal)) throw abortedError(signal);
}

/** Calls `handler` on abort. @returns a function that stops listening, because a signal may outlive what it cancels */
export function onAbort(signal: AbortSignal | undefined, handler: () => void): () => void {
  if (signal === undefined) return () => {};
  expectMany(signal);
  signal.addEventListener('abort', handler, { once: true });
  return () => signal.removeEventListener('abort', handler);
}

/** Lets one signal cancel many things: Node warns of a leak at the eleventh listener otherwise. */
export function expectMany(signal: AbortSignal): void {
  setMaxListeners(0, signal);
}

/** What ends the wait for a promise before the promise settles. */
export interface Deadline {
  readonly signal?: AbortSignal | undefined;
  readonly timeout?: { readonly ms: number; readonly timers: Timers; readonly error: () => Error };
}

/**
 * Waits for `work` until the signal aborts or the time is up. `work` itself continues, but its result is then ignored.
 *
 * @throws {TunnelError} ERR_ABORTED when aborted; `timeout.error()` when the time is up
 */
export async function withDeadline<T>(work: Promise<T>, { signal, timeout }: Deadline): Promise<T> {
  const timer = timeout && new Timer(timeout.timers);
  let stopListening = (): void => {};
  const ended = new Promise<never>((_resolve, reject) => {
    if (isAborted(signal)) reject(abortedError(signal));
    stopListening = onAbort(signal, () => reject(abortedError(signal)));
    if (timeout !== undefined) timer?.set(timeout.ms, () => reject(timeout.error()));
  });
  try {
    return await Promise.race([ended, work]);
  } finally {
    stopListening();
    timer?.clear();
  }
}
