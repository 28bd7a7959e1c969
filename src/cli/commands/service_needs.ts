/** What a systemd service needs from the system: ports, and access to its program. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { metadataNetworks } from '../../core/special_addresses.js';
import { isPath } from '../../rules/endpoint.js';
import { parseDynamicSpec, parseLocalSpec } from '../../rules/forward_spec.js';
import { metricsOf, portOf, portsOf } from '../options/flags.js';
import { readValue } from '../options/named_value.js';

/**
 * Returns the ports on which a command listens; for a range, the lowest.
 *
 * @param flags by attribute name, as commander stores them
 * @throws {TunnelError} ERR_SPEC_INVALID, ERR_USAGE
 */
export function listenedPorts(flags: Readonly<Record<string, unknown>>): number[] {
  const ports = (name: string, read: (text: string) => number): number[] => {
    const value = flags[name];
    const texts: unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return texts.map((text) => read(String(text)));
  };
  return [
    ...ports('local', (text) => {
      const { bind } = readValue('-L', text, parseLocalSpec);
      return isPath(bind) ? 0 : bind.port;
    }),
    ...ports('dynamic', (text) => readValue('-D', text, parseDynamicSpec).port),
    ...ports('metrics', (text) => metricsOf({ metrics: text })?.port ?? 0),
    ...ports('localPort', (text) => portOf(text, '-p')),
    ...ports('port', (text) => portOf(text, '--port')),
    ...ports('tcpPort', (text) => portOf(text, '--tcp-port')),
    ...ports('udpPort', (text) => portsOf(text, '--udp-port').from),
    // `8080` or `8000-8010`, perhaps after a name and an address.
    ...ports('allowReverse', (text) => Number(/(?:^|:)(\d+)(?:-\d+)?$/.exec(text)?.[1] ?? 0)),
  ];
}

/** Why a service with its own user cannot run a program. */
export type PlaceTrouble =
  /** The file is deleted at the next boot, and invisible with PrivateTmp. */
  | { readonly kind: 'temporary'; readonly file: string }
  /** The file is in a home folder, or only its owner may read it. */
  | { readonly kind: 'private'; readonly file: string; readonly ownerId: number };

const HOMES = /^\/(root|home\/[^/]+|run\/user\/[^/]+)(?=\/|$)/;
const TEMPORARY = /^(\/var)?\/tmp(\/|$)/;
const OTHERS_ENTER = 0o001;
const OTHERS_READ = 0o004;

/** Returns the first file that a service with its own user cannot use; undefined when it can use all. */
export async function placeTrouble(files: readonly string[]): Promise<PlaceTrouble | undefined> {
  for (const named of files) {
    const file = await realpath(named);
    for (const path of [named, file]) if (TEMPORARY.test(path)) return { kind: 'temporary', file: path };
    for (const path of [named, file]) {
      const [home] = HOMES.exec(path) ?? [];
      if (home !== undefined) return { kind: 'private', file: path, ownerId: (await stat(home)).uid };
    }
    const ownerId = await closedBy(file);
    if (ownerId !== undefined) return { kind: 'private', file, ownerId };
  }
  return undefined;
}

/** Returns the owner of the file or folder that keeps others out; undefined when nothing does. */
async function closedBy(file: string): Promise<number | undefined> {
  let needed = OTHERS_READ;
  for (let path = file; ; path = dirname(path)) {
    const { mode, uid } = await stat(path);
    if ((mode & needed) === 0) return uid;
    if (path === dirname(path)) return undefined;
    needed = OTHERS_ENTER;
  }
}

const RESOLVER_FILE = '/etc/resolv.conf';

/** Returns what {@link RESOLVER_FILE} says; empty when there is none. */
export async function resolverConfig(): Promise<string> {
  return readFile(RESOLVER_FILE, 'utf8').catch(() => '');
}

/**
 * Returns the networks with the secrets of a cloud that a service need not reach. On some clouds the same address
 * resolves names, and a rule may name one.
 *
 * @param resolvers what {@link resolverConfig} returned
 * @param rules the rules of `--expose`
 */
export function unneededNetworks(resolvers: string, rules: readonly string[]): string[] {
  const words = resolvers.split(/\s+/);
  return metadataNetworks().filter((network) => {
    const [address = ''] = network.split('/');
    // A resolver at another address of a network that is denied as a whole begins like the network.
    const isResolver = words.some(
      (word) => word === address || (address.endsWith('::') && word.startsWith(address)),
    );
    return !isResolver && !rules.some((rule) => rule.includes(address));
  });
}
