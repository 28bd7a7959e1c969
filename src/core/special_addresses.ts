import { type IpAddress, inSubnet, parseAddress } from './ip.js';

/** Why an address is special. `undiallable`: no connection can have it at its far end. */
export type SpecialKind = 'undiallable' | 'loopback' | 'link-local' | 'metadata';

interface SpecialNetwork {
  readonly kind: SpecialKind;
  readonly network: IpAddress;
  readonly prefixBits: number;
}

/**
 * The addresses that lead to this machine itself, to its neighbours on the link, or to the service where a cloud
 * keeps the machine's secrets. IANA lists most of the networks in its special-purpose address registries (RFC 6890).
 * Nothing registers the metadata addresses outside the link-local networks: each vendor documents its own.
 */
const SPECIAL: readonly SpecialNetwork[] = [
  // "This network": a kernel that dials one reaches itself. RFC 1122 section 3.2.1.3.
  entry('undiallable', '0.0.0.0/8'),
  // Multicast: RFC 5771. Broadcast: RFC 919 section 7.
  entry('undiallable', '224.0.0.0/4'),
  entry('undiallable', '255.255.255.255/32'),
  // Unspecified and multicast: RFC 4291 sections 2.5.2 and 2.7.
  entry('undiallable', '::/128'),
  entry('undiallable', 'ff00::/8'),
  // RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3.
  entry('loopback', '127.0.0.0/8'),
  entry('loopback', '::1/128'),
  // RFC 3927 section 2.1, RFC 4291 section 2.5.6.
  entry('link-local', '169.254.0.0/16'),
  entry('link-local', 'fe80::/10'),
  // AWS, Azure, Google, Oracle, DigitalOcean, Hetzner, OpenStack. Amazon EC2 User Guide, "Instance metadata".
  entry('metadata', '169.254.169.254/32'),
  // Credentials of containers: Amazon ECS "Task IAM role", Amazon EKS "EKS Pod Identity".
  entry('metadata', '169.254.170.2/32'),
  entry('metadata', '169.254.170.23/32'),
  // Scaleway, "Instance metadata"; cloud-init, "Scaleway". Tencent Cloud, "Instance metadata".
  entry('metadata', '169.254.42.42/32'),
  entry('metadata', 'fd00:42::42/128'),
  entry('metadata', '169.254.0.23/32'),
  // OpenStack and Akamai: "Metadata service" of OpenStack Nova and of Linode.
  entry('metadata', 'fe80::a9fe:a9fe/128'),
  entry('metadata', 'fd00:a9fe:a9fe::1/128'),
  // AWS has its services over IPv6 there: ::254 metadata, ::23 EKS Pod Identity, ::253 DNS, ::123 time.
  entry('metadata', 'fd00:ec2::/32'),
  // Google Compute Engine, "About VM metadata", for machines with IPv6 only.
  entry('metadata', 'fd20:ce::254/128'),
  // Alibaba Cloud ECS, "Instance metadata".
  entry('metadata', '100.100.100.200/32'),
  entry('metadata', 'fd00:100::100:200/128'),
  // Azure, "What is IP address 168.63.129.16?": the WireServer, which hands out certificates and settings.
  entry('metadata', '168.63.129.16/32'),
  // Oracle Cloud: "Instance metadata" of Compute Classic, and the IPv6 address of Oracle Cloud Infrastructure.
  entry('metadata', '192.0.0.192/32'),
  entry('metadata', 'fd00:c1::a9fe:a9fe/128'),
];

/** An IPv6 network whose addresses carry an IPv4 address, to which a gateway or the kernel forwards. */
interface Embedding {
  readonly network: IpAddress;
  readonly prefixBits: number;
  /** Where the IPv4 address may be: the indexes of its four bytes. */
  readonly places: readonly (readonly [number, number, number, number])[];
  /** True when its bytes are inverted. */
  readonly inverted?: boolean;
}

const LAST = [12, 13, 14, 15] as const;

/** RFC 6052 section 2.2 has the places of NAT64: byte 8 is always free. `parseAddress` unwraps ::ffff:0:0/96. */
const EMBEDDINGS: readonly Embedding[] = [
  // IPv4-compatible: RFC 4291 section 2.5.5.1.
  { ...cidr('::/96'), places: [LAST] },
  // IPv4-translated (SIIT): RFC 2765 section 2.1.
  { ...cidr('::ffff:0:0:0/96'), places: [LAST] },
  // NAT64, the well-known prefix: RFC 6052 section 2.1.
  { ...cidr('64:ff9b::/96'), places: [LAST] },
  // NAT64, prefixes of a site's own choice, 48 to 96 bits long: RFC 8215.
  { ...cidr('64:ff9b:1::/48'), places: [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], LAST] },
  // 6to4: RFC 3056 section 2.
  { ...cidr('2002::/16'), places: [[2, 3, 4, 5]] },
  // Teredo, the server and, inverted, the client: RFC 4380 section 4.
  { ...cidr('2001::/32'), places: [[4, 5, 6, 7]] },
  { ...cidr('2001::/32'), places: [LAST], inverted: true },
];

/** The networks in which clouds keep the secrets of a machine, as `address/bits`. */
export function metadataNetworks(): string[] {
  return SPECIAL.filter(({ kind }) => kind === 'metadata').map(
    ({ network, prefixBits }) => `${network.text}/${prefixBits}`,
  );
}

/** Whether any kernel that dials this address reaches itself. */
export function isLoopback(address: IpAddress): boolean {
  return isKind(address, 'loopback');
}

/** Whether the address, or an IPv4 address that it carries, is where a cloud keeps a machine's secrets. */
export function isMetadata(address: IpAddress): boolean {
  return [address, ...embeddedIpv4(address)].some((each) => isKind(each, 'metadata'));
}

/**
 * Whether no connection can have this address at its far end. This includes 0.0.0.0 and ::, because a kernel that
 * dials them reaches itself.
 */
export function isUndiallable(address: IpAddress): boolean {
  return isKind(address, 'undiallable');
}

/** Whether the address, or an IPv4 address that it carries, is in the table of special addresses. */
export function isSpecial(address: IpAddress): boolean {
  return specialNetworks(address).length > 0 || carriesSpecial(address);
}

/**
 * Whether a rule for a network may open this address, which lies in it. A special address needs a rule that means it:
 * the rule's network lies within each special network of the address. So 169.254.0.0/16 opens link-local addresses,
 * but not the metadata service among them. An address that carries a special IPv4 address needs a rule for itself
 * alone.
 */
export function isMeantBy(network: IpAddress, prefixBits: number, address: IpAddress): boolean {
  if (prefixBits === address.bytes.length * 8) return true;
  if (carriesSpecial(address)) return false;
  return specialNetworks(address).every(
    (special) => prefixBits >= special.prefixBits && inSubnet(network, special.network, special.prefixBits),
  );
}

/** Returns the IPv4 addresses that an IPv6 address carries, in every reading that is possible. */
export function embeddedIpv4(address: IpAddress): IpAddress[] {
  if (address.family === 4 || isKind(address, 'loopback') || isKind(address, 'undiallable')) return [];
  const { bytes } = address;
  const found: IpAddress[] = [];
  for (const { network, prefixBits, places, inverted } of EMBEDDINGS) {
    if (!inSubnet(address, network, prefixBits)) continue;
    const readings = places.map((place) => ipv4At(bytes, place, inverted ? 0xff : 0));
    // Only one of several readings is meant: the zeros around it look like 0.0.0.0/8 in the others.
    const meant = readings.filter((reading) => reading.bytes[0] !== 0);
    found.push(...(meant.length > 0 ? meant : readings));
  }
  // ISATAP, in any network: RFC 5214 section 6.1. The bit says whether the IPv4 address is globally unique.
  const [, , , , , , , , flags = 0, zero, high, low] = bytes;
  if ((flags & 0xfd) === 0 && zero === 0 && high === 0x5e && low === 0xfe) found.push(ipv4At(bytes, LAST, 0));
  return found;
}

function carriesSpecial(address: IpAddress): boolean {
  return embeddedIpv4(address).some((each) => specialNetworks(each).length > 0);
}

function specialNetworks(address: IpAddress): SpecialNetwork[] {
  return SPECIAL.filter(({ network, prefixBits }) => inSubnet(address, network, prefixBits));
}

function isKind(address: IpAddress, kind: SpecialKind): boolean {
  return specialNetworks(address).some((special) => special.kind === kind);
}

function ipv4At(bytes: Uint8Array, place: readonly number[], mask: number): IpAddress {
  const quad = Uint8Array.from(place, (at) => (bytes[at] ?? 0) ^ mask);
  return { family: 4, bytes: quad, text: quad.join('.') };
}

function entry(kind: SpecialKind, text: string): SpecialNetwork {
  return { kind, ...cidr(text) };
}

function cidr(text: string): { readonly network: IpAddress; readonly prefixBits: number } {
  const [base = '', bits] = text.split('/');
  const network = parseAddress(base);
  if (network === undefined) throw new RangeError(`${base} is not an IP address`);
  return { network, prefixBits: Number(bits) };
}
