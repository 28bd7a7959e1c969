import { withDeadline } from '../../core/aborting.js';
import type { Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { ReturnCode } from '../../core/return_codes.js';
import type { ConnectorHandle } from '../process/library.js';
import type { RunningForwards } from './running_forwards.js';

class TimeIsUp extends Error {}

/** Waits for promises, but never beyond the end of a command. */
export class Waiter {
  readonly #timers: Timers;
  readonly #signal: AbortSignal;

  /** @param signal aborted at the end of the command */
  constructor(timers: Timers, signal: AbortSignal) {
    this.#timers = timers;
    this.#signal = signal;
  }

  /** Returns undefined when the time is up or the command ends first. @param ms undefined: no limit */
  async within<T>(ms: number | undefined, work: Promise<T>): Promise<T | undefined> {
    const signal = this.#signal;
    const timeout =
      ms === undefined ? {} : { timeout: { ms, timers: this.#timers, error: () => new TimeIsUp() } };
    try {
      return await withDeadline(work, { signal, ...timeout });
    } catch (error) {
      if (signal.aborted || error instanceof TimeIsUp) return undefined;
      throw error;
    }
  }

  /** True once the command ends. */
  get isOver(): boolean {
    return this.#signal.aborted;
  }

  /** Waits for the time, or for the end of the command. */
  async pause(ms: number): Promise<void> {
    await this.within(ms, new Promise<never>(() => {}));
  }
}

const isOnline = (connector: ConnectorHandle): boolean =>
  connector.peers().some(({ status }) => status === 'online');

/** Resolves when a connector's listener is online. */
export function peerOnline(connector: ConnectorHandle): Promise<true> {
  return new Promise((resolve) => {
    if (isOnline(connector)) resolve(true);
    connector.on('peer', ({ status }) => {
      if (status === 'online') resolve(true);
    });
  });
}

/**
 * Resolves when the listener is online and all forwards listen, or when the command ends.
 *
 * @param waitMs the time limit; undefined: none
 * @throws {TunnelError} ERR_PEER_GONE with return code 202, 203 or 204 when the listener is not online in
 *   time; ERR_OPEN_REFUSED when the listener does not open a port of `-R`
 */
export async function connectorUp(
  connector: ConnectorHandle,
  forwards: RunningForwards,
  waiter: Waiter,
  waitMs: number | undefined,
): Promise<void> {
  // The outcome of the last message explains a missing answer.
  let failure: ReturnCode = 204;
  const onCode = ({ code }: { readonly code: ReturnCode }): void => {
    if (code === 202 || code === 203) failure = code;
    else if (code === 201) failure = 204;
  };
  let look = (): void => {};
  const up = new Promise<true>((resolve, reject) => {
    look = () => {
      const { refusal } = forwards;
      if (refusal?.isFinal === true) reject(notOpened(refusal.message));
      else if (isOnline(connector) && forwards.isUp) resolve(true);
    };
    look();
  });
  connector.on('code', onCode).on('peer', look);
  forwards.on('change', look);
  try {
    const isUp = await waiter.within(waitMs, up);
    if (isUp === true || waiter.isOver || waitMs === undefined) return;
  } finally {
    connector.off('code', onCode).off('peer', look);
    forwards.off('change', look);
  }
  if (isOnline(connector))
    throw notOpened(forwards.refusal?.message ?? `no answer within ${waitMs / 1000} s`);
  throw new TunnelError('ERR_PEER_GONE', `${WHY[failure] ?? ''} (waited ${waitMs / 1000} s)`, {
    returnCode: failure,
  });
}

const WHY: Partial<Record<ReturnCode, string>> = {
  202: 'the listener is not a friend of this Tox node; start again',
  203: 'messages to the listener could not be sent; check the network with tox-wasm-tunnel doctor',
  204: 'the listener is offline, or rejects this ticket; check that it runs, wait longer, or check the network with tox-wasm-tunnel doctor',
};

function notOpened(why: string): TunnelError {
  return new TunnelError('ERR_OPEN_REFUSED', `the listener does not open the port of -R: ${why}`);
}
