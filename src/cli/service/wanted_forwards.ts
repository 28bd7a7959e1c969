import { TunnelError } from '../../core/errors.js';
import { printEndpoint, type SocketPath } from '../../rules/endpoint.js';
import {
  type Bind,
  type LocalSpec,
  printBind,
  type ReverseSpec,
  type UdpSpec,
} from '../../rules/forward_spec.js';
import type { ForwardKind } from '../output/events.js';
import type { ProxyOptions } from '../process/library.js';
import type { RunningForwards } from './running_forwards.js';

/** The forwards of a call, parsed. */
export interface ForwardSpecs {
  readonly locals: readonly LocalSpec[];
  readonly udps: readonly UdpSpec[];
  readonly proxies: readonly ProxyOptions[];
  readonly reverses: readonly ReverseSpec[];
}

/** A forward, and how it is made. */
export interface WantedForward {
  readonly kind: ForwardKind;
  readonly bind: Bind | SocketPath;
  /** As an option. */
  readonly shown: string;
  add(forwards: RunningForwards): unknown;
}

/** The forwards by all that they consist of, which may be secret: a proxy has a password. */
export function wantedForwards({
  locals,
  udps,
  proxies,
  reverses,
}: ForwardSpecs): Map<string, WantedForward> {
  const all: (readonly [spec: object, WantedForward])[] = [
    ...locals.map((spec) => {
      const shown = `-L ${printBind(spec.bind)}:${printEndpoint(spec.target)}`;
      const forward = { kind: 'local', bind: spec.bind, shown } as const;
      return [spec, { ...forward, add: (to: RunningForwards) => to.addLocal(spec) }] as const;
    }),
    ...udps.map((spec) => {
      const shown = `--udp-forward ${printBind(spec.bind)}:${printEndpoint(spec.target)}`;
      const forward = { kind: 'udp', bind: spec.bind, shown } as const;
      return [spec, { ...forward, add: (to: RunningForwards) => to.addUdp(spec) }] as const;
    }),
    ...proxies.map((options) => {
      const forward = {
        kind: 'dynamic',
        bind: options.bind,
        shown: `-D ${printBind(options.bind)}`,
      } as const;
      return [options, { ...forward, add: (to: RunningForwards) => to.addDynamic(options) }] as const;
    }),
    ...reverses.map((spec) => {
      const shown = `-R ${printBind(spec.bind)}:${printEndpoint(spec.target)}`;
      const forward = { kind: 'reverse', bind: spec.bind, shown } as const;
      return [spec, { ...forward, add: async (to: RunningForwards) => to.addReverse(spec) }] as const;
    }),
  ];
  return new Map(all.map(([spec, forward]) => [`${forward.kind} ${JSON.stringify(spec)}`, forward]));
}

/**
 * Removes the forwards that are no longer wanted, and adds the new ones. One that cannot be added is deleted from
 * `wanted`, so that the next change tries again.
 *
 * @returns what was done, a line for each forward
 */
export async function changeForwards(
  forwards: RunningForwards,
  now: ReadonlyMap<string, WantedForward>,
  wanted: Map<string, WantedForward>,
): Promise<string[]> {
  const changes: string[] = [];
  for (const [key, { kind, bind, shown }] of now) {
    if (wanted.has(key)) continue;
    forwards.remove(kind, printBind(bind));
    changes.push(`removed ${shown}`);
  }
  for (const [key, { add, shown }] of wanted) {
    if (now.has(key)) continue;
    try {
      await add(forwards);
      changes.push(`added ${shown}`);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      changes.push(`cannot add ${shown}: ${error.message}`);
      wanted.delete(key);
    }
  }
  return changes;
}
