import { randomBytes } from 'node:crypto';
import type { NodeLink } from '../bridge/tox_node.js';
import { systemTimers, type Timers } from '../core/clock.js';
import { type DescriptorBudget, processDescriptors } from '../core/descriptors.js';
import type { Connect, CreateServer } from '../forward/tcp_socket.js';

/** What tunnels and nodes use of the machine that they run on. Simulations provide their own. */
export interface Machine {
  readonly timers: Timers;
  /** The time of day: milliseconds since 1970. */
  wallMs(): number;
  randomBytes(count: number): Uint8Array;
  readonly descriptors: DescriptorBudget;
  /** Makes the servers of forwards. Default: `createServer` of `node:net`. */
  readonly createServer?: CreateServer;
  /** Connects to targets. Default: `connect` of `node:net`. */
  readonly connect?: Connect;
  /** Starts the worker of a node. Default: a worker thread. */
  readonly spawn?: () => NodeLink;
}

/** The machine of this process. */
export function thisMachine(): Machine {
  return {
    timers: systemTimers,
    wallMs: () => Date.now(),
    randomBytes: (count) => Uint8Array.from(randomBytes(count)),
    descriptors: processDescriptors(),
  };
}
