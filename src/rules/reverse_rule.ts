import { expectText } from '../core/arguments.js';
import { TunnelError } from '../core/errors.js';
import { bracketed, LOCALHOST } from '../core/host.js';
import type { PortRange } from '../core/ip.js';
import { type IpAddress, inSubnet } from '../core/ip.js';
import { quotedWord } from '../core/secret_text.js';
import { isLoopback } from '../core/special_addresses.js';
import { type Part, printPortRange, SpecText, TOO_MANY_PARTS } from './spec_text.js';

/** One `--allow-reverse`: where peers may open ports on this machine. */
export interface ReverseRule {
  /** Name of the peer or ticket. Default: all peers without rules of their own. */
  readonly name?: string;
  /** Bind addresses that it allows: our own loopback, any address, or one address. */
  readonly bind: 'loopback' | 'any' | IpAddress;
  /** 0 to 65535, where 0 means a port that the system picks. */
  readonly ports: PortRange;
}

const USAGE = '[name:][bind:]port or [name:][bind:]from-to, for example 8080, 0.0.0.0:8000-8099 or laptop:0';

/**
 * Reads the argument of `--allow-reverse`.
 *
 * | text                | peers may open                                              |
 * |---------------------|-------------------------------------------------------------|
 * | `8080`              | port 8080 of this machine's loopback                        |
 * | `8000-8099`         | 100 ports of the loopback                                   |
 * | `0`                 | a port of the loopback that the system picks                |
 * | `*`                 | every port of the loopback                                  |
 * | `0.0.0.0:80`        | port 80 of every IPv4 address of this machine               |
 * | `*:8080`            | port 8080 of any address                                    |
 * | `laptop:8080`       | the same as 8080, for laptop only; the name must exist      |
 *
 * @param isName default: no name exists
 * @throws {TunnelError} ERR_SPEC_INVALID; ERR_USAGE for an unknown name
 *
 * @example
 * ```ts
 * listener.reverseRules.add(parseReverseRule('8080'));
 * ```
 */
export function parseReverseRule(text: string, isName: (name: string) => boolean = () => false): ReverseRule {
  expectText(text, 'parseReverseRule()');
  const spec = new SpecText(text, USAGE);
  const parts = spec.parts();
  const head = parts[0]?.text.toLowerCase() ?? '';
  const isNamed = parts.length > 1 && isName(head);
  const [first, second, third] = isNamed ? parts.slice(1) : parts;
  if (first === undefined || third !== undefined) {
    throw spec.fault({ text, at: 0 }, TOO_MANY_PARTS);
  }
  const ports = spec.portRange(second ?? first, 0);
  const bind = second === undefined ? 'loopback' : bindIn(spec, first);
  return { ...(isNamed ? { name: head } : {}), bind, ports };
}

/** Formats a rule as {@link parseReverseRule} reads it. Equal rules give equal strings. */
export function printReverseRule({ name, bind, ports }: ReverseRule): string {
  const parts = [printPortRange(ports, 0)];
  if (bind !== 'loopback') parts.unshift(bind === 'any' ? '*' : bracketed(bind.text));
  if (name !== undefined) parts.unshift(name);
  return parts.join(':');
}

const ANY_PORT: PortRange = { from: 0, to: 0xffff };

export function opensReverse({ bind, ports }: ReverseRule, address: IpAddress, port: number): boolean {
  if (port < ports.from || port > ports.to) return false;
  if (bind === 'any') return true;
  return bind === 'loopback' ? isLoopback(address) : inSubnet(address, bind, bind.bytes.length * 8);
}

/** Whether two rules let peers open a port in common. */
export function overlapReverse(a: ReverseRule, b: ReverseRule): boolean {
  if (a.ports.from > b.ports.to || b.ports.from > a.ports.to) return false;
  const opensBind = ({ bind }: ReverseRule, other: ReverseRule): boolean => {
    if (bind === 'any' || bind === other.bind) return true;
    return typeof other.bind === 'object' && opensReverse({ bind, ports: ANY_PORT }, other.bind, 1);
  };
  return opensBind(a, b) || opensBind(b, a);
}

function bindIn(spec: SpecText, part: Part): ReverseRule['bind'] {
  if (part.text === '*') return 'any';
  const host = spec.host(part, 'the bind address');
  if (host.kind === 'address') return host.address;
  if (host.name === LOCALHOST) return 'loopback';
  throw new TunnelError(
    'ERR_USAGE',
    `${quotedWord(host.name)} is neither an address nor the name of a peer or a ticket; write ${USAGE}`,
  );
}
