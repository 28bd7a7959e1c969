import { TunnelError } from '../core/errors.js';
import { bracketed, LOCALHOST } from '../core/host.js';
import type { PortRange } from '../core/ip.js';
import { type IpAddress, inSubnet, isLoopback } from '../core/ip.js';
import { type Part, SpecText } from './spec_text.js';

/** One `--allow-reverse`: where peers may have ports opened on this machine. */
export interface ReverseRule {
  /** The peer or ticket that it is for; undefined: for all that have no rules of their own. */
  readonly name?: string;
  /** The addresses that may be bound: our own loopback, one, or every one. */
  readonly bind: 'loopback' | 'any' | IpAddress;
  /** From 0, which is a port of the system's choice. */
  readonly ports: PortRange;
}

const USAGE = '[name:][bind:]port or [name:][bind:]from-to, for example 8080, 0.0.0.0:8000-8099 or laptop:0';

/**
 * Reads the argument of `--allow-reverse`.
 *
 * | text                | peers may have opened                                       |
 * |---------------------|-------------------------------------------------------------|
 * | `8080`              | port 8080 of this machine's loopback                        |
 * | `8000-8099`         | 100 ports of it                                             |
 * | `0`                 | a port of it that the system chooses                        |
 * | `*`                 | all of these                                                |
 * | `0.0.0.0:80`        | port 80 of every IPv4 address of this machine               |
 * | `*:8080`            | port 8080 of any address                                    |
 * | `laptop:8080`       | the same as 8080, for laptop alone; laptop must be known    |
 *
 * @param isName who is known by name; names and addresses cannot be mistaken for each other
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for a name that nobody has
 */
export function parseReverseRule(text: string, isName: (name: string) => boolean = () => false): ReverseRule {
  const spec = new SpecText(text, USAGE);
  const parts = spec.parts();
  const head = parts[0]?.text.toLowerCase() ?? '';
  const isNamed = parts.length > 1 && isName(head);
  const [first, second, third] = isNamed ? parts.slice(1) : parts;
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, 'too many parts between colons: an IPv6 address stands in brackets');
  }
  const ports = portRange(spec, second ?? first);
  const bind = second === undefined ? 'loopback' : bindIn(spec, first);
  return { ...(isNamed ? { name: head } : {}), bind, ports };
}

/** What {@link parseReverseRule} reads back as the same; the same text for the same rule. */
export function printReverseRule({ name, bind, ports: { from, to } }: ReverseRule): string {
  const isEvery = from === 0 && to === 0xffff;
  const parts = [isEvery ? '*' : from === to ? String(from) : `${from}-${to}`];
  if (bind !== 'loopback') parts.unshift(bind === 'any' ? '*' : bracketed(bind.text));
  if (name !== undefined) parts.unshift(name);
  return parts.join(':');
}

export function opensReverse({ bind, ports }: ReverseRule, address: IpAddress, port: number): boolean {
  if (port < ports.from || port > ports.to) return false;
  if (bind === 'any') return true;
  return bind === 'loopback' ? isLoopback(address) : inSubnet(address, bind, bind.bytes.length * 8);
}

function bindIn(spec: SpecText, part: Part): ReverseRule['bind'] {
  if (part.text === '*') return 'any';
  const host = spec.host(part, 'the bind address');
  if (host.kind === 'address') return host.address;
  if (host.name === LOCALHOST) return 'loopback';
  throw new TunnelError(
    'ERR_USAGE',
    `${JSON.stringify(host.name)} is no address, and no peer and no ticket is called so; write ${USAGE}`,
  );
}

function portRange(spec: SpecText, part: Part): PortRange {
  if (part.text === '*') return { from: 0, to: 0xffff };
  const dash = part.text.indexOf('-');
  if (dash < 0) {
    const port = spec.port(part, 'the port', 0);
    return { from: port, to: port };
  }
  const from = spec.port({ text: part.text.slice(0, dash), at: part.at }, 'the first port');
  const to = spec.port({ text: part.text.slice(dash + 1), at: part.at + dash + 1 }, 'the last port');
  if (to < from) throw spec.fault(part, 'the last port must not be below the first');
  return { from, to };
}
