import { tenths } from '../../core/clock.js';
import type { TunnelError } from '../../core/errors.js';
import { RETURN_CODES, type ReturnCode } from '../../core/return_codes.js';
import type { Context } from '../command.js';
import type { CliEvent } from '../output/events.js';
import type { BootstrapNodeHandle, ListenerHandle, TunnelHandle } from '../process/library.js';
import type { Lifetime } from '../process/lifetime.js';

/** Reports the events of a running Tox node. Its fatal error ends `lifetime`. @param hidesTicket leaves it out */
export function reportEvents(
  handle: TunnelHandle | ListenerHandle | BootstrapNodeHandle,
  context: Context,
  lifetime: Lifetime,
  hidesTicket = false,
): void {
  const onError = (error: TunnelError): void => lifetime.fail(error);
  const onWaiting = ({ message }: { readonly message: string }): void =>
    context.reporter.event({ event: 'waiting', message });
  if ('node' in handle) {
    handle.on('error', onError).on('waiting', onWaiting);
    reportTunnel(handle, context, lifetime, hidesTicket);
  } else {
    handle.on('error', onError).on('waiting', onWaiting);
  }
}

function reportTunnel(
  handle: TunnelHandle | ListenerHandle,
  { io, reporter }: Context,
  lifetime: Lifetime,
  hidesTicket: boolean,
): void {
  const { toxId } = handle;
  const onlineSinceMs = new Map<string, number>();
  handle.node.once('online', () => {
    const ticket = 'ticket' in handle && !hidesTicket ? { ticket: handle.ticket } : {};
    reporter.event({ event: 'ready', toxId, ...ticket });
  });
  handle.on('code', ({ code, peer, detail }) => {
    const event = codeEvent(code, peer, detail);
    if (event !== undefined) reporter.event(event);
  });
  handle.on('peer', ({ status, path, code, publicKey, roundTripMs }) => {
    // On close, all peers go offline because of us.
    if (lifetime.signal.aborted) return;
    const since = onlineSinceMs.get(publicKey);
    const nowMs = io.timers.nowMs();
    if (status === 'offline') onlineSinceMs.delete(publicKey);
    else if (since === undefined) onlineSinceMs.set(publicKey, nowMs);
    const online = status === 'offline' && since !== undefined ? { onlineMs: Math.round(nowMs - since) } : {};
    const measured = roundTripMs === undefined ? {} : { roundTripMs: tenths(roundTripMs) };
    reporter.event({ event: 'peer', status, path, code, peer: publicKey, ...measured, ...online });
  });
  handle.on('reverse', (change) => {
    // On close, all ports close because of us.
    if (!lifetime.signal.aborted) reporter.event({ event: 'reverse', ...change });
  });
  handle.on('refused', ({ kind, target: asked, reason, text, peer }) => {
    const target = kind === 'reverse' ? `-R ${asked}` : asked;
    reporter.event({ event: 'refused', target, reason, message: text, peer });
  });
}

/** The event for a return code; undefined for 301 and 302, which `peer` events report with more detail. */
function codeEvent(
  code: ReturnCode,
  peer: string | undefined,
  detail: string | undefined,
): CliEvent | undefined {
  if (code === 301 || code === 302) return undefined;
  const message = detail === undefined ? RETURN_CODES[code] : `${RETURN_CODES[code]}: ${detail}`;
  const named = peer === undefined ? {} : { peer };
  return { event: code < 200 ? 'friend' : 'message', code, message, ...named };
}
