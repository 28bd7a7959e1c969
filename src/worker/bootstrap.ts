import { isIP } from 'node:net';
import { type BootstrapAddress, type FriendNumber, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import type { ProxiedNames } from './net/proxied_names.js';
import type { Resolver } from './net/resolve.js';
import type { Tox } from './tox/tox.js';

/** Anything that can join the network: a Tox instance, or a bootstrap node, which uses no relays. */
export interface Joins {
  bootstrap(ip: string, port: number, key: Uint8Array): boolean;
  addRelay?(ip: string, port: number, key: Uint8Array): boolean;
}

/**
 * Joins the network through these bootstrap nodes, over UDP and through their TCP relays. For a node
 * that names no TCP ports, it tries a relay at the UDP port, as Tox clients do: where UDP is
 * blocked, that is the only way.
 *
 * @param joins called again after each wait, so that it can refuse by throwing
 * @returns a line for each node that failed
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
 * Joins the network through a proxy and the relays of these bootstrap nodes; the proxy looks up their names.
 * A name is enough only for a relay: the other nodes on the way to a friend need numeric addresses.
 *
 * @returns a line for each node that failed, and one when there is no way to friends
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
    failures.push('no way to friends: through a proxy, name at least one node by its numeric address');
  }
  return failures;
}

const relayPorts = ({ tcpPorts, port }: BootstrapAddress): readonly number[] => tcpPorts ?? [port];

function keyProblem({ key }: BootstrapAddress): string | undefined {
  return key.length === PUBLIC_KEY_BYTES
    ? undefined
    : `its key has ${key.length} bytes, not ${PUBLIC_KEY_BYTES}`;
}

/**
 * Relays given to a friend. Both ends choose the same ones, so one that both reach is enough. toxcore takes
 * 6.
 */
const RELAYS_OF_A_FRIEND = 4;
const MAX_KNOWN_RELAYS = 64;

interface Relay {
  readonly ip: string;
  readonly port: number;
  readonly key: Uint8Array;
}

/**
 * The relays through which a Tox node joined. They carry traffic to friends when UDP fails. They are sorted
 * by key, so that two ends that know the same nodes choose the same relays.
 */
export class Relays {
  readonly #sorted: Relay[] = [];

  get size(): number {
    return this.#sorted.length;
  }

  add(ip: string, port: number, key: Uint8Array): void {
    const before = this.#sorted.findIndex((relay) => Buffer.compare(key, relay.key) <= 0);
    const at = before < 0 ? this.#sorted.length : before;
    const next = this.#sorted[at];
    // One address of each relay is enough.
    const isKnown = next !== undefined && Buffer.compare(key, next.key) === 0;
    this.#sorted.splice(at, isKnown ? 1 : 0, { ip, port, key: key.slice() });
    this.#sorted.length = Math.min(this.#sorted.length, MAX_KNOWN_RELAYS);
  }

  /** Gives the relays to a friend that came online. Call it outside toxcore. */
  giveTo(friend: FriendNumber, tox: Pick<Tox, 'addFriendRelay'>): void {
    for (const { ip, port, key } of this.#sorted.slice(0, RELAYS_OF_A_FRIEND)) {
      tox.addFriendRelay(friend, ip, port, key);
    }
  }
}
