import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { withDeadline } from '../../core/aborting.js';
import type { Timers } from '../../core/clock.js';

/** Returns every address of a name. Rejects when there is none. */
export type LookUp = (name: string) => Promise<readonly { readonly address: string }[]>;

/** The system's lookup: hosts file and DNS, IPv4 and IPv6. */
export const systemLookUp: LookUp = (name) => lookup(name, { all: true });

/** Maximum number of addresses used for each name. A bootstrap node has one of each family. */
const MAX_ADDRESSES = 4;

const DEFAULT_TIMEOUT_MS = 5_000;

export interface Resolver {
  /** Returns 1 to 4 numeric addresses of `host`. Rejects with an Error that names the host and the reason. */
  resolve(host: string): Promise<readonly string[]>;
}

/**
 * Creates a resolver that runs one lookup per name at a time. A lookup that nobody waits for any more still
 * occupies one of the system's few lookup threads, so a second request for the name waits for the same
 * lookup.
 *
 * @param timeoutMs for each name; default 5000
 */
export function createResolver(
  timers: Timers,
  lookUp = systemLookUp,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Resolver {
  const underWay = new Map<string, ReturnType<LookUp>>();
  const lookUpOnce: LookUp = (name) => {
    const known = underWay.get(name);
    if (known !== undefined) return known;
    const work = lookUp(name);
    const over = (): void => void underWay.delete(name);
    underWay.set(name, work);
    work.then(over, over);
    return work;
  };
  return {
    async resolve(host) {
      if (isIP(host) !== 0) return [host];
      const work = lookUpOnce(host).catch((cause: unknown) => {
        throw notFound(host, cause);
      });
      const error = (): Error => new Error(`${host} was not found within ${timeoutMs} ms`);
      const found = await withDeadline(work, { timeout: { ms: timeoutMs, timers, error } });
      const addresses = [...new Set(found.map(({ address }) => address))].filter((text) => isIP(text) !== 0);
      if (addresses.length === 0) throw new Error(`${host} has no address`);
      return addresses.slice(0, MAX_ADDRESSES);
    },
  };
}

function notFound(host: string, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Error(`${host} was not found (${why})`, { cause });
}
