import { TunnelError } from '../../core/errors.js';
import { LOCALHOST, readHost } from '../../core/host.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { ExposedPorts } from '../../rules/expose.js';

/** A name and port that lead to this program instead of an address. They are never resolved or dialled. */
export interface Offer extends HostPort {
  /**
   * Keeps our direction of a stream open after the far end has ended. Default: false, as for
   * `net.createServer`.
   */
  readonly allowHalfOpen?: boolean;
}

/** The names and ports that a listener serves itself. */
export class Offers {
  readonly #offers = new Map<string, Offer>();

  /** @throws {TunnelError} ERR_ADDRESS_INVALID for an invalid name or port */
  constructor(offers: readonly Offer[] = []) {
    for (const offer of offers) {
      const host = readHost(offer.host);
      if (typeof host === 'string') throw invalid(offer, `its host ${host}`);
      if (host.kind === 'address' || host.name === LOCALHOST) {
        throw invalid(offer, 'IP addresses and localhost are always dialled; choose another name');
      }
      if (!Number.isInteger(offer.port) || offer.port < 1 || offer.port > 0xffff) {
        throw invalid(offer, 'its port must be a number from 1 to 65535');
      }
      this.#offers.set(key(host.name, offer.port), { ...offer, host: host.name });
    }
  }

  /** The general rules, which open the offers to every peer without rules of its own. */
  get rules(): ExposedPorts[] {
    return [...this.#offers.values()].map(({ host, port }) => ({
      host: { kind: 'name', name: host },
      ports: [{ from: port, to: port }],
    }));
  }

  /** Returns the offer that a peer requests; undefined if the target must be dialled. */
  find({ host, port }: HostPort): Offer | undefined {
    if (this.#offers.size === 0) return undefined;
    const read = readHost(host);
    return typeof read === 'string' || read.kind === 'address'
      ? undefined
      : this.#offers.get(key(read.name, port));
  }
}

function key(name: string, port: number): string {
  return `${name}:${port}`;
}

function invalid({ host, port }: Offer, why: string): TunnelError {
  return new TunnelError(
    'ERR_ADDRESS_INVALID',
    `${JSON.stringify(host)} port ${port} cannot be offered: ${why}`,
  );
}
