import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { HostPort } from './spec.js';

/** An agent for `node:http` whose connections the far end dials: its names are the far end's names. */
export class TunnelAgent extends Agent {
  readonly #dial: (target: HostPort) => Duplex;

  constructor(dial: (target: HostPort) => Duplex, options?: AgentOptions) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(options: ClientRequestArgs): Duplex {
    return this.#dial({ host: options.host ?? 'localhost', port: Number(options.port ?? 80) });
  }
}
