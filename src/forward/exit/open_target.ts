import { readHost } from '../../core/host.js';
import { parseAddress } from '../../core/ip.js';
import type { TargetRules } from '../../rules/allow.js';
import { type Endpoint, isPath, readSocketPath } from '../../rules/endpoint.js';
import type { Protocol } from '../../rules/expose.js';

/** A connection to a target, kept so that the rules can be asked about it again. */
export class OpenTarget {
  readonly #target: Endpoint;
  /** Where it really leads. */
  readonly #address: string;
  readonly #protocol: Protocol;
  readonly #cut: () => void;

  /**
   * @param address where it really leads, '' of a path
   * @param cut ends the connection and its stream, at once
   */
  constructor(target: Endpoint, address: string, protocol: Protocol, cut: () => void) {
    this.#target = target;
    this.#address = address;
    this.#protocol = protocol;
    this.#cut = cut;
  }

  isPermitted(rules: TargetRules): boolean {
    if (isPath(this.#target)) {
      const path = readSocketPath(this.#target.path);
      return typeof path !== 'string' && rules.permitsPath(path.path);
    }
    const host = readHost(this.#target.host);
    const address = parseAddress(this.#address);
    return (
      typeof host !== 'string' &&
      address !== undefined &&
      rules.permits(host, address, this.#target.port, this.#protocol)
    );
  }

  cut(): void {
    this.#cut();
  }
}
