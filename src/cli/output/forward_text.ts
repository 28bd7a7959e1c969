import * as v from 'valibot';
import { looksLikePath, printEndpoint } from '../../rules/endpoint.js';
import {
  parseBind,
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseUdpSpec,
  printBind,
} from '../../rules/forward_spec.js';
import { type ForwardKind, placeOf, type RunningForward } from '../service/running_forwards.js';
import type { CliEvent } from './events.js';
import { printable } from './human.js';

/** How each kind is written on the command line. */
export const FORWARD_FLAGS: Readonly<Record<ForwardKind, string>> = {
  local: '-L',
  dynamic: '-D',
  reverse: '-R',
  udp: '--udp-forward',
};

/** A {@link RunningForward} that came over the control socket. */
export const RunningForwardSchema = v.object({
  kind: v.picklist(['local', 'dynamic', 'reverse', 'udp']),
  listen: v.string(),
  target: v.string(),
  status: v.picklist(['open', 'asked', 'refused']),
  message: v.optional(v.string()),
});

/** `-L 8080:localhost:80`: what `forward rm` takes. */
export function printForward(forward: v.InferOutput<typeof RunningForwardSchema>): string {
  const { kind, target } = forward;
  const place = placeOf(forward);
  return printable(`${FORWARD_FLAGS[kind]} ${kind === 'dynamic' ? place : `${place}:${target}`}`);
}

/** {@link printForward}, with what the listener says. */
export function forwardRow(forward: v.InferOutput<typeof RunningForwardSchema>): string {
  const { kind, status, message } = forward;
  if (kind !== 'reverse') return printForward(forward);
  const why = message === undefined ? '' : `: ${printable(message)}`;
  return `${printForward(forward)}  ${status}${why}`;
}

/** What a forward is added as. @param peer public key of the listener */
export function addedEvent(forward: RunningForward, peer: string, note?: string): CliEvent {
  const { kind, listen, target } = forward;
  if (kind === 'reverse') return { event: 'reverse', status: 'asked', listen, target, peer };
  const protocol = kind === 'udp' ? { protocol: kind } : {};
  return { event: 'forward', local: listen, target, ...protocol, ...(note === undefined ? {} : { note }) };
}

const PARSERS = { local: parseLocalSpec, reverse: parseReverseSpec, udp: parseUdpSpec };

/** Which forwards are meant: at that place, and with that target if one was named. */
export interface Which {
  readonly listen: string;
  readonly target?: string;
}

/**
 * Reads what `forward rm` takes: the forward as it was written, or only where it listens.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseWhich(kind: ForwardKind, text: string): Which {
  if (kind === 'dynamic') return { listen: printBind(parseDynamicSpec(text)) };
  const place = placeAlone(text);
  if (place !== undefined) return { listen: place };
  const { bind, target } = PARSERS[kind](text);
  return { listen: printBind(bind), target: printEndpoint(target) };
}

function placeAlone(text: string): string | undefined {
  if (looksLikePath(text) && !text.includes(':')) return text;
  try {
    return printBind(parseBind(text, ''));
  } catch {
    return undefined;
  }
}
