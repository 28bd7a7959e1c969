import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Endpoint } from './endpoint.js';

/** An agent for `node:http` whose connections the far end dials: its names are the far end's names. */
export class TunnelAgent extends Agent {
  readonly #dial: (target: Endpoint) => Duplex;

  constructor(dial: (target: Endpoint) => Duplex, options?: AgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: ClientRequestArgs): Duplex {
    const path = options.socketPath ?? undefined;
    if (path !== undefined) return this.#dial({ path });
    return this.#dial({ host: options.host ?? 'localhost', port: Number(options.port ?? 80) });
  }
}
