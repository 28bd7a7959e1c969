import { expectText } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { type Host, LOCALHOST, looksLikeName, printHost } from '../core/host.js';
import { type IpAddress, inSubnet, lastOf, networkBase, type PortRange, parseAddress } from '../core/ip.js';
import { quotedWord } from '../core/secret_text.js';
import { isUndiallable } from '../core/special_addresses.js';
import { looksLikePath } from './endpoint.js';
import { type Part, printPortRange, SpecText, TOO_MANY_PARTS } from './spec_text.js';

/** The hosts whose ports a rule opens. */
export type ExposedHost =
  | Host
  | { readonly kind: 'subnet'; readonly network: IpAddress; readonly prefixBits: number }
  | { readonly kind: 'any' };

/** Transport protocol of a port. */
export type Protocol = 'tcp' | 'udp';

/** A rule that opens ports of hosts. */
export interface ExposedPorts {
  readonly host: ExposedHost;
  readonly ports: readonly PortRange[];
  /** Default: both. */
  readonly protocol?: Protocol;
}

/** A rule that opens one UNIX socket or one Windows named pipe. */
export interface ExposedPath {
  readonly path: string;
}

/** One `--expose` without a name: what peers may reach. */
export type ExposeSpec = ExposedPorts | ExposedPath;

export const EXPOSE_USAGE =
  '[host:]ports or a path, for example 22, localhost:80,443, 53/udp, 10.0.0.0/24:8000-8099, *:443 or /run/app.sock';

/**
 * Reads the argument of `--expose`.
 *
 * | text                    | peers may reach                                         |
 * |-------------------------|---------------------------------------------------------|
 * | `22`                    | port 22 of this machine's own loopback                  |
 * | `localhost:80,443`      | ports 80 and 443 of the same                            |
 * | `db.lan:5432`           | port 5432 of the host that a peer calls db.lan          |
 * | `10.0.0.7:8000-8099`    | 10.0.0.7, by address or by any name that resolves to it |
 * | `10.0.0.0/24:80`        | port 80 of 256 addresses                                |
 * | `[2001:db8::1]:*`       | every port of one IPv6 address                          |
 * | `[2001:db8::/32]:22`    | port 22 of a whole network                              |
 * | `*:443`                 | port 443 of every address that is not special           |
 * | `53/udp`, `db.lan:22/tcp` | the same, over UDP only, over TCP only                    |
 * | `/run/app.sock`         | that UNIX socket                                        |
 * | `\\.\pipe\app`          | that named pipe of Windows                              |
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 *
 * @example
 * ```ts
 * listener.rules.add(parseExposeSpec('db.lan:5432'));
 * ```
 */
export function parseExposeSpec(text: string): ExposeSpec {
  expectText(text, 'parseExposeSpec()');
  const spec = new SpecText(text, EXPOSE_USAGE);
  const [first, second, third] = spec.parts();
  if (first !== undefined && second === undefined && looksLikePath(first.text)) {
    return spec.path(first, 'the path');
  }
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, TOO_MANY_PARTS);
  }
  if (second !== undefined) return { host: exposedHost(spec, first), ...portsIn(spec, second) };
  if (/^\*(?:\/|$)/.test(first.text)) throw spec.fault(first, 'write *:* for every port of every host');
  return { host: { kind: 'name', name: LOCALHOST }, ...portsIn(spec, first) };
}

/** Formats a rule as {@link parseExposeSpec} reads it. */
export function printExposeSpec(rule: ExposeSpec): string {
  if ('path' in rule) return rule.path;
  const { host, ports, protocol } = rule;
  const by = protocol === undefined ? '' : `/${protocol}`;
  return `${printExposedHost(host)}:${ports.map((range) => printPortRange(range, 1)).join(',')}${by}`;
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
    throw spec.fault(
      part,
      `${role} needs brackets around an IPv6 network, as in [2001:db8::/32], and nowhere else`,
    );
  }
  if (inner.brackets && network.family === 4) throw spec.fault(inner, `${role} must be written as IPv4`);
  const bits = { text: inner.text.slice(slash + 1), at: inner.at + slash + 1 };
  const mostBits = network.bytes.length * 8;
  const prefixBits = /^(?:0|[1-9]\d{0,2})$/.test(bits.text) ? Number(bits.text) : -1;
  if (prefixBits < 0 || prefixBits > mostBits) {
    throw spec.fault(bits, `the prefix length must be a number from 0 to ${mostBits}`);
  }
  const base = networkBase(network, prefixBits);
  if (!inSubnet(network, base, mostBits)) {
    throw spec.fault(inner, `this network begins at ${base.text}: write ${base.text}/${prefixBits}`);
  }
  return { kind: 'subnet', network, prefixBits };
}

/** Reads ports, and after a slash the only protocol. */
function portsIn(spec: SpecText, part: Part): Pick<ExposedPorts, 'ports' | 'protocol'> {
  const slash = part.text.indexOf('/');
  if (slash < 0) return { ports: portList(spec, part) };
  const protocol = part.text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw spec.fault(
      { text: protocol, at: part.at + slash + 1 },
      'the protocol after the / must be tcp or udp',
    );
  }
  return { ports: portList(spec, { text: part.text.slice(0, slash), at: part.at }), protocol };
}

function portList(spec: SpecText, part: Part): readonly PortRange[] {
  const ranges: PortRange[] = [];
  let at = part.at;
  for (const text of part.text.split(',')) {
    ranges.push(spec.portRange({ text, at }, 1));
    at += text.length + 1;
  }
  return ranges;
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

/** One `--expose`: what all peers may reach, or only those with one name. */
export type Rule = ExposeSpec & {
  /** Name of the peer or ticket. Default: all peers without rules of their own. */
  readonly name?: string;
};

/** Whether a peer (`--allow-peer NAME=KEY`) or a ticket has this name. */
export type IsName = (name: string) => boolean;

/** A parsed rule, and a note for the user. */
export interface ReadRule {
  readonly rule: Rule;
  /** Set when the text is ambiguous: says how it was read, and how to express the other meaning. */
  readonly note?: string;
}

/**
 * Reads the argument of `--expose`, which may name a peer or a ticket.
 *
 * | text                      | means                                                     |
 * |---------------------------|-----------------------------------------------------------|
 * | `22`, `db.lan:5432`, …    | for all peers: what {@link parseExposeSpec} reads         |
 * | `laptop:10.0.0.0/24:80`   | for laptop only; the name must exist                      |
 * | `laptop:22`               | localhost:22 for laptop only; the name must exist         |
 * | `laptop.:22`              | the host laptop, for all peers: no name ends with a dot   |
 * | `laptop:/run/app.sock`    | for laptop only; the name must exist                      |
 *
 * A rule's text never changes its meaning because a name appears or disappears: a host that could be a name needs the
 * dot.
 *
 * @param wayOut how to make a name known, for the error about an unknown one
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for an unknown name
 *
 * @example
 * ```ts
 * const { rule } = readRule('ann:22', (name) => listener.access.isName(name)); // for the ticket ann
 * listener.rules.add(rule);
 * ```
 */
export function readRule(
  text: string,
  isName: IsName,
  wayOut = 'first allow a peer or make a ticket with that name',
): ReadRule {
  expectText(text, 'readRule()');
  const read = readAnyRule(text, isName, wayOut);
  expectTarget(text, read.rule);
  return read;
}

/**
 * Rejects a rule whose addresses no connection can have at its far end: it would open nothing. Servers *listen* on
 * such addresses, which misleads people.
 *
 * @throws {TunnelError} ERR_SPEC_INVALID
 */
export function expectTarget(text: string, spec: ExposeSpec): void {
  if ('path' in spec) return;
  const { host, ports } = spec;
  const range = ports.map((each) => printPortRange(each, 1)).join(',');
  const address = undiallableOf(host);
  if (address === undefined) return;
  throw new TunnelError(
    'ERR_SPEC_INVALID',
    `${quotedWord(text.slice(0, 100))}: nothing can be reached at ${address.text}, which only stands for addresses to listen on; for a server of this machine write localhost:${range}, or its address in the local network, such as 192.168.1.2:${range}`,
  );
}

/** Returns the first address of a host that has only undiallable ones. */
function undiallableOf(host: ExposedHost): IpAddress | undefined {
  if (host.kind === 'address') return isUndiallable(host.address) ? host.address : undefined;
  // 0.0.0.0/0 begins and ends with undiallable addresses, but means all between.
  if (host.kind !== 'subnet' || host.prefixBits === 0) return undefined;
  const { network, prefixBits } = host;
  return isUndiallable(network) && isUndiallable(lastOf(network, prefixBits)) ? network : undefined;
}

function readAnyRule(text: string, isName: IsName, wayOut: string): ReadRule {
  const parts = new SpecText(text, EXPOSE_USAGE).parts();
  const first = parts[0]?.text ?? '';
  const name = first.toLowerCase();
  const isPath = parts.length === 2 && looksLikePath(parts[1]?.text ?? '');
  if (parts.length === 3 || isPath) {
    if (!isName(name)) throw unknownName(text, first, wayOut);
    return { rule: { name, ...parseExposeSpec(text.slice(first.length + 1)) } };
  }
  if (parts.length !== 2 || !isName(name)) {
    const rule = parseExposeSpec(text);
    if (parts.length === 2 && couldBeName(first)) throw ambiguousHost(text, first);
    return { rule };
  }
  const spec = parseExposeSpec(text.slice(first.length + 1));
  const note = `${text} opens ${printExposeSpec(spec)} to ${name} only; for a host of that name write ${name}.:PORT`;
  return { rule: { name, ...spec }, note };
}

/**
 * Formats a rule as {@link readRule} reads it.
 *
 * @example
 * ```ts
 * for (const rule of listener.rules.list()) console.log(printRule(rule));
 * ```
 */
export function printRule(rule: Rule): string {
  const text = printExposeSpec(rule);
  return rule.name === undefined ? ruleForAll(text) : `${rule.name}:${text}`;
}

/** Makes the text of an {@link ExposeSpec} mean a host in {@link readRule}, where its first word could be a name. */
export function ruleForAll(text: string): string {
  return text.replace(/^[^:/]+(?=:)/, (host) => (couldBeName(host) ? `${host}.` : host));
}

const couldBeName = (host: string): boolean => looksLikeName(host) && host.toLowerCase() !== LOCALHOST;

function ambiguousHost(text: string, host: string): TunnelError {
  // Both are short, and neither is secret: the text is a valid rule.
  const dotted = ruleForAll(text).slice(0, 100);
  return new TunnelError(
    'ERR_USAGE',
    `${host} is neither a ticket nor an allowed peer; for the host of that name write ${dotted}`,
  );
}

function unknownName(text: string, name: string, wayOut: string): TunnelError {
  return new TunnelError(
    'ERR_USAGE',
    `${quotedWord(text.slice(0, 100))}: no peer and no ticket is called ${quotedWord(name.slice(0, 64))}; ${wayOut}, or put an IPv6 address in brackets`,
  );
}
