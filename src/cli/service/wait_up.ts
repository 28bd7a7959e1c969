import { TunnelError } from '../../core/errors.js';
import type { ReturnCode } from '../../core/return_codes.js';
import type { ConnectorHandle } from '../api.js';
import type { RunningForwards } from './running_forwards.js';
import type { Waiter } from './waiter.js';

/**
 * Resolves when a connector can be used: its listener is online, and all forwards listen; or when the waiter's signal
 * is aborted.
 *
 * @param waitMs how long that may take; undefined: as long as it does
 * @throws {TunnelError} ERR_PEER_GONE with return code 202, 203 or 204 when the listener did not come in time;
 *   ERR_OPEN_REFUSED when it does not open a port of `-R`
 */
export async function connectorUp(
  connector: ConnectorHandle,
  forwards: RunningForwards,
  waiter: Waiter,
  waitMs: number | undefined,
): Promise<void> {
  // What the last message came to is why nothing came back.
  let failure: ReturnCode = 204;
  const onCode = ({ code }: { readonly code: ReturnCode }): void => {
    if (code === 202 || code === 203) failure = code;
    else if (code === 201) failure = 204;
  };
  const isOnline = (): boolean => connector.peers().some(({ status }) => status === 'online');
  let look = (): void => {};
  const up = new Promise<true>((resolve, reject) => {
    look = () => {
      const { refusal } = forwards;
      if (refusal?.isFinal === true) reject(notOpened(refusal.message));
      else if (isOnline() && forwards.isUp) resolve(true);
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
  if (isOnline())
    throw notOpened(forwards.refusal?.message ?? `it has not said so within ${waitMs / 1000} s`);
  throw new TunnelError('ERR_PEER_GONE', `${WHY[failure] ?? ''} (waited ${waitMs / 1000} s)`, {
    returnCode: failure,
  });
}

const WHY: Partial<Record<ReturnCode, string>> = {
  202: 'the listener is no friend of this node; start again',
  203: 'messages to the listener could not be sent; look at the network with tox-wasm-tunnel doctor',
  204: 'the listener is not online, or does not take this ticket; see whether it runs, wait longer, or look at the network with tox-wasm-tunnel doctor',
};

function notOpened(why: string): TunnelError {
  return new TunnelError('ERR_OPEN_REFUSED', `the listener does not open the port of -R: ${why}`);
}
