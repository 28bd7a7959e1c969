import { type Host, isLocalhostName, LOCALHOST } from '../core/host.js';
import { type IpAddress, inSubnet } from '../core/ip.js';
import { isLoopback, isMeantBy, isSpecial, isUndiallable } from '../core/special_addresses.js';
import type { ExposedHost, ExposedPorts, ExposeSpec, Protocol } from './expose.js';

/** The questions that every dial asks again, because the rules may have changed since the last one. */
export type TargetRules = Pick<
  AllowRules,
  'mayPermit' | 'mayTell' | 'permits' | 'permitsPath' | 'permitsName'
>;

/** Opens every port of this machine's own loopback, TCP and UDP. */
export const LOOPBACK_ONLY: ExposedPorts = {
  host: { kind: 'name', name: LOCALHOST },
  ports: [{ from: 1, to: 0xffff }],
};

/**
 * Decides what a peer may reach: what at least one rule opens, and nothing else.
 *
 * Special addresses (loopback, link-local, metadata of clouds, and IPv6 addresses that carry one of these) need a
 * rule that means them: see `special_addresses.ts`. A rule for a name or for any host opens none.
 *
 * The check is about the address that will be dialled, never only about a name. So a name cannot resolve to
 * another address between the check and the dial.
 */
export class AllowRules {
  readonly #rules: readonly ExposedPorts[];
  readonly #paths: ReadonlySet<string>;

  constructor(rules: readonly ExposeSpec[]) {
    this.#rules = rules.filter((rule) => 'ports' in rule);
    this.#paths = new Set(rules.flatMap((rule) => ('path' in rule ? [rule.path] : [])));
  }

  /**
   * Whether a rule may open `port` at an address to which `host` leads. When false, the name must not be looked up:
   * that would tell its name servers, and through the answer the peer, what names exist here. So with rules for the
   * loopback alone, no name is looked up.
   */
  mayPermit(host: Host, port: number, protocol: Protocol = 'tcp'): boolean {
    return this.#rules.some((rule) => opensPort(rule, port, protocol) && couldLeadTo(host, rule.host));
  }

  /**
   * Whether a peer may learn that a name does not exist, or leads to a special address: a rule opens this name, or
   * every host. When the name is looked up only because of a rule for an address or a network, the peer gets the same
   * answer for every name that leads elsewhere or nowhere.
   */
  mayTell(host: Host, port: number, protocol: Protocol = 'tcp'): boolean {
    if (host.kind === 'address') return true;
    return this.#rules.some(
      (rule) =>
        opensPort(rule, port, protocol) &&
        (rule.host.kind === 'any' || (rule.host.kind === 'name' && rule.host.name === host.name)),
    );
  }

  /**
   * Whether a peer that requested `host` may connect to `address`, which is `host` itself or an address that
   * it resolved to.
   *
   * @param isOwn whether an address is one of this machine's: a rule for every host means other machines
   */
  permits(
    host: Host,
    address: IpAddress,
    port: number,
    protocol: Protocol = 'tcp',
    isOwn: (address: IpAddress) => boolean = () => false,
  ): boolean {
    if (isUndiallable(address)) return false;
    return this.#rules.some(
      (rule) =>
        opensPort(rule, port, protocol) &&
        opensAddress(rule.host, host, address) &&
        !(isEveryHost(rule.host) && isOwn(address)),
    );
  }

  /** Whether a rule names exactly this path, which is absolute and normalized. */
  permitsPath(path: string): boolean {
    return this.#paths.has(path);
  }

  /** Whether a peer may open a stream to the offer of this process under a name. @param name in lower case */
  permitsName(name: string, port: number): boolean {
    return this.#rules.some((rule) => {
      const { host } = rule;
      const isNamed = host.kind === 'any' || (host.kind === 'name' && host.name === name);
      return isNamed && opensPort(rule, port, 'tcp');
    });
  }
}

/**
 * Whether two rules certainly open a port in common. Names are not looked up: a rule for a name has something in common
 * with a rule for the same name or for every host, but with none for an address to which the name may lead.
 */
export function overlap(a: ExposeSpec, b: ExposeSpec): boolean {
  if ('path' in a || 'path' in b) return 'path' in a && 'path' in b && a.path === b.path;
  if (a.protocol !== undefined && b.protocol !== undefined && a.protocol !== b.protocol) return false;
  const sharesPort = a.ports.some((one) =>
    b.ports.some((other) => one.from <= other.to && other.from <= one.to),
  );
  return sharesPort && (opensSome(a.host, b.host) || opensSome(b.host, a.host));
}

/** Whether a rule for `exposed` opens the host of another rule, or the beginning of its network. */
function opensSome(exposed: ExposedHost, host: ExposedHost): boolean {
  switch (host.kind) {
    case 'any':
      return exposed.kind === 'any';
    case 'address':
      return opensAddress(exposed, host, host.address);
    case 'subnet':
      return opensAddress(exposed, { kind: 'address', address: host.network }, host.network);
    case 'name':
      if (exposed.kind !== 'address' && exposed.kind !== 'subnet') return couldLeadTo(host, exposed);
      return isLocalhostName(host.name) && couldLeadTo(host, exposed);
  }
}

/** Whether a rule is for every host, by whatever name: it means other machines than this one. */
function isEveryHost(host: ExposedHost): boolean {
  return host.kind === 'any' || (host.kind === 'subnet' && host.prefixBits === 0);
}

function opensPort(rule: ExposedPorts, port: number, protocol: Protocol): boolean {
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  return rule.ports.some(({ from, to }) => from <= port && port <= to);
}

function couldLeadTo(host: Host, exposed: ExposedHost): boolean {
  if (host.kind === 'address') return opensAddress(exposed, host, host.address);
  switch (exposed.kind) {
    case 'any':
      return !isLocalhostName(host.name);
    case 'name':
      return exposed.name === host.name || (exposed.name === LOCALHOST && isLocalhostName(host.name));
    case 'address':
      return isLoopback(exposed.address) === isLocalhostName(host.name);
    case 'subnet':
      return isLoopback(exposed.network) === isLocalhostName(host.name);
  }
}

function opensAddress(exposed: ExposedHost, host: Host, address: IpAddress): boolean {
  switch (exposed.kind) {
    case 'any':
      return !isSpecial(address);
    case 'subnet':
      return (
        inSubnet(address, exposed.network, exposed.prefixBits) &&
        isMeantBy(exposed.network, exposed.prefixBits, address)
      );
    case 'address':
      return inSubnet(address, exposed.address, exposed.address.bytes.length * 8);
    case 'name':
      if (exposed.name === LOCALHOST) return isLoopback(address);
      if (host.kind !== 'name' || host.name !== exposed.name) return false;
      // The owner of the DNS zone chooses the addresses, and must not choose this machine or the cloud's secrets.
      return isLocalhostName(exposed.name) ? isLoopback(address) : !isSpecial(address);
  }
}
