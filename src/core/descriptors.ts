import type { Socket } from 'node:net';
import { isIPv4 } from 'node:net';
import type { Clock } from './clock.js';
import { ExhaustionLog, UsedUpError } from './exhaustion.js';
import { fileLimit, filePlan } from './file_limit.js';
import { ipv6Bytes } from './ipv6_bytes.js';
import type { Logger } from './logger.js';

/** What holds one descriptor until it says `close`. */
export interface Holder {
  once(event: 'close', listener: () => void): unknown;
}

/** A part of what is free. With 1 somebody who is alone may hold half of all, with 3 three quarters. */
type Part = number;

export interface ShareOptions {
  /** What this share may hold. Default: all that is free. */
  readonly part?: Part;
  /**
   * What connections from one address (IPv6: from one /64) may hold in this share, and the most of them. Loopback is
   * exempt: those are this machine's own users, or a proxy of theirs. Default: no bound.
   */
  readonly perAddress?: { readonly part: Part; readonly most: number };
}

/** Every address may have so many connections while any is free. */
const LEAST_PER_ADDRESS = 8;

/**
 * File descriptors that connections may use. Each connection takes one when it is made and gives it back when it is closed, and
 * one that finds none left is refused: so the process itself never runs out.
 */
export class DescriptorBudget {
  /** Files that the process may have open; Infinity when {@link most} does not come from that. */
  readonly limit: number;
  readonly most: number;
  #used = 0;

  constructor(most: number, limit: number) {
    this.most = most;
    this.limit = limit;
  }

  get free(): number {
    return this.most - this.#used;
  }

  /** Takes `count` at once. @returns gives them back; a second call does nothing */
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

/** The budget of all tunnels in this process. */
export function processDescriptors(): DescriptorBudget {
  if (ofProcess === undefined) {
    const { connections, limit } = filePlan(fileLimit());
    ofProcess = new DescriptorBudget(connections, limit);
  }
  return ofProcess;
}

/** A budget, and where the user hears that it is used up. */
export class Descriptors {
  readonly #budget: DescriptorBudget;
  readonly #log: ExhaustionLog;

  constructor(budget: DescriptorBudget, logger: Logger, clock: Clock) {
    this.#budget = budget;
    this.#log = new ExhaustionLog(logger, () => clock.nowMs(), budget);
  }

  share(options: ShareOptions = {}): DescriptorShare {
    return new DescriptorShare(this.#budget, this.#log, options);
  }
}

/** What one party may hold of a budget: a peer, the forwards of a connector, a relay. */
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

  /** Makes something that holds a descriptor. @throws an Error with the code EMFILE when none is left for this share */
  open<Made extends Holder>(make: () => Made): Made {
    if (!this.#hasRoom()) throw new UsedUpError();
    const made = make();
    this.#count(made);
    return made;
  }

  /** {@link open} of what takes its time to make. Rejects as that throws. */
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

  /** Counts a connection that was accepted. @returns false when there is no room for it, and it must be closed at once */
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

  /** Tells the user of a failure, if it is one for lack of something. @returns whether it was */
  note(error: unknown): boolean {
    return this.#log?.note(error) ?? false;
  }

  #hasRoom(): boolean {
    const { free } = this.#budget;
    return free >= 1 && this.#held < free * (this.#options.part ?? Number.POSITIVE_INFINITY);
  }

  #hasRoomFor(origin: string): boolean {
    const { perAddress } = this.#options;
    if (perAddress === undefined) return true;
    const fair = Math.max(this.#budget.free * perAddress.part, LEAST_PER_ADDRESS);
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

/** A share that never ends, and says nothing. */
export function unboundedShare(): DescriptorShare {
  return new DescriptorShare(new DescriptorBudget(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY));
}

/** Whose connection it is: an IPv4 address, or the /64 of an IPv6 one. Undefined for loopback and what has no address. */
function originOf(address: string | undefined): string | undefined {
  const text = address?.split('%', 1)[0] ?? '';
  const ipv4 = /^(?:::ffff:)?([\d.]+)$/i.exec(text)?.[1];
  if (ipv4 !== undefined && isIPv4(ipv4)) return ipv4.startsWith('127.') ? undefined : ipv4;
  if (text === '' || text === '::1' || !text.includes(':')) return undefined;
  return ipv6Bytes(text).subarray(0, 8).join('.');
}
