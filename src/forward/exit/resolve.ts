import { lookup } from 'node:dns/promises';

/** The addresses of a name, best first. Rejects with a `code` such as ENOTFOUND. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/**
 * What every other program on this machine would find: hosts file, mDNS and DNS, in the order of
 * the system. libuv gives such questions at most half of its threads, so a dead name server
 * delays other names, and nothing else.
 */
export const systemResolve: Resolve = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
};
