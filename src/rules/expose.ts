import { TunnelError } from '../core/errors.js';
import { type Host, LOCALHOST, printHost } from '../core/host.js';
import { type IpAddress, inSubnet, networkBase, type PortRange, parseAddress } from '../core/ip.js';
import { looksLikePath } from './endpoint.js';
import { type Part, SpecText } from './spec_text.js';

/** Whose ports a rule opens. */
export type ExposedHost =
  | Host
  | { readonly kind: 'subnet'; readonly network: IpAddress; readonly prefixBits: number }
  | { readonly kind: 'any' };

/** How a port is reached. */
export type Protocol = 'tcp' | 'udp';

/** Ports of hosts. */
export interface ExposedPorts {
  readonly host: ExposedHost;
  readonly ports: readonly PortRange[];
  /** Default: both. */
  readonly protocol?: Protocol;
}

/** One UNIX socket, or one Windows named pipe. */
export interface ExposedPath {
  readonly path: string;
}

/** One `--expose`: what peers may reach. */
export type ExposeSpec = ExposedPorts | ExposedPath;

export const EXPOSE_USAGE =
  '[host:]ports or a path, for example 22, localhost:80,443, 53/udp, 10.0.0.0/24:8000-8099, *:443 or /run/app.sock';
const EVERY_PORT: PortRange = { from: 1, to: 0xffff };

/**
 * Reads the argument of `--expose`.
 *
 * | text                    | peers may reach                                         |
 * |-------------------------|---------------------------------------------------------|
 * | `22`                    | port 22 of this machine's own loopback                  |
 * | `localhost:80,443`      | ports 80 and 443 of the same                            |
 * | `db.lan:5432`           | what is asked for as db.lan, at port 5432               |
 * | `10.0.0.7:8000-8099`    | 10.0.0.7, by address or by any name that leads there    |
 * | `10.0.0.0/24:80`        | port 80 of 256 addresses                                |
 * | `[2001:db8::1]:*`       | every port of one IPv6 address                          |
 * | `[2001:db8::/32]:22`    | port 22 of a whole network                              |
 * | `*:443`                 | port 443 of everything but link-local addresses         |
 * | `53/udp`, `db.lan:22/tcp` | the same by UDP alone, by TCP alone                    |
 * | `/run/app.sock`         | that UNIX socket                                        |
 * | `\\.\pipe\app`          | that named pipe of Windows                              |
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function parseExposeSpec(text: string): ExposeSpec {
  const spec = new SpecText(text, EXPOSE_USAGE);
  const [first, second, third] = spec.parts();
  if (first !== undefined && second === undefined && looksLikePath(first.text)) {
    return spec.path(first, 'the path');
  }
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, 'too many parts between colons: an IPv6 address stands in brackets');
  }
  if (second !== undefined) return { host: exposedHost(spec, first), ...portsIn(spec, second) };
  if (/^\*(?:\/|$)/.test(first.text)) throw spec.fault(first, 'every port of every host is written *:*');
  return { host: { kind: 'name', name: LOCALHOST }, ...portsIn(spec, first) };
}

/** What {@link parseExposeSpec} reads back as the same. */
export function printExposeSpec(rule: ExposeSpec): string {
  if ('path' in rule) return rule.path;
  const { host, ports, protocol } = rule;
  const by = protocol === undefined ? '' : `/${protocol}`;
  return `${printExposedHost(host)}:${ports.map(printRange).join(',')}${by}`;
}

function exposedHost(spec: SpecText, part: Part): ExposedHost {
  const role = 'the host';
  if (part.text === '*') return { kind: 'any' };
  if (!part.text.includes('/')) return spec.host(part, role);
  const inner = spec.unbracketed(part, role);
  const slash = inner.text.indexOf('/');
  const network = parseAddress(inner.text.slice(0, slash));
  if (network === undefined) throw spec.fault(inner, `${role} before the / must be an address`);
  if (inner.brackets !== inner.text.includes(':')) {
    throw spec.fault(part, `${role} needs brackets around an IPv6 network, [2001:db8::/32], and only there`);
  }
  if (inner.brackets && network.family === 4) throw spec.fault(inner, `${role} must be written as IPv4`);
  const bits = { text: inner.text.slice(slash + 1), at: inner.at + slash + 1 };
  const mostBits = network.bytes.length * 8;
  const prefixBits = /^(?:0|[1-9]\d{0,2})$/.test(bits.text) ? Number(bits.text) : -1;
  if (prefixBits < 0 || prefixBits > mostBits) {
    throw spec.fault(bits, `the length of the network must be a number from 0 to ${mostBits}`);
  }
  const base = networkBase(network, prefixBits);
  if (!inSubnet(network, base, mostBits)) {
    throw spec.fault(inner, `the network begins at ${base.text}: write ${base.text}/${prefixBits}`);
  }
  return { kind: 'subnet', network, prefixBits };
}

/** Ports, and after a slash how they are reached when not by both. */
function portsIn(spec: SpecText, part: Part): Pick<ExposedPorts, 'ports' | 'protocol'> {
  const slash = part.text.indexOf('/');
  if (slash < 0) return { ports: portList(spec, part) };
  const protocol = part.text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw spec.fault({ text: protocol, at: part.at + slash + 1 }, 'after the / of a port stands tcp or udp');
  }
  return { ports: portList(spec, { text: part.text.slice(0, slash), at: part.at }), protocol };
}

function portList(spec: SpecText, part: Part): readonly PortRange[] {
  const ranges: PortRange[] = [];
  let at = part.at;
  for (const text of part.text.split(',')) {
    ranges.push(portRange(spec, { text, at }));
    at += text.length + 1;
  }
  return ranges;
}

function portRange(spec: SpecText, part: Part): PortRange {
  if (part.text === '*') return EVERY_PORT;
  const dash = part.text.indexOf('-');
  if (dash < 0) {
    const port = spec.port(part, 'the port');
    return { from: port, to: port };
  }
  const from = spec.port({ text: part.text.slice(0, dash), at: part.at }, 'the first port');
  const to = spec.port({ text: part.text.slice(dash + 1), at: part.at + dash + 1 }, 'the last port');
  if (to < from) throw spec.fault(part, 'the last port must not be below the first');
  return { from, to };
}

function printExposedHost(host: ExposedHost): string {
  switch (host.kind) {
    case 'any':
      return '*';
    case 'subnet': {
      const text = `${host.network.text}/${host.prefixBits}`;
      return host.network.family === 6 ? `[${text}]` : text;
    }
    case 'address':
    case 'name':
      return printHost(host);
  }
}

function printRange({ from, to }: PortRange): string {
  if (from === to) return String(from);
  return from === EVERY_PORT.from && to === EVERY_PORT.to ? '*' : `${from}-${to}`;
}

/** One `--expose`: what peers may reach, or what one peer or ticket may. */
export type Rule = ExposeSpec & {
  /** Name of the peer or ticket that it is for; undefined: for all that have no rules of their own. */
  readonly name?: string;
};

/** Who is known by name: peers by `--allow-peer NAME=KEY`, and tickets. */
export type IsName = (name: string) => boolean;

/** What a rule is read as, and what is worth saying about that. */
export interface ReadRule {
  readonly rule: Rule;
  /** Set when the text could have meant something else. */
  readonly note?: string;
}

/**
 * Reads the argument of `--expose`, which may name a peer or a ticket.
 *
 * | text                      | means                                                     |
 * |---------------------------|-----------------------------------------------------------|
 * | `22`, `db.lan:5432`, …    | for all: what {@link parseExposeSpec} reads               |
 * | `laptop:10.0.0.0/24:80`   | for laptop alone; laptop must be known                    |
 * | `laptop:22`               | for laptop alone, localhost:22, when laptop is known;     |
 * |                           | else the host laptop, for all                             |
 * | `laptop.:22`              | the host laptop, for all: a name of ours ends in no dot   |
 * | `laptop:/run/app.sock`    | for laptop alone; laptop must be known                    |
 *
 * So where both could be meant, the reading that opens less is taken.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for a name that nobody has
 */
export function readRule(text: string, isName: IsName): ReadRule {
  const parts = new SpecText(text, EXPOSE_USAGE).parts();
  const first = parts[0]?.text ?? '';
  const name = first.toLowerCase();
  const isPath = parts.length === 2 && looksLikePath(parts[1]?.text ?? '');
  if (parts.length === 3 || isPath) {
    if (!isName(name)) throw unknownName(text, first);
    return { rule: { name, ...parseExposeSpec(text.slice(first.length + 1)) } };
  }
  if (parts.length !== 2 || !isName(name)) return { rule: parseExposeSpec(text) };
  const spec = parseExposeSpec(text.slice(first.length + 1));
  const note = `${text} opens ${printExposeSpec(spec)} to ${name} alone; a host of that name is written ${name}.:PORT`;
  return { rule: { name, ...spec }, note };
}

/** What {@link readRule} reads back as the same. */
export function printRule(rule: Rule, isName: IsName = () => false): string {
  const text = printExposeSpec(rule);
  if (rule.name !== undefined) return `${rule.name}:${text}`;
  if ('path' in rule) return text;
  const { host } = rule;
  return host.kind === 'name' && isName(host.name) ? text.replace(':', '.:') : text;
}

function unknownName(text: string, name: string): TunnelError {
  return new TunnelError(
    'ERR_USAGE',
    `${JSON.stringify(text.slice(0, 100))}: no peer and no ticket is called ${JSON.stringify(name.slice(0, 64))}; declare it with --allow-peer NAME=KEY or ticket new --name NAME (an IPv6 address stands in brackets)`,
  );
}
