import { type Host, LOCALHOST } from '../core/host.js';
import { type IpAddress, inSubnet, isLinkLocal, isLoopback, isUndiallable } from '../core/ip.js';
import type { ExposedHost, ExposedPorts, ExposeSpec, Protocol } from './expose.js';

/** The questions that each dial asks, because the rules may have changed since the last one. */
export type TargetRules = Pick<AllowRules, 'mayPermit' | 'permits' | 'permitsPath' | 'permitsName'>;

/** Opens every port of this machine's own loopback, TCP and UDP. */
export const LOOPBACK_ONLY: ExposedPorts = {
  host: { kind: 'name', name: LOCALHOST },
  ports: [{ from: 1, to: 0xffff }],
};

/**
 * Decides what a peer may reach: what at least one rule opens, and nothing else.
 *
 * Only a rule that names a link-local address or a link-local network opens one. Clouds keep a machine's secrets
 * there.
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
   * Whether `port` may be open at any address that `host` could resolve to. False saves a useless lookup, and keeps
   * peers from making us look up names for them.
   */
  mayPermit(host: Host, port: number, protocol: Protocol = 'tcp'): boolean {
    return this.#rules.some((rule) => opensPort(rule, port, protocol) && couldLeadTo(host, rule.host));
  }

  /**
   * Whether a peer that requested `host` may connect to `address`, which is `host` itself or an address that
   * it resolved to.
   */
  permits(host: Host, address: IpAddress, port: number, protocol: Protocol = 'tcp'): boolean {
    if (isUndiallable(address)) return false;
    return this.#rules.some(
      (rule) => opensPort(rule, port, protocol) && opensAddress(rule.host, host, address),
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

function opensPort(rule: ExposedPorts, port: number, protocol: Protocol): boolean {
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  return rule.ports.some(({ from, to }) => from <= port && port <= to);
}

function couldLeadTo(host: Host, exposed: ExposedHost): boolean {
  if (host.kind === 'address') return opensAddress(exposed, host, host.address);
  return exposed.kind !== 'name' || exposed.name === LOCALHOST || exposed.name === host.name;
}

function opensAddress(exposed: ExposedHost, host: Host, address: IpAddress): boolean {
  switch (exposed.kind) {
    case 'any':
      return !isLinkLocal(address);
    case 'subnet':
      // A wide network like 0.0.0.0/0 means the internet, not the neighbours on the link.
      if (isLinkLocal(address) && !isLinkLocal(exposed.network)) return false;
      return inSubnet(address, exposed.network, exposed.prefixBits);
    case 'address':
      return inSubnet(address, exposed.address, exposed.address.bytes.length * 8);
    case 'name':
      if (exposed.name === LOCALHOST) return isLoopback(address);
      // The owner of the DNS zone chooses the addresses, and must not choose the cloud's metadata service.
      return host.kind === 'name' && host.name === exposed.name && !isLinkLocal(address);
  }
}
