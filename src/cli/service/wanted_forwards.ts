import { TunnelError } from '../../core/errors.js';
import { printEndpoint } from '../../rules/endpoint.js';
import {
  type LocalSpec,
  printBind,
  printForwardSpec,
  type ReverseSpec,
  type UdpSpec,
} from '../../rules/forward_spec.js';
import type { ForwardKind } from '../output/events.js';
import { FORWARD_FLAGS } from '../output/forward_text.js';
import type { ProxyOptions } from '../process/library.js';
import type { RunningForwards } from './running_forwards.js';

/** A local forward, the option that named its port, and whether another local port will do. */
export interface Wish {
  readonly spec: LocalSpec;
  readonly option: '-L' | '-p';
  readonly anyPort: boolean;
}

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
  /** The requested place, in the form of {@link printBind}. */
  readonly listen: string;
  /** Undefined for a proxy. Several forwards at port 0 differ only in this. */
  readonly target?: string;
  /** As an option. */
  readonly shown: string;
  add(forwards: RunningForwards): unknown;
}

/** Returns the forwards by everything that defines them, which may be secret: a proxy has a password. */
export function wantedForwards({
  locals,
  udps,
  proxies,
  reverses,
}: ForwardSpecs): Map<string, WantedForward> {
  const all: (readonly [spec: object, WantedForward])[] = [
    ...locals.map((spec) => [spec, forwardOf('local', spec, (to) => to.addLocal(spec))] as const),
    ...udps.map((spec) => [spec, forwardOf('udp', spec, (to) => to.addUdp(spec))] as const),
    ...proxies.map((options) => {
      const listen = printBind(options.bind);
      const add = (to: RunningForwards) => to.addDynamic(options);
      return [options, { kind: 'dynamic', listen, shown: `-D ${listen}`, add }] as const;
    }),
    ...reverses.map((spec) => [spec, forwardOf('reverse', spec, (to) => to.addReverse(spec))] as const),
  ];
  return new Map(all.map(([spec, forward]) => [`${forward.kind} ${JSON.stringify(spec)}`, forward]));
}

function forwardOf(
  kind: Exclude<ForwardKind, 'dynamic'>,
  spec: LocalSpec,
  add: WantedForward['add'],
): WantedForward {
  return {
    kind,
    listen: printBind(spec.bind),
    target: printEndpoint(spec.target),
    shown: `${FORWARD_FLAGS[kind]} ${printForwardSpec(spec)}`,
    add,
  };
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
  for (const [key, { kind, listen, target, shown }] of now) {
    if (wanted.has(key)) continue;
    forwards.remove(kind, listen, target);
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
