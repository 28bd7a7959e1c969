import type { Socket } from 'node:net';
import { parseAddress } from './address.js';
import type { TargetRules } from './allow.js';
import { readHost } from './host.js';
import type { HostPort } from './spec.js';

/** A connection to a target, kept so that the rules can be asked about it again. */
export class OpenTarget {
  readonly #target: HostPort;
  /** Where it really leads; the socket forgets it when it closes. */
  readonly #address: string;
  readonly #cut: () => void;

  /** @param cut ends the connection and its stream, at once */
  constructor(target: HostPort, socket: Socket, cut: () => void) {
    this.#target = target;
    this.#address = socket.remoteAddress ?? '';
    this.#cut = cut;
  }

  isPermitted(rules: TargetRules): boolean {
    const host = readHost(this.#target.host);
    const address = parseAddress(this.#address);
    return (
      typeof host !== 'string' && address !== undefined && rules.permits(host, address, this.#target.port)
    );
  }

  cut(): void {
    this.#cut();
  }
}
