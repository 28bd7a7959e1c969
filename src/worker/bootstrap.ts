import type { BootstrapAddress } from './contract.js';
import type { Resolver } from './net/resolve.js';

/** Source: TOX_PUBLIC_KEY_SIZE, toxcore/tox.h. */
const KEY_BYTES = 32;

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
  if (node.key.length !== KEY_BYTES)
    return `${name} (its key has ${node.key.length} bytes, not ${KEY_BYTES})`;

  let addresses: readonly string[];
  try {
    addresses = await resolver.resolve(node.host);
  } catch (error) {
    return `${name} (${error instanceof Error ? error.message : String(error)})`;
  }
  const tcpPorts = node.tcpPorts ?? [node.port];
  const instance = joins();
  let joined = false;
  for (const ip of addresses) {
    if (instance.bootstrap(ip, node.port, node.key)) joined = true;
    for (const port of tcpPorts) if (instance.addRelay?.(ip, port, node.key) === true) joined = true;
  }
  return joined ? undefined : `${name} (toxcore refused ${addresses.join(', ')})`;
}
