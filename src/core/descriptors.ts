import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Timers } from './clock.js';
import { ExhaustionLog, UsedUpError } from './exhaustion.js';
import { parseAddress } from './ip.js';
import type { Logger } from './logger.js';
import { isLoopback } from './special_addresses.js';

/** Something that holds one descriptor until it emits `close`. */
export interface Holder {
  once(event: 'close', listener: () => void): unknown;
}

/** Ratio of held to free descriptors: 1 lets a lone party hold half of the budget, 3 lets it hold three quarters. */
type RatioToFree = number;

export interface ShareOptions {
  /** Limit of this share. Default: the whole budget. */
  readonly ratioToFree?: RatioToFree;
  /**
   * Limits of one address (IPv6: one /64) in this share; the lower one applies. Loopback is exempt, because its
   * connections come from this machine's own users or their proxy. Default: no limit.
   */
  readonly perAddress?: { readonly ratioToFree: RatioToFree; readonly most: number };
}

/** Connections that every address may have while descriptors are free. */
const LEAST_PER_ADDRESS = 8;

/**
 * The file descriptors that connections may use. Each connection takes one when it is created and gives it back when
 * it closes. When none is left, connections are refused, so that the process itself never runs out.
 */
export class DescriptorBudget {
  /** Files that the process may have open; Infinity when {@link most} does not depend on that. */
  readonly limit: number;
  readonly most: number;
  readonly #perNode: number;
  #used = 0;
  #nodes = 0;

  /** @param perNode descriptors of each Tox node after the first one, for which {@link most} leaves room */
  constructor(most: number, limit: number, perNode = 0) {
    this.most = most;
    this.limit = limit;
    this.#perNode = perNode;
  }

  get free(): number {
    const nodes = Math.max(0, this.#nodes - 1) * this.#perNode;
    return Math.max(0, this.most - this.#used - nodes);
  }

  /**
   * Counts a Tox node of this process. The second and all later ones take descriptors away from connections.
   *
   * @returns a function that removes the node; a second call does nothing
   */
  addNode(): () => void {
    let count = 1;
    this.#nodes += count;
    return () => {
      this.#nodes -= count;
      count = 0;
    };
  }

  /** Takes `count` at once. @returns a function that gives them back; a second call does nothing */
  take(count: number): () => void {
    let held = count;
    this.#used += held;
    return () => {
      this.#used -= held;
      held = 0;
    };
  }
}

let ofProcess: DescriptorBudget | undefined;

/** The budget that all tunnels and Tox nodes of this process share. */
export function processDescriptors(): DescriptorBudget {
  if (ofProcess === undefined) {
    const { connections, limit, node } = filePlan(fileLimit());
    ofProcess = new DescriptorBudget(connections, limit, node);
  }
  return ofProcess;
}

/** A budget, and the log that tells the user when it is used up. */
export class Descriptors {
  readonly #budget: DescriptorBudget;
  readonly #log: ExhaustionLog;

  constructor(budget: DescriptorBudget, logger: Logger, timers: Timers) {
    this.#budget = budget;
    this.#log = new ExhaustionLog(logger, timers, budget);
  }

  share(options: ShareOptions = {}): DescriptorShare {
    return new DescriptorShare(this.#budget, this.#log, options);
  }

  /** Logs the counts waiting for the end of their interval. Call it when the owner closes. */
  flush(): void {
    this.#log.flush();
  }
}

/** The share of a budget that one party may hold: one peer, the forwards of a connector, or a relay. */
export class DescriptorShare {
  readonly #budget: DescriptorBudget;
  readonly #log: ExhaustionLog | undefined;
  readonly #options: ShareOptions;
  readonly #byAddress = new Map<string, number>();
  #held = 0;

  /** @param log default: none */
  constructor(budget: DescriptorBudget, log?: ExhaustionLog, options: ShareOptions = {}) {
    this.#budget = budget;
    this.#log = log;
    this.#options = options;
  }

  /** Creates something that holds a descriptor. @throws an Error with the code EMFILE if this share is used up */
  open<Made extends Holder>(make: () => Made): Made {
    if (!this.#hasRoom()) throw new UsedUpError();
    const made = make();
    this.#count(made);
    return made;
  }

  /** Like {@link open}, for asynchronous creation. Rejects with the same error. */
  async openSoon<Made extends Holder>(make: () => Promise<Made>): Promise<Made> {
    if (!this.#hasRoom()) throw new UsedUpError();
    const giveBack = this.#take();
    try {
      const made = await make();
      made.once('close', giveBack);
      return made;
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Counts an accepted connection. @returns false if the share is used up, so the caller must close the connection */
  accept(socket: Pick<Socket, 'remoteAddress'> & Holder): boolean {
    const origin = originOf(socket.remoteAddress);
    if (!this.#hasRoom()) {
      this.note(new UsedUpError());
      return false;
    }
    if (origin !== undefined && !this.#hasRoomFor(origin)) {
      this.#log?.noteAddress(socket.remoteAddress ?? '', this.#heldBy(origin));
      return false;
    }
    this.#count(socket);
    if (origin !== undefined) {
      this.#byAddress.set(origin, this.#heldBy(origin) + 1);
      socket.once('close', () => this.#forget(origin));
    }
    return true;
  }

  /** Logs a failure caused by exhaustion. @returns false for any other failure, which it does not log */
  note(error: unknown): boolean {
    return this.#log?.note(error) ?? false;
  }

  #hasRoom(): boolean {
    const { free } = this.#budget;
    return free >= 1 && this.#held < free * (this.#options.ratioToFree ?? Number.POSITIVE_INFINITY);
  }

  #hasRoomFor(origin: string): boolean {
    const { perAddress } = this.#options;
    if (perAddress === undefined) return true;
    const fair = Math.max(this.#budget.free * perAddress.ratioToFree, LEAST_PER_ADDRESS);
    return this.#heldBy(origin) < Math.min(fair, perAddress.most);
  }

  #heldBy(origin: string): number {
    return this.#byAddress.get(origin) ?? 0;
  }

  #forget(origin: string): void {
    const left = this.#heldBy(origin) - 1;
    if (left > 0) this.#byAddress.set(origin, left);
    else this.#byAddress.delete(origin);
  }

  #count(holder: Holder): void {
    holder.once('close', this.#take());
  }

  #take(): () => void {
    const giveBack = this.#budget.take(1);
    this.#held++;
    return () => {
      this.#held--;
      giveBack();
    };
  }
}

/** An unlimited share that logs nothing. */
export function unboundedShare(): DescriptorShare {
  return new DescriptorShare(new DescriptorBudget(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY));
}

/** The origin of a connection: an IPv4 address or an IPv6 /64. Undefined for loopback and for sockets without an address. */
function originOf(text: string | undefined): string | undefined {
  const address = parseAddress(text?.split('%', 1)[0] ?? '');
  if (address === undefined || isLoopback(address)) return undefined;
  return address.family === 4 ? address.text : address.bytes.subarray(0, 8).join('.');
}

/** How a process divides the files that it may have open. */
export interface FilePlan {
  /** Files that this process may have open; Infinity when the system sets no limit. */
  readonly limit: number;
  /** Descriptors for connections: targets, accepted connections, UDP clients. */
  readonly connections: number;
  /** Connections of one Tox node to TCP relays. {@link node} includes them. */
  readonly relays: number;
  /** Descriptors of one Tox node: its threads, its sockets and its relays. The reserve has room for one node. */
  readonly node: number;
}

/**
 * Files reserved for our own work. One Tox node's threads and sockets need about 30, the control socket and metrics up
 * to 24, relays a quarter. The rest is for state files and name lookups.
 */
const LEAST_RESERVE = 96;
const MOST_RESERVE = 512;
const RELAYS_FRACTION = 1 / 4;
/** Files of a Tox node without its relays. */
const NODE_FILES = 32;

/** Divides the files of the process. @param limit from {@link fileLimit} */
export function filePlan(limit: number): FilePlan {
  const wanted = Math.min(Math.max(limit / 4, LEAST_RESERVE), MOST_RESERVE);
  const reserve = Math.min(wanted, limit / 2);
  const relays = Math.floor(reserve * RELAYS_FRACTION);
  return { limit, connections: Math.floor(limit - reserve), relays, node: NODE_FILES + relays };
}

/**
 * Files that this process may have open at once. Node.js raises the soft limit to the hard limit at startup; this is
 * the raised limit.
 *
 * @param readLimits returns the text of /proc/self/limits; tests replace it
 */
export function fileLimit(readLimits = (): string => readFileSync('/proc/self/limits', 'utf8')): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readLimits())?.[1];
    if (soft !== undefined) return limitOf(soft);
  } catch {
    // Not Linux, or not allowed to read that.
  }
  return reportedLimit();
}

/**
 * The limit from Node's diagnostic report: takes a few milliseconds, but works on every system that has such
 * a limit.
 */
function reportedLimit(): number {
  // Windows has no such limit.
  if (process.platform === 'win32') return Number.POSITIVE_INFINITY;
  const { report } = process;
  // By default, a report looks up the names of all connected addresses. Node's types do not have this property yet.
  const before: unknown = Reflect.get(report, 'excludeNetwork');
  try {
    Reflect.set(report, 'excludeNetwork', true);
    const made: unknown = report.getReport();
    return limitOf(softLimitIn(made));
  } catch {
    return Number.POSITIVE_INFINITY;
  } finally {
    Reflect.set(report, 'excludeNetwork', before);
  }
}

/** The field `userLimits.open_files.soft` of a report, which Node's types do not know. */
function softLimitIn(report: unknown): unknown {
  return ['userLimits', 'open_files', 'soft'].reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null
        ? Object.getOwnPropertyDescriptor(value, name)?.value
        : undefined,
    report,
  );
}

/** Anything but a positive number means no limit. */
function limitOf(soft: unknown): number {
  const limit = Number(soft);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : Number.POSITIVE_INFINITY;
}
