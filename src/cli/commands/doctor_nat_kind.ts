import { isIP } from 'node:net';

/** What the network sees of our UDP socket: a node, and the address and port at which it sees us. */
export interface Sighting {
  readonly by: { readonly ip: string; readonly port: number };
  readonly as: { readonly ip: string; readonly port: number };
}

export type NatKind =
  /** The machine has the address that the network sees. */
  | 'none'
  /** Another address, the same port for all. */
  | 'keeps-port'
  /** Another address, and another port, the same for all. */
  | 'moves-port'
  /** Another port for each. */
  | 'symmetric';

/**
 * What stands between this machine and the network, by what two nodes or more on different machines see of it;
 * undefined when too few have told yet. Where IPv4 and IPv6 are both there, IPv4 counts: that is what NATs are for.
 */
export function natKindOf(
  sightings: readonly Sighting[],
  localAddresses: readonly string[],
  localPort: number,
): { readonly kind: NatKind; readonly seenAs: string } | undefined {
  const ipv4 = sightings.filter(({ as }) => isIP(as.ip) === 4);
  const counted = ipv4.length > 0 ? ipv4 : sightings;
  const [first] = counted;
  if (first === undefined) return undefined;
  const { ip, port } = first.as;
  const seenAs = `${isIP(ip) === 6 ? `[${ip}]` : ip}:${port}`;
  if (
    counted.every(({ as }) => localAddresses.some((local) => sameIp(local, as.ip)) && as.port === localPort)
  )
    return { kind: 'none', seenAs };
  if (new Set(counted.map(({ by }) => by.ip)).size < 2) return undefined;
  if (counted.some(({ as }) => as.ip !== ip || as.port !== port)) return { kind: 'symmetric', seenAs };
  return { kind: port === localPort ? 'keeps-port' : 'moves-port', seenAs };
}

/** IPv6 has more than one spelling. */
function sameIp(a: string, b: string): boolean {
  return a === b || (isIP(a) === 6 && isIP(b) === 6 && canonical(a) === canonical(b));
}

const canonical = (ip: string): string => new URL(`http://[${ip.split('%', 1)[0]}]/`).hostname;
