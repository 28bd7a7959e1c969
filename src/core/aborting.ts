import { setMaxListeners } from 'node:events';
import { TunnelError } from './errors.js';

export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

export function abortedError(signal: AbortSignal | undefined): TunnelError {
  return new TunnelError('ERR_CLOSED', 'its signal was aborted', { cause: signal?.reason });
}

/** @throws {TunnelError} ERR_CLOSED */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (isAborted(signal)) throw abortedError(signal);
}

/** Calls `handler` when aborted, until the answer is called: a signal may outlive by far what it ends. */
export function onAbort(signal: AbortSignal | undefined, handler: () => void): () => void {
  if (signal === undefined) return () => {};
  expectMany(signal);
  signal.addEventListener('abort', handler, { once: true });
  return () => signal.removeEventListener('abort', handler);
}

/** One signal may end a whole program, and Node would warn of a leak when an eleventh part of it listens. */
export function expectMany(signal: AbortSignal): void {
  setMaxListeners(0, signal);
}

/** What comes of `work`, as long as nobody aborts. @throws {TunnelError} ERR_CLOSED */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let forget = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    forget = onAbort(signal, () => reject(abortedError(signal)));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    forget();
  }
}
