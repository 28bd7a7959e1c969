import { randomBytes } from 'node:crypto';
import { totalmem } from 'node:os';
import type { NodeLink } from '../bridge/tox_node.js';
import { ByteBudget } from '../core/byte_budget.js';
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
  /** The memory for bytes that have arrived from peers and that nobody has taken yet. */
  readonly received: ByteBudget;
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
    received: RECEIVED,
  };
}

/** Part of the memory of the machine, or of its container, that all peers together may fill with unread bytes. */
const RECEIVED_SHARE = 1 / 4;
const MAX_RECEIVED_BYTES = 1024 * 1024 * 1024;

/** One for all tunnels of the process. */
const RECEIVED = new ByteBudget(Math.min(MAX_RECEIVED_BYTES, memoryBytes() * RECEIVED_SHARE));

function memoryBytes(): number {
  // 0 or more than there is: no limit is set.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
