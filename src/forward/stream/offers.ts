import { TunnelError } from '../../core/errors.js';
import { LOCALHOST, readHost } from '../../core/host.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { ExposedPorts } from '../../rules/expose.js';

/** A name and a port that lead to this process itself, and to no address: nobody resolves or dials them. */
export interface Offer extends HostPort {
  /** Whether our direction of its streams stays open when the far end has ended. Default false, as of `net.createServer`. */
  readonly allowHalfOpen?: boolean;
}

/** What a listener serves by itself. */
export class Offers {
  readonly #offers = new Map<string, Offer>();

  /** @throws {TunnelError} ERR_ADDRESS_INVALID for what is no name or no port */
  constructor(offers: readonly Offer[] = []) {
    for (const offer of offers) {
      const host = readHost(offer.host);
      if (typeof host === 'string') throw invalid(offer, `its host ${host}`);
      if (host.kind === 'address' || host.name === LOCALHOST) {
        throw invalid(offer, 'addresses and localhost are dialled; give it a name of its own');
      }
      if (!Number.isInteger(offer.port) || offer.port < 1 || offer.port > 0xffff) {
        throw invalid(offer, 'its port must be a number from 1 to 65535');
      }
      this.#offers.set(key(host.name, offer.port), { ...offer, host: host.name });
    }
  }

  /** The rules that open them to all who have no rules of their own. */
  get rules(): ExposedPorts[] {
    return [...this.#offers.values()].map(({ host, port }) => ({
      host: { kind: 'name', name: host },
      ports: [{ from: port, to: port }],
    }));
  }

  /** What was offered by the name that a peer asks for; undefined: nothing, it is to be dialled. */
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
