import { isIP } from 'node:net';
import { type BootstrapAddress, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import type { ProxiedNames } from './net/proxied_names.js';
import type { Resolver } from './net/resolve.js';

/** Source: TOX_PUBLIC_KEY_SIZE, toxcore/tox.h. */
/** What can join the network: a Tox instance, or a bootstrap node, which uses no relays. */
export interface Joins {
  bootstrap(ip: string, port: number, key: Uint8Array): boolean;
  addRelay?(ip: string, port: number, key: Uint8Array): boolean;
}

/**
 * Joins by these nodes, over UDP and by their TCP relays. A node that names no TCP ports is
 * tried as a relay at its UDP port, as Tox clients do: where UDP is blocked it is the only way.
 *
 * @param joins asked for anew after each wait, so that it can refuse by throwing
 * @returns a line for each node that did not work
 */
export async function joinBy(
  nodes: readonly BootstrapAddress[],
  resolver: Resolver,
  joins: () => Joins,
): Promise<readonly string[]> {
  const failures = await Promise.all(nodes.map((node) => joinByOne(node, resolver, joins)));
  return failures.filter((line) => line !== undefined);
}

async function joinByOne(
  node: BootstrapAddress,
  resolver: Resolver,
  joins: () => Joins,
): Promise<string | undefined> {
  const name = `${node.host}:${node.port}`;
  const wrongKey = keyProblem(node);
  if (wrongKey !== undefined) return `${name} (${wrongKey})`;

  let addresses: readonly string[];
  try {
    addresses = await resolver.resolve(node.host);
  } catch (error) {
    return `${name} (${error instanceof Error ? error.message : String(error)})`;
  }
  const instance = joins();
  let joined = false;
  for (const ip of addresses) {
    if (instance.bootstrap(ip, node.port, node.key)) joined = true;
    for (const port of relayPorts(node)) if (instance.addRelay?.(ip, port, node.key) === true) joined = true;
  }
  return joined ? undefined : `${name} (toxcore refused ${addresses.join(', ')})`;
}

/**
 * Joins by these nodes' relays, through a proxy, which looks up those that are known by name. A name does for a relay and no
 * more: the other nodes of the way to a friend are told each other's addresses.
 *
 * @returns a line for each node that did not work, and one when there is no way to friends
 */
export function joinThroughProxy(
  nodes: readonly BootstrapAddress[],
  names: Pick<ProxiedNames, 'addressOf'>,
  instance: Joins,
): readonly string[] {
  const failures: string[] = [];
  for (const node of nodes) {
    const wrongKey = keyProblem(node);
    if (wrongKey !== undefined) {
      failures.push(`${node.host}:${node.port} (${wrongKey})`);
      continue;
    }
    const isNumeric = isIP(node.host) !== 0;
    const address = isNumeric ? node.host : names.addressOf(node.host);
    const added =
      address !== undefined &&
      [
        isNumeric && instance.bootstrap(address, node.port, node.key),
        ...relayPorts(node).map((port) => instance.addRelay?.(address, port, node.key) === true),
      ].some((worked) => worked);
    if (!added) failures.push(`${node.host}:${node.port} (toxcore refused it)`);
  }
  if (nodes.length > 0 && nodes.every(({ host }) => isIP(host) === 0)) {
    failures.push('no way to others: through a proxy at least one node must be named by its numeric address');
  }
  return failures;
}

const relayPorts = ({ tcpPorts, port }: BootstrapAddress): readonly number[] => tcpPorts ?? [port];

function keyProblem({ key }: BootstrapAddress): string | undefined {
  return key.length === PUBLIC_KEY_BYTES
    ? undefined
    : `its key has ${key.length} bytes, not ${PUBLIC_KEY_BYTES}`;
}
