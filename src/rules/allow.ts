import { type Host, LOCALHOST } from '../core/host.js';
import { type IpAddress, inSubnet, isLinkLocal, isLoopback, isUndiallable } from '../core/ip.js';
import type { ExposedHost, ExposedPorts, ExposeSpec, Protocol } from './expose.js';

/** The questions of a dial. Asked anew each time, so that who answers may change its mind. */
export type TargetRules = Pick<AllowRules, 'mayPermit' | 'permits' | 'permitsPath' | 'permitsName'>;

/** Every port of this machine's own loopback, by TCP and UDP. */
export const LOOPBACK_ONLY: ExposedPorts = {
  host: { kind: 'name', name: LOCALHOST },
  ports: [{ from: 1, to: 0xffff }],
};

/**
 * What a peer may reach: what the rules name and nothing else, in whatever order they stand.
 *
 * Link-local addresses, where clouds keep a machine's secrets, are open only by a rule that names
 * one of them or their network.
 *
 * The question is asked about the address that will be dialled, never about a name alone, so
 * that a name cannot lead elsewhere between the check and the dial.
 */
export class AllowRules {
  readonly #rules: readonly ExposedPorts[];
  readonly #paths: ReadonlySet<string>;

  constructor(rules: readonly ExposeSpec[]) {
    this.#rules = rules.filter((rule) => 'ports' in rule);
    this.#paths = new Set(rules.flatMap((rule) => ('path' in rule ? [rule.path] : [])));
  }

  /**
   * Whether any address that `host` could lead to may be allowed at `port`. False spares the
   * resolver a question whose answer changes nothing, and keeps peers from asking it for us.
   */
  mayPermit(host: Host, port: number, protocol: Protocol = 'tcp'): boolean {
    return this.#rules.some((rule) => opensPort(rule, port, protocol) && couldLeadTo(host, rule.host));
  }

  /**
   * Whether a peer that asked for `host` may have a connection to `address`, which is what
   * `host` says or what it resolved to.
   */
  permits(host: Host, address: IpAddress, port: number, protocol: Protocol = 'tcp'): boolean {
    if (isUndiallable(address)) return false;
    return this.#rules.some(
      (rule) => opensPort(rule, port, protocol) && opensAddress(rule.host, host, address),
    );
  }

  /** Whether a peer may have a connection to this path, which is absolute and normalised: named, letter by letter. */
  permitsPath(path: string): boolean {
    return this.#paths.has(path);
  }

  /** Whether a peer may have a stream of what this process itself offers by a name, in lower case. */
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
      // A network as wide as 0.0.0.0/0 means the world, not the neighbours: those are named.
      if (isLinkLocal(address) && !isLinkLocal(exposed.network)) return false;
      return inSubnet(address, exposed.network, exposed.prefixBits);
    case 'address':
      return inSubnet(address, exposed.address, exposed.address.bytes.length * 8);
    case 'name':
      if (exposed.name === LOCALHOST) return isLoopback(address);
      // Who runs the name's zone chooses its addresses; the cloud's secrets are not among them.
      return host.kind === 'name' && host.name === exposed.name && !isLinkLocal(address);
  }
}
