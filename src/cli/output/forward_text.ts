import * as v from 'valibot';
import { looksLikePath, printEndpoint } from '../../rules/endpoint.js';
import {
  DEFAULT_BIND_HOST,
  parseBind,
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseUdpSpec,
  printBind,
} from '../../rules/forward_spec.js';
import type { CliEvent, ForwardKind } from './events.js';
import { printable } from './human.js';

/** The option that adds each kind of forward. */
export const FORWARD_FLAGS: Readonly<Record<ForwardKind, string>> = {
  local: '-L',
  dynamic: '-D',
  reverse: '-R',
  udp: '--udp-forward',
};

/** A forward of a running connector, as the control socket describes it. */
export const RunningForwardSchema = v.object({
  kind: v.picklist(['local', 'dynamic', 'reverse', 'udp']),
  listen: v.string(),
  target: v.string(),
  status: v.picklist(['open', 'asked', 'refused']),
  message: v.optional(v.string()),
});

/** A forward of a running connector. */
export interface RunningForward {
  readonly kind: ForwardKind;
  /** `host:port` or path where it listens. A reverse forward listens at the listener. */
  readonly listen: string;
  /** `host:port` or path that is dialled; `*` for a proxy. */
  readonly target: string;
  /** asked: the listener has not answered yet. refused: the listener does not open the port. */
  readonly status: 'open' | 'asked' | 'refused';
  /** Why the listener refused. */
  readonly message?: string | undefined;
}

/** Formats where a forward listens, in the syntax of `-L`, `-D` and `-R`: on the loopback, only the port. */
export function placeOf({ listen }: Pick<RunningForward, 'listen'>): string {
  const loopback = `${DEFAULT_BIND_HOST}:`;
  return listen.startsWith(loopback) ? listen.slice(loopback.length) : listen;
}

/** `-L 8080:localhost:80`, which `forward remove` accepts. */
export function printForward(forward: RunningForward): string {
  const { kind, target } = forward;
  const place = placeOf(forward);
  return printable(`${FORWARD_FLAGS[kind]} ${kind === 'dynamic' ? place : `${place}:${target}`}`);
}

/** {@link printForward}, and the listener's answer for a reverse forward. */
export function forwardRow(forward: RunningForward): string {
  const { kind, status, message } = forward;
  if (kind !== 'reverse') return printForward(forward);
  const why = message === undefined ? '' : `: ${printable(message)}`;
  return `${printForward(forward)}  ${status}${why}`;
}

/** The event for a forward that was added. @param peer public key of the listener */
export function addedEvent(forward: RunningForward, peer: string, note?: string): CliEvent {
  const { kind, listen, target } = forward;
  if (kind === 'reverse') return { event: 'reverse', status: 'asked', listen, target, peer };
  const protocol = kind === 'udp' ? { protocol: kind } : {};
  return { event: 'forward', local: listen, target, ...protocol, ...(note === undefined ? {} : { note }) };
}

const PARSERS = { local: parseLocalSpec, reverse: parseReverseSpec, udp: parseUdpSpec };

/** Selects forwards by where they listen and, if given, by their target. */
export interface ForwardFilter {
  readonly listen: string;
  readonly target?: string;
}

/**
 * Parses an argument of `forward remove`: a whole forward, or only where it listens.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseForwardFilter(kind: ForwardKind, text: string): ForwardFilter {
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
