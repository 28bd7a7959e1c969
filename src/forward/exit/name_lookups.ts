import { lookup } from 'node:dns/promises';
import { TunnelError } from '../../core/errors.js';

/** Returns the addresses of a name, best first. Rejects with a `code` such as ENOTFOUND, or when the signal aborts. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

/** libuv gives look-ups half of its four threads; more would only wait there, where nothing takes them back. */
const AT_ONCE = 2;

/** A peer that looks up names. */
export interface Inquirer {
  readonly resolve: Resolve;
  /** The peer is gone. Look-ups that wait are rejected by their signals. */
  leave(): void;
}

interface Waiting {
  readonly signal: AbortSignal;
  begin(): void;
}

/**
 * The look-ups of names of the process. A name whose server is silent holds a thread for many seconds. So while there
 * are several peers, each has at most one look-up in progress, they take turns, and what nobody waits for any more never
 * begins.
 */
export class NameLookups {
  readonly #lookUp: (name: string) => Promise<readonly string[]>;
  /** Each peer's waiting look-ups. Who had its turn goes to the end. */
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

  #turn(key: object, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(gaveUp());
      if (signal.aborted) {
        giveUp();
        return;
      }
      signal.addEventListener('abort', giveUp, { once: true });
      const begin = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#peers.get(key)?.waiting.push({ signal, begin });
      this.#next();
    });
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

const gaveUp = (): TunnelError => new TunnelError('ERR_CLOSED', 'nobody waits for the name any more');

/**
 * Look-ups by the system's resolver, so every program on this machine finds the same: hosts file, mDNS and DNS, in the
 * system's order.
 */
export const systemLookups = new NameLookups(async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
});
