import { lookup } from 'node:dns/promises';
import { withDeadline } from '../../core/aborting.js';

/** Returns the addresses of a name, best first. Rejects with a `code` such as ENOTFOUND, or when the signal aborts. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

/** libuv runs look-ups on half of its four threads. Further ones would queue there, where nothing can cancel them. */
const AT_ONCE = 2;

/** A peer that looks up names. */
export interface Inquirer {
  readonly resolve: Resolve;
  /** The peer is gone. Abort the signals of the pending look-ups. */
  leave(): void;
}

interface Waiting {
  readonly signal: AbortSignal;
  begin(): void;
}

/**
 * The name look-ups of the process. A name whose server does not answer holds a thread for many seconds. So while there
 * are several peers, each has at most one look-up in progress, and they take turns. Abandoned look-ups never start.
 */
export class NameLookups {
  readonly #lookUp: (name: string) => Promise<readonly string[]>;
  /** The peers in the order of their turns. */
  readonly #peers = new Map<object, { waiting: Waiting[]; running: number }>();
  #running = 0;

  constructor(lookUp: (name: string) => Promise<readonly string[]>) {
    this.#lookUp = lookUp;
  }

  join(): Inquirer {
    const key = {};
    this.#peers.set(key, { waiting: [], running: 0 });
    return {
      resolve: (name, signal) => this.#resolve(key, name, signal),
      leave: () => {
        this.#peers.delete(key);
        this.#next();
      },
    };
  }

  async #resolve(key: object, name: string, signal: AbortSignal): Promise<readonly string[]> {
    await this.#turn(key, signal);
    try {
      return await this.#lookUp(name);
    } finally {
      this.#running--;
      const peer = this.#peers.get(key);
      if (peer !== undefined) peer.running--;
      this.#next();
    }
  }

  async #turn(key: object, signal: AbortSignal): Promise<void> {
    const turn = new Promise<void>((begin) => this.#peers.get(key)?.waiting.push({ signal, begin }));
    this.#next();
    await withDeadline(turn, { signal });
  }

  #next(): void {
    while (this.#running < AT_ONCE) {
      const most = this.#peers.size > 1 ? 1 : AT_ONCE;
      const found = [...this.#peers].find(([, peer]) => {
        peer.waiting = peer.waiting.filter(({ signal }) => !signal.aborted);
        return peer.waiting.length > 0 && peer.running < most;
      });
      if (found === undefined) return;
      const [key, peer] = found;
      this.#peers.delete(key);
      this.#peers.set(key, peer);
      peer.running++;
      this.#running++;
      peer.waiting.shift()?.begin();
    }
  }
}

/**
 * Look-ups by the system's resolver, so every program on this machine finds the same: hosts file, mDNS and DNS, in the
 * system's order.
 */
export const systemLookups = new NameLookups(async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
});
